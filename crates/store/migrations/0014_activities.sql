-- Tasks, phone calls, letters, faxes, appointments and their series.

CREATE TABLE activities (
    id             uuid PRIMARY KEY,
    kind           text NOT NULL CHECK (kind IN ('appointment', 'recurring-appointment', 'service-activity',
                       'task', 'phone-call', 'letter', 'fax')),
    source         text,
    external_id    text,
    owner_user_id  uuid REFERENCES users,
    owner_team_id  uuid REFERENCES teams,
    state          text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'completed', 'canceled')),
    draft          boolean NOT NULL DEFAULT false,
    regarding_kind text,
    regarding_id   text,
    fields         jsonb NOT NULL,
    starts_at      timestamptz,
    ends_at        timestamptz,
    version        bigint NOT NULL DEFAULT 1,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    CONSTRAINT activities_kind_source_external_id_key UNIQUE (kind, source, external_id),
    CONSTRAINT activities_one_owner CHECK (num_nonnulls(owner_user_id, owner_team_id) <= 1),
    CONSTRAINT activities_regarding_whole CHECK ((regarding_kind IS NULL) = (regarding_id IS NULL)),
    CONSTRAINT activities_drafts CHECK (NOT draft OR kind IN ('appointment', 'recurring-appointment')),
    CONSTRAINT activities_fields_object CHECK (jsonb_typeof(fields) = 'object')
);
COMMENT ON COLUMN activities.fields IS 'Values by name of the field; a field without a value is not there.';
COMMENT ON COLUMN activities.starts_at IS
    'Derived, for searching: the start of an appointment or task, the first start of a series; whole days from midnight UTC.';
COMMENT ON COLUMN activities.ends_at IS
    'Derived: the end of an appointment, when a task is due, the last day of a series; NULL for a series without end.';
CREATE INDEX activities_by_owner ON activities (coalesce(owner_user_id, owner_team_id), kind, id);
CREATE INDEX activities_by_team ON activities (owner_team_id) WHERE owner_team_id IS NOT NULL;
CREATE INDEX activities_by_kind ON activities (kind, id);
CREATE INDEX activities_by_regarding ON activities (regarding_kind, regarding_id) WHERE regarding_id IS NOT NULL;

-- Derived from the fields in the same statement's transaction: who is on an activity, for looking up by address.
CREATE TABLE activity_parties (
    activity_id uuid NOT NULL REFERENCES activities ON DELETE CASCADE,
    role        text NOT NULL CHECK (role IN ('organiser', 'required', 'optional')),
    address_key text NOT NULL COLLATE "C",
    PRIMARY KEY (activity_id, role, address_key)
);
CREATE INDEX activity_parties_by_address ON activity_parties (address_key, activity_id);

ALTER TABLE security_role_privileges DROP CONSTRAINT security_role_privileges_there_is_such,
    ADD CONSTRAINT security_role_privileges_there_is_such CHECK (CASE
        WHEN record_kind IN ('email', 'contact', 'account', 'lead', 'appointment', 'recurring-appointment',
                'service-activity', 'task', 'phone-call', 'letter', 'fax')
            THEN privilege IN ('read', 'create', 'write', 'delete')
        WHEN record_kind = 'queue' THEN privilege = 'read'
        WHEN record_kind = 'user' THEN privilege IN ('read', 'send-as-another') OR (privilege = 'write' AND depth = 'own')
        WHEN record_kind = 'mailbox' THEN privilege IN ('read', 'write') AND depth = 'own'
        WHEN record_kind = 'organisation' THEN privilege = 'approve-email-addresses' AND depth = 'all'
        ELSE false END);

CREATE OR REPLACE VIEW owned_records AS
    SELECT 'email' AS record_kind, id, owner_user_id, owner_team_id FROM emails
    UNION ALL
    SELECT kind, id, owner_user_id, owner_team_id FROM people
    UNION ALL
    SELECT 'queue', id, owner_user_id, owner_team_id FROM queues
    UNION ALL
    SELECT 'user', id, id, NULL FROM users
    UNION ALL
    SELECT 'mailbox', id, owner_user_id, NULL FROM mailboxes
    UNION ALL
    SELECT kind, id, owner_user_id, owner_team_id FROM activities;

-- The default role has them as it has contacts, unless somebody has changed or removed it.
INSERT INTO security_role_privileges (role_id, record_kind, privilege, depth)
SELECT p.role_id, kind, p.privilege, p.depth
FROM security_role_privileges p, unnest(ARRAY['appointment', 'recurring-appointment', 'service-activity', 'task', 'phone-call',
    'letter', 'fax']) AS kind
WHERE p.role_id = '01930000-0000-7000-8000-000000000001' AND p.record_kind = 'contact'
ON CONFLICT DO NOTHING;
UPDATE security_roles SET description =
    'Own mailbox, own personal options, own emails, contacts, accounts, leads, tasks and appointments, and those of own teams.'
WHERE id = '01930000-0000-7000-8000-000000000001' AND version = 1;

UPDATE schema_state SET version = greatest(version, 14);
