-- How sending and testing of a mailbox have gone.

-- Who makes an attempt, and since when: written with the attempt's own beginning, so that two sends of one mailbox never
-- meet there.
ALTER TABLE deliveries
    ADD COLUMN worker   text,
    ADD COLUMN begun_at timestamptz;
COMMENT ON COLUMN deliveries.worker IS 'Host of the run that has begun the last attempt.';

-- What waits and what is being sent is counted when somebody looks.
CREATE INDEX deliveries_open ON deliveries (mailbox_id, due_at)
    WHERE state IN ('pending', 'retry', 'sending', 'in-flight');

CREATE TABLE mailbox_sending (
    mailbox_id               uuid PRIMARY KEY REFERENCES mailboxes ON DELETE CASCADE,
    last_run                 uuid,
    last_started_at          timestamptz,
    last_ended_at            timestamptz,
    last_succeeded_at        timestamptz,
    last_outcome             text NOT NULL CONSTRAINT mailbox_sending_outcome
        CHECK (last_outcome IN ('sent', 'retry', 'failed', 'unknown')),
    last_processed           bigint NOT NULL DEFAULT 0,
    last_failed              bigint NOT NULL DEFAULT 0,
    last_duration_seconds    double precision,
    average_duration_seconds double precision,
    last_worker              text,
    transient_failures       integer NOT NULL DEFAULT 0,
    last_error_code          text,
    last_error_message       text,
    last_error_at            timestamptz,
    last_error_worker        text,
    last_error_count         bigint NOT NULL DEFAULT 0,
    attempts                 bigint NOT NULL DEFAULT 0,
    sent                     bigint NOT NULL DEFAULT 0,
    retried                  bigint NOT NULL DEFAULT 0,
    failed                   bigint NOT NULL DEFAULT 0,
    unknown                  bigint NOT NULL DEFAULT 0,
    forced_unlocks           bigint NOT NULL DEFAULT 0,
    forced_unlocked_at       timestamptz
) WITH (fillfactor = 70);
COMMENT ON TABLE mailbox_sending IS
    'One row a mailbox that has sent. Written last in the transaction that ends an attempt, so that attempts of one '
    'mailbox that end at the same moment wait for each other''s commit and for nothing else.';
COMMENT ON COLUMN mailbox_sending.attempts IS 'The sum of sent, retried, failed and unknown.';
COMMENT ON COLUMN mailbox_sending.last_error_message IS
    'Absent where the error is of one email: its words may name people, and stand at the email.';

CREATE TABLE mailbox_tests (
    mailbox_id         uuid PRIMARY KEY REFERENCES mailboxes ON DELETE CASCADE,
    operation_id       uuid NOT NULL,
    scheduled_at       timestamptz NOT NULL,
    started_at         timestamptz,
    completed_at       timestamptz,
    postponed_until    timestamptz,
    retries            integer NOT NULL DEFAULT 0,
    worker             text,
    last_worker        text,
    outcome            text CONSTRAINT mailbox_tests_outcome CHECK (outcome IN ('success', 'failure')),
    last_error_code    text,
    last_error_message text,
    last_error_at      timestamptz
) WITH (fillfactor = 70);
COMMENT ON TABLE mailbox_tests IS
    'The last test that was asked for of a mailbox. Operations are removed after a while; this stays.';
COMMENT ON COLUMN mailbox_tests.operation_id IS 'No reference: the operation is removed some time after its end.';
COMMENT ON COLUMN mailbox_tests.worker IS 'Host of the run that is at it.';

-- Tests that wait at this moment are told of, and can be replaced.
INSERT INTO mailbox_tests (mailbox_id, operation_id, scheduled_at)
SELECT DISTINCT ON (m.id) m.id, o.id, o.created_at
FROM operations o JOIN mailboxes m ON m.id::text = o.arguments->>'mailbox'
WHERE o.kind = 'test-and-enable-mailbox' AND o.state = 'pending'
ORDER BY m.id, o.created_at DESC;

UPDATE schema_state SET version = greatest(version, 17);
