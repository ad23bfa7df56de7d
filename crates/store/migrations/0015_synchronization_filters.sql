-- Which records a user wants in the mailbox.

-- Contacts have all the fields that mail servers know; accounts and leads do not.
ALTER TABLE people
    ADD COLUMN fields jsonb NOT NULL DEFAULT '{}',
    ADD CONSTRAINT people_fields_object CHECK (jsonb_typeof(fields) = 'object'),
    ADD CONSTRAINT people_fields_of_contacts CHECK (kind = 'contact' OR fields = '{}');

-- Every address of a contact resolves to it.
CREATE INDEX people_by_second_address ON people ((lower(fields->>'email_2') COLLATE "C")) WHERE fields ? 'email_2';
CREATE INDEX people_by_third_address ON people ((lower(fields->>'email_3') COLLATE "C")) WHERE fields ? 'email_3';
CREATE OR REPLACE VIEW addressees AS
    SELECT address_key, 'user' AS kind, id AS record_id, id AS owner_user_id, active, created_at FROM users
    UNION ALL
    SELECT address_key, 'queue', id, owner_user_id, active, created_at FROM queues
    UNION ALL
    SELECT address_key, kind, id, owner_user_id, active, created_at FROM people WHERE address_key IS NOT NULL
    UNION ALL
    SELECT lower(fields->>'email_2') COLLATE "C", kind, id, owner_user_id, active, created_at FROM people
    WHERE fields ? 'email_2' AND lower(fields->>'email_2') IS DISTINCT FROM address_key
    UNION ALL
    SELECT lower(fields->>'email_3') COLLATE "C", kind, id, owner_user_id, active, created_at FROM people
    WHERE fields ? 'email_3' AND lower(fields->>'email_3') IS DISTINCT FROM address_key
        AND lower(fields->>'email_3') IS DISTINCT FROM lower(fields->>'email_2');

CREATE TABLE synchronization_filters (
    id          uuid PRIMARY KEY,
    scope       text NOT NULL CHECK (scope IN ('user', 'system', 'template')),
    user_id     uuid REFERENCES users ON DELETE CASCADE,
    record_kind text NOT NULL CHECK (record_kind IN ('contact', 'appointment', 'recurring-appointment', 'service-activity',
                    'task', 'phone-call', 'letter', 'fax')),
    name        text NOT NULL,
    active      boolean NOT NULL DEFAULT true,
    is_default  boolean NOT NULL DEFAULT false,
    expression  jsonb NOT NULL CHECK (jsonb_typeof(expression) = 'object'),
    version     bigint NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    CONSTRAINT synchronization_filters_whose CHECK ((scope = 'user') = (user_id IS NOT NULL)),
    CONSTRAINT synchronization_filters_default_templates CHECK (NOT is_default OR scope = 'template')
);
CREATE UNIQUE INDEX synchronization_filters_name_key
    ON synchronization_filters (scope, coalesce(user_id, '00000000-0000-0000-0000-000000000000'), record_kind, lower(name));
CREATE UNIQUE INDEX synchronization_filters_one_default ON synchronization_filters (record_kind) WHERE is_default;
CREATE INDEX synchronization_filters_by_user ON synchronization_filters (user_id) WHERE user_id IS NOT NULL;
COMMENT ON COLUMN synchronization_filters.is_default IS 'Of templates: what new users are given for this kind.';

CREATE VIEW filterable_records AS
    SELECT id, kind, owner_user_id, owner_team_id, state, created_at, updated_at, starts_at, ends_at, fields FROM activities
    UNION ALL
    SELECT id, kind, owner_user_id, owner_team_id, CASE WHEN active THEN 'active' ELSE 'inactive' END, created_at, updated_at,
        NULL, NULL, CASE WHEN address IS NULL THEN fields ELSE fields || jsonb_build_object('email_1', address) END
    FROM people WHERE kind = 'contact';
COMMENT ON VIEW filterable_records IS 'What synchronisation filters look at.';

INSERT INTO synchronization_filters (id, scope, record_kind, name, is_default, expression, created_at, updated_at)
SELECT gen_random_uuid(), 'template', kind, name, true, expression::jsonb, now(), now()
FROM (VALUES
    ('contact', 'My contacts',
     '{"all": [{"attribute": "owner", "test": "current-user"}, {"attribute": "state", "test": "equals", "values": ["active"]}]}'),
    ('task', 'My open tasks',
     '{"all": [{"attribute": "owner", "test": "current-user"}, {"attribute": "state", "test": "equals", "values": ["open"]}]}'),
    ('phone-call', 'My open phone calls',
     '{"all": [{"attribute": "owner", "test": "current-user"}, {"attribute": "state", "test": "equals", "values": ["open"]}]}'),
    ('letter', 'My open letters',
     '{"all": [{"attribute": "owner", "test": "current-user"}, {"attribute": "state", "test": "equals", "values": ["open"]}]}'),
    ('fax', 'My open faxes',
     '{"all": [{"attribute": "owner", "test": "current-user"}, {"attribute": "state", "test": "equals", "values": ["open"]}]}'),
    ('appointment', 'My appointments',
     '{"all": [{"attribute": "party", "test": "current-user"}, {"attribute": "ends_at", "test": "since-days", "value": 14}]}'),
    ('recurring-appointment', 'My recurring appointments',
     '{"all": [{"attribute": "party", "test": "current-user"}, {"any": [{"attribute": "ends_at", "test": "empty"}, {"attribute": "ends_at", "test": "since-days", "value": 14}]}]}'),
    ('service-activity', 'My service activities',
     '{"all": [{"attribute": "party", "test": "current-user"}, {"attribute": "ends_at", "test": "since-days", "value": 14}]}')
) AS defaults(kind, name, expression);

-- Users there are get them like users to come.
INSERT INTO synchronization_filters (id, scope, user_id, record_kind, name, expression, created_at, updated_at)
SELECT gen_random_uuid(), 'user', u.id, t.record_kind, t.name, t.expression, now(), now()
FROM users u, synchronization_filters t WHERE t.is_default;

-- Which handing out of an operation a run has begun at: of deliveries of one hint, one runs.
ALTER TABLE operations
    ADD COLUMN begun_generation bigint,
    ADD COLUMN begun_claims     integer;

UPDATE schema_state SET version = greatest(version, 15);
