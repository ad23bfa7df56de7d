-- When sending stops: of a mailbox whose account the server refuses, and of a profile whose server fails.

ALTER TABLE deliveries ADD COLUMN uncounted integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN deliveries.uncounted IS
    'Attempts that do not count, because the server asked for less, was away, or refused the account. attempt numbers '
    'every one that was begun.';

ALTER TABLE mailbox_sending
    ADD COLUMN counted_failures integer NOT NULL DEFAULT 0,
    ADD COLUMN counted_at       timestamptz,
    ADD COLUMN disabled_code    text,
    ADD COLUMN disabled_at      timestamptz;
COMMENT ON COLUMN mailbox_sending.counted_failures IS
    'Transient faults of the mailbox itself in a row, one for each pause: emails that fail together count once.';
COMMENT ON COLUMN mailbox_sending.disabled_code IS
    'The fault that has disabled sending, until the mailbox is tested again or set up anew.';

CREATE TABLE sending_breakers (
    profile_id     uuid PRIMARY KEY REFERENCES email_server_profiles ON DELETE CASCADE,
    failures       integer NOT NULL DEFAULT 0,
    step           integer NOT NULL DEFAULT 0,
    open_until     timestamptz,
    probe_email_id uuid
);
COMMENT ON TABLE sending_breakers IS
    'One row a profile whose server has failed for emails that are sent, and has not answered since. Apart from the '
    'breaker of reading: the servers differ, and whoever ends an attempt need not wait for those who hand out lanes.';
COMMENT ON COLUMN sending_breakers.open_until IS
    'Nothing is sent before; afterwards one email at a time. Absent: it has failed too seldom to keep away.';
COMMENT ON COLUMN sending_breakers.probe_email_id IS
    'The email that finds out whether the server is back; it counts as long as its claim lasts. No reference.';

UPDATE schema_state SET version = greatest(version, 26);
