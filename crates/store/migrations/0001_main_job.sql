-- The main job: who has which mailbox, what was read, what was sent, and what happens when.
-- Conventions: UUIDv7 ids; timestamptz in UTC; words of closed sets as text with a CHECK; bytes a mail server gave us
-- as bytea, so that they compare bytewise; every record has a version that each write raises by one.

CREATE TABLE schema_state (
    singleton   boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    version     integer NOT NULL,
    oldest_code integer NOT NULL
);
COMMENT ON TABLE schema_state IS 'Schema version, and the oldest code version that may run on it.';
INSERT INTO schema_state (version, oldest_code) VALUES (1, 1);

-- Organisation: one database, one organisation -----------------------------------------------------------------------

CREATE TABLE organisations (
    id                    uuid PRIMARY KEY,
    singleton             boolean NOT NULL DEFAULT true UNIQUE CHECK (singleton),
    name                  text NOT NULL,
    approve_users         boolean NOT NULL DEFAULT true,
    approve_queues        boolean NOT NULL DEFAULT true,
    max_attachment_bytes  bigint NOT NULL DEFAULT 5242880 CHECK (max_attachment_bytes BETWEEN 0 AND 134217728),
    max_message_bytes     bigint NOT NULL DEFAULT 157286400 CHECK (max_message_bytes BETWEEN 1024 AND 157286400),
    max_body_bytes        bigint NOT NULL DEFAULT 1048576 CHECK (max_body_bytes BETWEEN 1024 AND 16777216),
    blocked_extensions    text[] NOT NULL DEFAULT '{ade,adp,app,asp,bas,bat,cer,chm,cmd,com,cpl,crt,csh,exe,hlp,hta,inf,ins,isp,jar,js,jse,ksh,lnk,mda,mdb,mde,msc,msi,msp,mst,ops,pcd,pif,prg,reg,scf,scr,sct,shb,shs,url,vb,vbe,vbs,wsc,wsf,wsh}',
    default_incoming      text NOT NULL DEFAULT 'server-side' CHECK (default_incoming IN ('none', 'server-side')),
    default_outgoing      text NOT NULL DEFAULT 'server-side' CHECK (default_outgoing IN ('none', 'server-side')),
    version               bigint NOT NULL DEFAULT 1,
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL
);

CREATE TABLE users (
    id           uuid PRIMARY KEY,
    source       text,
    external_id  text,
    name         text NOT NULL,
    address      text NOT NULL,
    address_key  text COLLATE "C" NOT NULL UNIQUE,
    active       boolean NOT NULL DEFAULT true,
    track_option text NOT NULL DEFAULT 'in-response'
        CHECK (track_option IN ('all', 'in-response', 'from-customers', 'from-email-enabled', 'none')),
    version      bigint NOT NULL DEFAULT 1,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    UNIQUE (source, external_id)
);

CREATE TABLE queues (
    id            uuid PRIMARY KEY,
    source        text,
    external_id   text,
    name          text NOT NULL,
    address       text NOT NULL,
    address_key   text COLLATE "C" NOT NULL UNIQUE,
    owner_user_id uuid REFERENCES users,
    active        boolean NOT NULL DEFAULT true,
    track_option  text NOT NULL DEFAULT 'all'
        CHECK (track_option IN ('all', 'in-response', 'from-customers', 'from-email-enabled', 'none')),
    version       bigint NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    UNIQUE (source, external_id)
);

CREATE TABLE people (
    id            uuid PRIMARY KEY,
    kind          text NOT NULL CHECK (kind IN ('contact', 'account', 'lead')),
    source        text,
    external_id   text,
    name          text NOT NULL,
    address       text,
    address_key   text COLLATE "C",
    owner_user_id uuid REFERENCES users,
    active        boolean NOT NULL DEFAULT true,
    version       bigint NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    UNIQUE (source, external_id)
);
CREATE INDEX people_by_address ON people (address_key) WHERE address_key IS NOT NULL;

CREATE VIEW addressees AS
    SELECT address_key, 'user' AS kind, id AS record_id, id AS owner_user_id, active, created_at FROM users
    UNION ALL
    SELECT address_key, 'queue', id, owner_user_id, active, created_at FROM queues
    UNION ALL
    SELECT address_key, kind, id, owner_user_id, active, created_at FROM people WHERE address_key IS NOT NULL;
COMMENT ON VIEW addressees IS 'Every record that an address can be resolved to.';

-- Mail servers and mailboxes -----------------------------------------------------------------------------------------

CREATE TABLE email_server_profiles (
    id                   uuid PRIMARY KEY,
    name                 text NOT NULL UNIQUE,
    description          text NOT NULL DEFAULT '',
    incoming_protocol    text NOT NULL,
    incoming_host        text NOT NULL,
    incoming_port        integer NOT NULL CHECK (incoming_port BETWEEN 1 AND 65535),
    incoming_tls         text NOT NULL CHECK (incoming_tls IN ('implicit', 'start-tls', 'plain')),
    incoming_auth        text NOT NULL CHECK (incoming_auth IN ('auto', 'login', 'plain', 'xoauth2')),
    outgoing_protocol    text NOT NULL,
    outgoing_host        text NOT NULL,
    outgoing_port        integer NOT NULL CHECK (outgoing_port BETWEEN 1 AND 65535),
    outgoing_tls         text NOT NULL CHECK (outgoing_tls IN ('implicit', 'start-tls', 'plain')),
    outgoing_auth        text NOT NULL CHECK (outgoing_auth IN ('auto', 'login', 'plain', 'xoauth2')),
    credentials          text NOT NULL CHECK (credentials IN ('profile', 'mailbox')),
    login                text,
    sealed_secret        bytea,
    max_connections      integer NOT NULL DEFAULT 10 CHECK (max_connections BETWEEN 1 AND 65536),
    max_in_flight        integer NOT NULL DEFAULT 64 CHECK (max_in_flight BETWEEN 1 AND 65536),
    request_timeout_ms   integer NOT NULL DEFAULT 30000 CHECK (request_timeout_ms BETWEEN 100 AND 100000),
    min_polling_minutes  integer NOT NULL DEFAULT 0 CHECK (min_polling_minutes BETWEEN 0 AND 1440),
    process_emails_from  timestamptz,
    encoding_code_page   text NOT NULL DEFAULT '',
    active               boolean NOT NULL DEFAULT true,
    is_default           boolean NOT NULL DEFAULT false,
    slot_opened_at       timestamptz,
    breaker_failures     integer NOT NULL DEFAULT 0,
    breaker_step         integer NOT NULL DEFAULT 0,
    breaker_open_until   timestamptz,
    version              bigint NOT NULL DEFAULT 1,
    created_at           timestamptz NOT NULL,
    updated_at           timestamptz NOT NULL
);
CREATE UNIQUE INDEX email_server_profiles_one_default ON email_server_profiles (is_default) WHERE is_default;
COMMENT ON COLUMN email_server_profiles.slot_opened_at IS
    'When the connection counters of this profile were first opened in Redis; later absence there means a flush.';

CREATE TABLE mailboxes (
    id                      uuid PRIMARY KEY,
    name                    text NOT NULL,
    profile_id              uuid REFERENCES email_server_profiles,
    owner_user_id           uuid UNIQUE REFERENCES users,
    owner_queue_id          uuid UNIQUE REFERENCES queues,
    address                 text NOT NULL,
    address_key             text COLLATE "C" NOT NULL UNIQUE,
    address_status          text NOT NULL DEFAULT 'pending'
        CHECK (address_status IN ('empty', 'approved', 'pending', 'rejected')),
    approved_by             text,
    approved_at             timestamptz,
    incoming_method         text NOT NULL CHECK (incoming_method IN ('none', 'server-side')),
    outgoing_method         text NOT NULL CHECK (outgoing_method IN ('none', 'server-side')),
    act_method              text NOT NULL DEFAULT 'none' CHECK (act_method IN ('none', 'server-side')),
    allow_credentials       boolean NOT NULL DEFAULT false,
    login                   text,
    sealed_secret           bytea,
    login_key               text COLLATE "C" UNIQUE,
    incoming_test           text NOT NULL DEFAULT 'not-run' CHECK (incoming_test IN ('not-run', 'success', 'failure')),
    outgoing_test           text NOT NULL DEFAULT 'not-run' CHECK (outgoing_test IN ('not-run', 'success', 'failure')),
    incoming_enabled        boolean NOT NULL DEFAULT false,
    outgoing_enabled        boolean NOT NULL DEFAULT false,
    tested_at               timestamptz,
    process_email_from      timestamptz,
    delete_after_processing boolean NOT NULL DEFAULT false,
    active                  boolean NOT NULL DEFAULT true,
    version                 bigint NOT NULL DEFAULT 1,
    created_at              timestamptz NOT NULL,
    updated_at              timestamptz NOT NULL,
    CHECK (num_nonnulls(owner_user_id, owner_queue_id) = 1),
    CHECK (NOT delete_after_processing OR owner_queue_id IS NOT NULL)
);
CREATE INDEX mailboxes_by_profile ON mailboxes (profile_id);
COMMENT ON COLUMN mailboxes.login_key IS
    'Incoming endpoint and login, normalised: one mailbox on a server belongs to one mailbox record.';

-- Lanes: what was read (touched by pages) and what is due (touched by claim and fold), apart, so that a page never
-- blocks a fold.

CREATE TABLE lanes (
    mailbox_id uuid NOT NULL REFERENCES mailboxes ON DELETE CASCADE,
    lane       text NOT NULL CHECK (lane IN ('incoming', 'act')),
    version    bigint NOT NULL DEFAULT 1,
    cursor     bytea NOT NULL DEFAULT '',
    touching   bytea,
    PRIMARY KEY (mailbox_id, lane)
);
COMMENT ON COLUMN lanes.version IS 'The fence: a page commits only if this is still what its run has read.';
COMMENT ON COLUMN lanes.touching IS 'The item a cautious run is about to touch; left behind, it names the killer.';

CREATE TABLE lane_schedules (
    mailbox_id         uuid NOT NULL,
    lane               text NOT NULL,
    profile_id         uuid NOT NULL REFERENCES email_server_profiles,
    enabled            boolean NOT NULL,
    due_at             timestamptz NOT NULL,
    not_before         timestamptz,
    generation         bigint NOT NULL DEFAULT 1,
    claimed_until      timestamptz,
    claims             integer NOT NULL DEFAULT 0,
    interval_seconds   double precision NOT NULL DEFAULT 300,
    activity           double precision NOT NULL DEFAULT 0,
    empty_cycles       integer NOT NULL DEFAULT 0,
    transient_failures integer NOT NULL DEFAULT 0,
    fault_code         text,
    fault_class        text,
    fault_message      text,
    fault_at           timestamptz,
    disabled_code      text,
    last_run           uuid,
    last_started_at    timestamptz,
    last_ended_at      timestamptz,
    last_succeeded_at  timestamptz,
    last_outcome       text,
    cycles             bigint NOT NULL DEFAULT 0,
    seen               bigint NOT NULL DEFAULT 0,
    tracked            bigint NOT NULL DEFAULT 0,
    refused            bigint NOT NULL DEFAULT 0,
    failed             bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (mailbox_id, lane),
    FOREIGN KEY (mailbox_id, lane) REFERENCES lanes ON DELETE CASCADE
) WITH (fillfactor = 70);
CREATE INDEX lane_schedules_due ON lane_schedules (profile_id, due_at) WHERE enabled;
COMMENT ON COLUMN lane_schedules.claims IS 'How often this occasion was handed out; above one, a claim has expired.';

CREATE TABLE remote_items (
    mailbox_id      uuid NOT NULL REFERENCES mailboxes ON DELETE CASCADE,
    remote_key      bytea NOT NULL,
    weak            boolean NOT NULL DEFAULT false,
    fingerprint     bytea,
    size_bytes      bigint NOT NULL DEFAULT 0,
    disposition     text NOT NULL CHECK (disposition IN ('tracked', 'refused', 'quarantined')),
    reason          text,
    detail          text,
    email_id        uuid,
    absent_listings integer NOT NULL DEFAULT 0,
    delete_wanted   boolean NOT NULL DEFAULT false,
    attempts        integer NOT NULL DEFAULT 0,
    deaths          integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    seen_at         timestamptz NOT NULL,
    PRIMARY KEY (mailbox_id, remote_key)
);
COMMENT ON COLUMN remote_items.deaths IS
    'How often a worker ended without a word while it read this item and nothing else.';
CREATE INDEX remote_items_by_fingerprint ON remote_items (mailbox_id, fingerprint) WHERE fingerprint IS NOT NULL;
CREATE INDEX remote_items_to_delete ON remote_items (mailbox_id) WHERE delete_wanted;
CREATE INDEX remote_items_quarantined ON remote_items (mailbox_id, next_attempt_at) WHERE disposition = 'quarantined';

-- Bodies and attachments: content-addressed, inserted ahead of the page that refers to them -------------------------

CREATE TABLE chunks (
    digest     bytea PRIMARY KEY,
    data       bytea NOT NULL,
    touched_at timestamptz NOT NULL
);
ALTER TABLE chunks ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE contents (
    digest     bytea PRIMARY KEY,
    size_bytes bigint NOT NULL,
    touched_at timestamptz NOT NULL
);

CREATE TABLE content_chunks (
    content_digest bytea NOT NULL REFERENCES contents ON DELETE CASCADE,
    position       integer NOT NULL,
    chunk_digest   bytea NOT NULL REFERENCES chunks,
    PRIMARY KEY (content_digest, position)
);
CREATE INDEX content_chunks_by_chunk ON content_chunks (chunk_digest);

-- Emails -------------------------------------------------------------------------------------------------------------

CREATE TABLE emails (
    id                    uuid PRIMARY KEY,
    source                text,
    external_id           text,
    direction             text NOT NULL CHECK (direction IN ('incoming', 'outgoing')),
    status                text NOT NULL CHECK (status IN
        ('draft', 'completed', 'sent', 'received', 'canceled', 'pending-send', 'sending', 'failed')),
    subject               text NOT NULL DEFAULT '',
    message_id            text COLLATE "C",
    in_reply_to           text[] NOT NULL DEFAULT '{}',
    sent_at               timestamptz,
    received_at           timestamptz,
    body_text             text,
    body_html             text,
    body_truncated        boolean NOT NULL DEFAULT false,
    attachments_left_out  boolean NOT NULL DEFAULT false,
    size_bytes            bigint NOT NULL DEFAULT 0,
    identity              bytea,
    identity_ordinal      integer NOT NULL DEFAULT 0,
    owner_user_id         uuid REFERENCES users,
    from_mailbox_id       uuid REFERENCES mailboxes ON DELETE SET NULL,
    accepting_kind        text CHECK (accepting_kind IN ('user', 'queue')),
    accepting_id          uuid,
    receiving_mailbox_id  uuid REFERENCES mailboxes ON DELETE SET NULL,
    correlated_email_id   uuid REFERENCES emails ON DELETE SET NULL,
    parent_email_id       uuid REFERENCES emails ON DELETE SET NULL,
    correlation_method    text NOT NULL DEFAULT 'none' CHECK (correlation_method IN ('none', 'in-reply-to')),
    raw_digest            bytea REFERENCES contents,
    unparsable            text,
    version               bigint NOT NULL DEFAULT 1,
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL,
    UNIQUE (source, external_id),
    UNIQUE (identity, identity_ordinal)
);
CREATE INDEX emails_by_message_id ON emails (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX emails_by_raw ON emails (raw_digest) WHERE raw_digest IS NOT NULL;
COMMENT ON COLUMN emails.identity IS
    'Hash over Message-ID, author, date and first text: the same message in another mailbox. The ordinal tells apart '
    'different messages that claim one identity inside one mailbox.';

CREATE TABLE email_parties (
    email_id    uuid NOT NULL REFERENCES emails ON DELETE CASCADE,
    position    integer NOT NULL,
    role        text NOT NULL CHECK (role IN ('from', 'to', 'cc', 'bcc', 'reply-to')),
    name        text NOT NULL DEFAULT '',
    address     text NOT NULL,
    address_key text COLLATE "C",
    record_kind text CHECK (record_kind IN ('user', 'queue', 'contact', 'account', 'lead', 'other')),
    record_id   uuid,
    PRIMARY KEY (email_id, position)
);
CREATE INDEX email_parties_by_address ON email_parties (address_key);

CREATE TABLE email_attachments (
    id             uuid PRIMARY KEY,
    email_id       uuid NOT NULL REFERENCES emails ON DELETE CASCADE,
    position       integer NOT NULL,
    name           text NOT NULL,
    media_type     text NOT NULL,
    size_bytes     bigint NOT NULL,
    content_digest bytea REFERENCES contents,
    content_id     text,
    inline         boolean NOT NULL DEFAULT false,
    left_out       text,
    UNIQUE (email_id, position),
    CHECK ((content_digest IS NULL) = (left_out IS NOT NULL))
);
CREATE INDEX email_attachments_by_content ON email_attachments (content_digest);

CREATE TABLE email_mailboxes (
    email_id   uuid NOT NULL REFERENCES emails ON DELETE CASCADE,
    mailbox_id uuid NOT NULL REFERENCES mailboxes ON DELETE CASCADE,
    remote_key bytea NOT NULL,
    linked_at  timestamptz NOT NULL,
    PRIMARY KEY (email_id, mailbox_id)
);
COMMENT ON TABLE email_mailboxes IS 'In which mailboxes an email was found; one row an email and mailbox.';

-- Outgoing -----------------------------------------------------------------------------------------------------------

CREATE TABLE deliveries (
    email_id       uuid PRIMARY KEY REFERENCES emails ON DELETE CASCADE,
    mailbox_id     uuid NOT NULL REFERENCES mailboxes,
    state          text NOT NULL CHECK (state IN
        ('pending', 'retry', 'sending', 'in-flight', 'unknown', 'sent', 'failed')),
    attempt        integer NOT NULL DEFAULT 0,
    due_at         timestamptz NOT NULL,
    claimed_until  timestamptz,
    claims         integer NOT NULL DEFAULT 0,
    run_id         uuid,
    message_id     text NOT NULL,
    dated_at       timestamptz NOT NULL,
    in_flight_at   timestamptz,
    reply          text,
    fault_code     text,
    fault_class    text,
    fault_message  text,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL
);
CREATE INDEX deliveries_due ON deliveries (due_at) WHERE state IN ('pending', 'retry', 'sending', 'in-flight');

CREATE TABLE delivery_recipients (
    email_id    uuid NOT NULL REFERENCES deliveries ON DELETE CASCADE,
    address     text NOT NULL,
    state       text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'accepted', 'refused')),
    reply       text,
    PRIMARY KEY (email_id, address)
);

-- Asynchronous operations --------------------------------------------------------------------------------------------

CREATE TABLE operations (
    id            uuid PRIMARY KEY,
    kind          text NOT NULL,
    arguments     jsonb NOT NULL DEFAULT '{}',
    state         text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done', 'failed')),
    due_at        timestamptz NOT NULL,
    generation    bigint NOT NULL DEFAULT 1,
    claimed_until timestamptz,
    claims        integer NOT NULL DEFAULT 0,
    version       bigint NOT NULL DEFAULT 1,
    attempts      integer NOT NULL DEFAULT 0,
    position      jsonb NOT NULL DEFAULT '{}',
    result        jsonb,
    requested_by  text NOT NULL,
    created_at    timestamptz NOT NULL,
    ended_at      timestamptz
);
CREATE INDEX operations_due ON operations (due_at) WHERE state = 'pending';

-- What people are told, what other programs are told, who did what ----------------------------------------------------

CREATE TABLE alerts (
    id          uuid PRIMARY KEY,
    key         text NOT NULL,
    code        text NOT NULL,
    severity    text NOT NULL CHECK (severity IN ('error', 'warning', 'information')),
    scope       text NOT NULL CHECK (scope IN ('item', 'mailbox', 'profile', 'organisation')),
    profile_id  uuid REFERENCES email_server_profiles ON DELETE CASCADE,
    mailbox_id  uuid REFERENCES mailboxes ON DELETE CASCADE,
    email_id    uuid REFERENCES emails ON DELETE CASCADE,
    parameters  jsonb NOT NULL DEFAULT '{}',
    occurrences bigint NOT NULL DEFAULT 1,
    first_at    timestamptz NOT NULL,
    last_at     timestamptz NOT NULL,
    resolved_at timestamptz
);
CREATE UNIQUE INDEX alerts_one_open ON alerts (key) WHERE resolved_at IS NULL;
CREATE INDEX alerts_open_by_mailbox ON alerts (mailbox_id) WHERE resolved_at IS NULL;

CREATE TABLE feed_entries (
    sequence       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    position       bigint UNIQUE,
    record_kind    text NOT NULL,
    record_id      uuid NOT NULL,
    change         text NOT NULL CHECK (change IN ('created', 'updated', 'deleted')),
    fields         text[] NOT NULL DEFAULT '{}',
    record_version bigint NOT NULL,
    changed_at     timestamptz NOT NULL
);
CREATE INDEX feed_entries_unnumbered ON feed_entries (sequence) WHERE position IS NULL;

CREATE TABLE feed_state (
    singleton     boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    epoch         uuid NOT NULL,
    last_position bigint NOT NULL DEFAULT 0
);

CREATE TABLE audit_entries (
    id          uuid PRIMARY KEY,
    done_at     timestamptz NOT NULL,
    actor       text NOT NULL,
    action      text NOT NULL,
    object_kind text NOT NULL,
    object_id   uuid,
    detail      jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_entries_by_object ON audit_entries (object_kind, object_id);

-- Who may come in ----------------------------------------------------------------------------------------------------

CREATE TABLE administrators (
    name          text PRIMARY KEY,
    password_hash text NOT NULL,
    created_at    timestamptz NOT NULL
);

CREATE TABLE api_keys (
    id         uuid PRIMARY KEY,
    name       text NOT NULL,
    role       text NOT NULL CHECK (role IN ('administrator', 'operator', 'service')),
    key_hash   bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz
);

CREATE TABLE idempotency_keys (
    key          text NOT NULL,
    caller       text NOT NULL,
    request_hash bytea NOT NULL,
    status       integer NOT NULL,
    body         jsonb NOT NULL,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (caller, key)
);

-- Who is running -----------------------------------------------------------------------------------------------------

CREATE TABLE replicas (
    id         uuid PRIMARY KEY,
    role       text NOT NULL,
    started_at timestamptz NOT NULL,
    seen_at    timestamptz NOT NULL
);
