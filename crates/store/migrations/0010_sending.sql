-- Tracking tokens, sending as another, and what servers say about sending.

ALTER TABLE organisations
    ADD COLUMN use_tracking_tokens   boolean NOT NULL DEFAULT true,
    ADD COLUMN token_prefix          text NOT NULL DEFAULT 'CRM:' CHECK (char_length(token_prefix) BETWEEN 1 AND 20),
    ADD COLUMN token_base            integer NOT NULL DEFAULT 0 CHECK (token_base >= 0),
    ADD COLUMN token_user_digits     integer NOT NULL DEFAULT 3 CHECK (token_user_digits BETWEEN 1 AND 10),
    ADD COLUMN token_counter_digits  integer NOT NULL DEFAULT 3 CHECK (token_counter_digits BETWEEN 1 AND 9),
    ADD COLUMN ignore_reply_headers  boolean NOT NULL DEFAULT false,
    ADD COLUMN notification_queue_id uuid REFERENCES queues ON DELETE SET NULL;
COMMENT ON COLUMN organisations.token_base IS 'Users'' numbers in tokens begin after this one.';
COMMENT ON COLUMN organisations.notification_queue_id IS
    'The queue whose mailbox sends what the installation itself has to say by email.';

CREATE TABLE token_counters (
    mailbox_id uuid PRIMARY KEY REFERENCES mailboxes ON DELETE CASCADE,
    number     bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    last       bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE token_counters IS
    'The number each sender has in tokens, and how many tokens it was given. Apart from mailboxes, so that sending '
    'never waits for whoever writes one.';

ALTER TABLE emails
    DROP CONSTRAINT emails_correlation_method_check,
    ADD CONSTRAINT emails_correlation_method_check
        CHECK (correlation_method IN ('none', 'in-reply-to', 'tracking-token')),
    ADD COLUMN tracking_token text COLLATE "C",
    ADD COLUMN sender_user_id uuid REFERENCES users,
    ADD COLUMN auto_submitted boolean NOT NULL DEFAULT false;
CREATE INDEX emails_by_tracking_token ON emails (tracking_token, id DESC) WHERE tracking_token IS NOT NULL;
COMMENT ON COLUMN emails.sender_user_id IS 'Who sends, where the email bears the address of another user or of a queue.';
COMMENT ON COLUMN emails.auto_submitted IS 'Written by the installation itself (RFC 3834): nobody is to answer by machine.';

ALTER TABLE deliveries
    ADD COLUMN subject     text,
    ADD COLUMN was_unknown boolean NOT NULL DEFAULT false,
    ADD COLUMN edited      boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN deliveries.subject IS 'The subject as it is sent, with its token; NULL: as it was written.';
COMMENT ON COLUMN deliveries.was_unknown IS 'The outcome of an attempt was lost once: somebody may have the message.';
COMMENT ON COLUMN deliveries.edited IS 'The email was changed since it was last asked to be sent.';

ALTER TABLE email_server_profiles
    ADD COLUMN same_settings_for_outgoing boolean NOT NULL DEFAULT true,
    ADD COLUMN outgoing_login             text,
    ADD COLUMN sealed_outgoing_secret     bytea,
    ADD COLUMN resend_unknown             boolean NOT NULL DEFAULT false,
    ADD COLUMN owner_user_id              uuid REFERENCES users,
    ADD COLUMN send_alert_email           boolean NOT NULL DEFAULT false,
    ADD COLUMN outage_told_at             timestamptz,
    ADD COLUMN last_test                  jsonb;
COMMENT ON COLUMN email_server_profiles.resend_unknown IS
    'An email whose outcome was lost is sent again by itself: somebody may get it twice.';
COMMENT ON COLUMN email_server_profiles.outage_told_at IS
    'When the owner was told by email that most mailboxes fail; set until most of them work again.';

UPDATE schema_state SET version = greatest(version, 10);
