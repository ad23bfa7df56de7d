-- Who may do what: security roles, teams, and the one predicate that API, filters and engine ask.

-- Keys of users: who comes with one is that user, and nobody else.
ALTER TABLE api_keys
    ADD COLUMN user_id uuid REFERENCES users,
    DROP CONSTRAINT api_keys_role_check,
    ADD CONSTRAINT api_keys_role_check CHECK (role IN ('administrator', 'operator', 'service', 'user')),
    ADD CONSTRAINT api_keys_user_key_has_user CHECK ((role = 'user') = (user_id IS NOT NULL));
CREATE INDEX api_keys_by_user ON api_keys (user_id) WHERE user_id IS NOT NULL;

-- Security roles: what they allow, on which kind of record, how far ---------------------------------------------------

CREATE TABLE security_roles (
    id          uuid PRIMARY KEY,
    name        text NOT NULL,
    description text NOT NULL DEFAULT '',
    version     bigint NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);
CREATE UNIQUE INDEX security_roles_name_key ON security_roles (lower(name));

CREATE TABLE security_role_privileges (
    role_id     uuid NOT NULL REFERENCES security_roles ON DELETE CASCADE,
    record_kind text NOT NULL,
    privilege   text NOT NULL,
    depth       text NOT NULL CHECK (depth IN ('own', 'team', 'all')),
    PRIMARY KEY (role_id, record_kind, privilege),
    CONSTRAINT security_role_privileges_there_is_such CHECK (CASE
        WHEN record_kind IN ('email', 'contact', 'account', 'lead')
            THEN privilege IN ('read', 'create', 'write', 'delete')
        WHEN record_kind = 'queue' THEN privilege = 'read'
        WHEN record_kind = 'user' THEN privilege IN ('read', 'send-as-another') OR (privilege = 'write' AND depth = 'own')
        WHEN record_kind = 'mailbox' THEN privilege IN ('read', 'write') AND depth = 'own'
        WHEN record_kind = 'organisation' THEN privilege = 'approve-email-addresses' AND depth = 'all'
        ELSE false END)
);
COMMENT ON TABLE security_role_privileges IS
    'Mailboxes reach no further than their owner, and personal options neither: that is a rule here, not a habit.';

CREATE TABLE teams (
    id          uuid PRIMARY KEY,
    name        text NOT NULL,
    description text NOT NULL DEFAULT '',
    version     bigint NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);
CREATE UNIQUE INDEX teams_name_key ON teams (lower(name));

CREATE TABLE team_members (
    team_id uuid NOT NULL REFERENCES teams ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    PRIMARY KEY (team_id, user_id)
);
CREATE INDEX team_members_by_user ON team_members (user_id, team_id);

CREATE TABLE user_security_roles (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    role_id uuid NOT NULL REFERENCES security_roles ON DELETE CASCADE,
    PRIMARY KEY (user_id, role_id)
);
CREATE INDEX user_security_roles_by_role ON user_security_roles (role_id);

CREATE TABLE team_security_roles (
    team_id uuid NOT NULL REFERENCES teams ON DELETE CASCADE,
    role_id uuid NOT NULL REFERENCES security_roles ON DELETE CASCADE,
    PRIMARY KEY (team_id, role_id)
);
CREATE INDEX team_security_roles_by_role ON team_security_roles (role_id);

CREATE TABLE secured_fields (
    record_kind text NOT NULL,
    field       text NOT NULL,
    PRIMARY KEY (record_kind, field)
);
COMMENT ON TABLE secured_fields IS 'Fields that only those read and write whom a security role lets.';

CREATE TABLE security_role_fields (
    role_id     uuid NOT NULL REFERENCES security_roles ON DELETE CASCADE,
    record_kind text NOT NULL,
    field       text NOT NULL,
    may_read    boolean NOT NULL,
    may_write   boolean NOT NULL,
    PRIMARY KEY (role_id, record_kind, field),
    CHECK (may_read OR may_write)
);

-- Owners: a user or a team. The indexes serve a user's pages, in the order in which lists are read.

ALTER TABLE queues
    ADD COLUMN owner_team_id uuid REFERENCES teams,
    ADD CONSTRAINT queues_one_owner CHECK (num_nonnulls(owner_user_id, owner_team_id) <= 1);
ALTER TABLE people
    ADD COLUMN owner_team_id uuid REFERENCES teams,
    ADD CONSTRAINT people_one_owner CHECK (num_nonnulls(owner_user_id, owner_team_id) <= 1);
ALTER TABLE emails
    ADD COLUMN owner_team_id uuid REFERENCES teams,
    ADD CONSTRAINT emails_one_owner CHECK (num_nonnulls(owner_user_id, owner_team_id) <= 1);
CREATE INDEX people_by_team ON people (owner_team_id) WHERE owner_team_id IS NOT NULL;
CREATE INDEX emails_by_team ON emails (owner_team_id) WHERE owner_team_id IS NOT NULL;
CREATE INDEX queues_by_owner ON queues (coalesce(owner_user_id, owner_team_id), id);
CREATE INDEX people_by_owner ON people (coalesce(owner_user_id, owner_team_id), kind, id);
CREATE INDEX emails_by_owner ON emails (coalesce(owner_user_id, owner_team_id), id);

-- Personal options ---------------------------------------------------------------------------------------------------

ALTER TABLE users ADD COLUMN allow_send_on_behalf boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN users.allow_send_on_behalf IS
    'The user agrees that others send email in the user''s name, so far as their own rights let them.';

-- The predicate. Whoever asks what a user may do asks here: API, lists and engine ------------------------------------

CREATE FUNCTION security_roles_of(actor uuid) RETURNS SETOF uuid
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 10
BEGIN ATOMIC
    SELECT given.role_id FROM user_security_roles given JOIN users u ON u.id = given.user_id
    WHERE given.user_id = actor AND u.active
    UNION
    SELECT given.role_id
    FROM team_members m JOIN users u ON u.id = m.user_id JOIN team_security_roles given ON given.team_id = m.team_id
    WHERE m.user_id = actor AND u.active;
END;
COMMENT ON FUNCTION security_roles_of IS
    'A user''s security roles: its own, and those of its teams, as if they were its own. An inactive user has none.';

CREATE FUNCTION depth_of(actor uuid, of_kind text, of_privilege text) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT p.depth FROM security_role_privileges p
    WHERE p.role_id IN (SELECT role FROM security_roles_of(actor) AS role) AND p.record_kind = of_kind AND p.privilege = of_privilege
    ORDER BY array_position(ARRAY['all', 'team', 'own'], p.depth) LIMIT 1;
END;
COMMENT ON FUNCTION depth_of IS 'How far a privilege reaches, the furthest of all roles; NULL where no role gives it.';

CREATE FUNCTION reach(actor uuid, of_kind text, of_privilege text) RETURNS SETOF uuid
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 10
BEGIN ATOMIC
    WITH far AS MATERIALIZED (SELECT depth_of(actor, of_kind, of_privilege) AS depth)
    SELECT actor FROM far WHERE depth IS NOT NULL
    UNION
    SELECT m.team_id FROM far, team_members m WHERE depth IS NOT NULL AND m.user_id = actor
    UNION
    SELECT fellow.user_id FROM far, team_members m JOIN team_members fellow ON fellow.team_id = m.team_id
    WHERE depth IN ('team', 'all') AND m.user_id = actor;
END;
COMMENT ON FUNCTION reach IS
    'The owners, users and teams, whose records a privilege covers short of all: oneself and one''s teams, and at the '
    'depth team the users in them.';

CREATE FUNCTION may(actor uuid, of_kind text, of_privilege text, owner_user uuid, owner_team uuid) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN COALESCE(depth_of(actor, of_kind, of_privilege) = 'all', false)
        OR COALESCE(COALESCE(owner_user, owner_team) IN (SELECT owner FROM reach(actor, of_kind, of_privilege) AS owner), false);
COMMENT ON FUNCTION may IS
    'Whether a user has a privilege on a record of this kind with this owner. Never NULL; without an owner only the '
    'depth all covers it, which is also how privileges of the organisation are asked for.';

CREATE FUNCTION may_field(actor uuid, of_kind text, of_field text, writing boolean) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN NOT EXISTS (SELECT FROM secured_fields s WHERE s.record_kind = of_kind AND s.field = of_field)
        OR EXISTS (SELECT FROM security_role_fields f
            WHERE f.role_id IN (SELECT role FROM security_roles_of(actor) AS role) AND f.record_kind = of_kind AND f.field = of_field
              AND CASE WHEN writing THEN f.may_write ELSE f.may_read END);
COMMENT ON FUNCTION may_field IS 'Whether a user reads or writes a field, on records that it reads or writes at all.';

CREATE VIEW owned_records AS
    SELECT 'email' AS record_kind, id, owner_user_id, owner_team_id FROM emails
    UNION ALL
    SELECT kind, id, owner_user_id, owner_team_id FROM people
    UNION ALL
    SELECT 'queue', id, owner_user_id, owner_team_id FROM queues
    UNION ALL
    SELECT 'user', id, id, NULL FROM users
    UNION ALL
    SELECT 'mailbox', id, owner_user_id, NULL FROM mailboxes;
COMMENT ON VIEW owned_records IS
    'Whose each record is. The mailbox of a queue has no owner here: it is administered, not owned.';

CREATE FUNCTION may_record(actor uuid, of_kind text, record uuid, of_privilege text) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN EXISTS (SELECT FROM owned_records r WHERE r.record_kind = of_kind AND r.id = record
        AND may(actor, of_kind, of_privilege, r.owner_user_id, r.owner_team_id));
COMMENT ON FUNCTION may_record IS 'Like may, of a record by its id; false where there is none.';

-- The role of everybody, so that a new user's key works at once. It can be changed, and another one put in its place.

INSERT INTO security_roles (id, name, description, created_at, updated_at)
VALUES ('01930000-0000-7000-8000-000000000001', 'Email user',
    'Own mailbox, own personal options, own emails, contacts, accounts and leads, and those of own teams.', now(), now());
INSERT INTO security_role_privileges (role_id, record_kind, privilege, depth)
SELECT '01930000-0000-7000-8000-000000000001', kind, privilege, 'own'
FROM unnest(ARRAY['email', 'contact', 'account', 'lead']) AS kind,
    unnest(ARRAY['read', 'create', 'write', 'delete']) AS privilege
UNION ALL
VALUES ('01930000-0000-7000-8000-000000000001'::uuid, 'mailbox', 'read', 'own'),
    ('01930000-0000-7000-8000-000000000001', 'mailbox', 'write', 'own'),
    ('01930000-0000-7000-8000-000000000001', 'user', 'read', 'own'),
    ('01930000-0000-7000-8000-000000000001', 'user', 'write', 'own'),
    ('01930000-0000-7000-8000-000000000001', 'queue', 'read', 'own');
INSERT INTO user_security_roles (user_id, role_id) SELECT id, '01930000-0000-7000-8000-000000000001' FROM users;

ALTER TABLE organisations ADD COLUMN default_security_role_id uuid DEFAULT '01930000-0000-7000-8000-000000000001'
    CONSTRAINT organisations_default_security_role REFERENCES security_roles;
COMMENT ON COLUMN organisations.default_security_role_id IS 'What each new user is given; NULL: nothing.';

UPDATE schema_state SET version = greatest(version, 6);
