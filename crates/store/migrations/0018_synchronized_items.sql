-- Pairs of a record and an item in a mailbox, and what is under way between them.

ALTER TABLE mailboxes
    ADD COLUMN act_test      text NOT NULL DEFAULT 'not-run' CHECK (act_test IN ('not-run', 'success', 'failure')),
    ADD COLUMN act_enabled   boolean NOT NULL DEFAULT false,
    ADD COLUMN act_tested_at timestamptz,
    ADD COLUMN deletions_agreed_until timestamptz;
COMMENT ON COLUMN mailboxes.deletions_agreed_until IS 'Until then deletions that waited for a person are carried out.';

-- The id is also the mark that an item made for a record carries.
CREATE TABLE links (
    id             uuid PRIMARY KEY,
    mailbox_id     uuid NOT NULL REFERENCES mailboxes ON DELETE CASCADE,
    record_kind    text NOT NULL CHECK (record_kind IN ('contact', 'appointment', 'recurring-appointment', 'service-activity',
                       'task', 'phone-call', 'letter', 'fax')),
    record_id      uuid NOT NULL,
    owner_id       uuid,
    remote_key     bytea NOT NULL,
    uid            text COLLATE "C",
    organiser      boolean NOT NULL DEFAULT true,
    unlinked       text,
    crm_fields     jsonb NOT NULL CHECK (jsonb_typeof(crm_fields) = 'object'),
    server_fields  jsonb NOT NULL CHECK (jsonb_typeof(server_fields) = 'object'),
    unclear        text[] NOT NULL DEFAULT '{}',
    settled_record bigint,
    settled_remote text,
    held_on        text CHECK (held_on IN ('crm', 'server')),
    held_since     timestamptz,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    CONSTRAINT links_one_item_of_a_record UNIQUE (mailbox_id, record_id),
    CONSTRAINT links_one_record_of_an_item UNIQUE (mailbox_id, remote_key),
    CONSTRAINT links_settled_whole CHECK ((settled_record IS NULL) = (settled_remote IS NULL)),
    CONSTRAINT links_held_whole CHECK ((held_on IS NULL) = (held_since IS NULL))
);
CREATE INDEX links_by_record ON links (record_id);
CREATE INDEX links_by_uid ON links (uid) WHERE uid IS NOT NULL;
COMMENT ON TABLE links IS 'What ties a record to an item of one mailbox, and what both sides last agreed on.';
COMMENT ON COLUMN links.owner_id IS 'Whose record it was when both sides were last looked at.';
COMMENT ON COLUMN links.unlinked IS 'Why the two stand side by side; they are remembered so that neither is taken for new.';
COMMENT ON COLUMN links.settled_record IS 'With settled_remote: the versions at which nothing was left to do.';

-- Written before anything is done on the server, cleared with its receipt.
CREATE TABLE intents (
    id          uuid NOT NULL,
    mailbox_id  uuid NOT NULL REFERENCES mailboxes ON DELETE CASCADE,
    run         uuid NOT NULL,
    stored_at   timestamptz NOT NULL,
    link_id     uuid,
    record_kind text NOT NULL,
    record_id   uuid NOT NULL,
    step        text NOT NULL CHECK (step IN ('create', 'update', 'delete')),
    remote_key  bytea,
    expected    text,
    planned     jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(planned) = 'object'),
    lost        jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(lost) = 'array'),
    PRIMARY KEY (mailbox_id, id),
    CONSTRAINT intents_one_of_a_record UNIQUE (mailbox_id, record_id),
    CONSTRAINT intents_name_an_item CHECK (step = 'create' OR (remote_key IS NOT NULL AND expected IS NOT NULL))
);
COMMENT ON COLUMN intents.planned IS 'Values by field; null clears one.';

-- Records and items that are to be looked at again though nothing changes: they could not be written, or wait.
CREATE TABLE item_retries (
    mailbox_id      uuid NOT NULL REFERENCES mailboxes ON DELETE CASCADE,
    folder          text NOT NULL CHECK (folder IN ('contacts', 'tasks', 'calendar')),
    record_kind     text,
    record_id       uuid,
    remote_key      bytea,
    attempts        integer NOT NULL,
    next_attempt_at timestamptz,
    code            text NOT NULL,
    message         text NOT NULL,
    CONSTRAINT item_retries_one_subject CHECK (num_nonnulls(record_id, remote_key) = 1),
    CONSTRAINT item_retries_kind_of_records CHECK ((record_id IS NULL) = (record_kind IS NULL)),
    CONSTRAINT item_retries_of_a_record UNIQUE (mailbox_id, record_id),
    CONSTRAINT item_retries_of_an_item UNIQUE (mailbox_id, remote_key)
);
CREATE INDEX item_retries_due ON item_retries (mailbox_id, next_attempt_at) WHERE next_attempt_at IS NOT NULL;
COMMENT ON COLUMN item_retries.next_attempt_at IS 'NULL: no attempt follows by itself; a change of either side brings one.';

-- Values that gave way to the other side's.
CREATE TABLE lost_values (
    id          uuid PRIMARY KEY,
    mailbox_id  uuid REFERENCES mailboxes ON DELETE SET NULL,
    record_kind text NOT NULL,
    record_id   uuid NOT NULL,
    field       text NOT NULL,
    side        text NOT NULL CHECK (side IN ('crm', 'server')),
    value       jsonb,
    lost_at     timestamptz NOT NULL
);
CREATE INDEX lost_values_by_record ON lost_values (record_id, id);
CREATE INDEX lost_values_by_age ON lost_values (lost_at);

UPDATE schema_state SET version = greatest(version, 18);
