-- The organisation's rules for received email, and what follows from them.

ALTER TABLE organisations
    ADD COLUMN use_correlation                boolean NOT NULL DEFAULT true,
    ADD COLUMN only_receiving_mailbox_accepts boolean NOT NULL DEFAULT false,
    ADD COLUMN internal_email_twice           boolean NOT NULL DEFAULT true,
    ADD COLUMN unresolve_multiple_recipients  boolean NOT NULL DEFAULT false,
    ADD COLUMN queue_items_for_recipients     boolean NOT NULL DEFAULT true,
    ADD COLUMN queue_items_for_receiving      boolean NOT NULL DEFAULT false,
    ADD COLUMN queue_items_for_known          boolean NOT NULL DEFAULT false,
    ADD COLUMN auto_create_people             boolean NOT NULL DEFAULT true,
    ADD COLUMN allow_unresolved_recipients    boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN organisations.internal_email_twice IS
    'Email from one user to another is two records, sent and received; else the sent one alone.';

ALTER TABLE users ADD COLUMN auto_create text NOT NULL DEFAULT 'off' CHECK (auto_create IN ('off', 'contact', 'lead'));
COMMENT ON COLUMN users.auto_create IS 'What an unknown sender of this user''s tracked email becomes.';

ALTER TABLE emails
    ADD COLUMN regarding_kind text,
    ADD COLUMN regarding_id   text,
    ADD CONSTRAINT emails_regarding_whole CHECK ((regarding_kind IS NULL) = (regarding_id IS NULL));
COMMENT ON COLUMN emails.regarding_id IS
    'The record the email is about, under the id its own system gave it; handed on to the answers.';
CREATE INDEX emails_by_regarding ON emails (regarding_kind, regarding_id) WHERE regarding_id IS NOT NULL;

CREATE TABLE queue_items (
    id         uuid PRIMARY KEY,
    queue_id   uuid NOT NULL REFERENCES queues ON DELETE CASCADE,
    email_id   uuid NOT NULL REFERENCES emails ON DELETE CASCADE,
    entered_at timestamptz NOT NULL,
    UNIQUE (queue_id, email_id)
);
CREATE INDEX queue_items_by_email ON queue_items (email_id);

UPDATE schema_state SET version = greatest(version, 3);
