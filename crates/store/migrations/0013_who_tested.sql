-- Who tested a mailbox, and when.

-- Operations are removed after a while; who tested a mailbox is told as long as there is the mailbox.

ALTER TABLE mailboxes
    ADD COLUMN test_attempted_by  text,
    ADD COLUMN test_attempted_at  timestamptz,
    ADD COLUMN tested_by          text,
    ADD COLUMN incoming_tested_at timestamptz,
    ADD COLUMN outgoing_tested_at timestamptz,
    ADD COLUMN enabled_by         text,
    ADD COLUMN enabled_at         timestamptz;
COMMENT ON COLUMN mailboxes.test_attempted_by IS
    'Who asked for a test last, whether or not it came to a result; tested_by: for the last one that did.';
COMMENT ON COLUMN mailboxes.enabled_by IS 'Who asked for the last test by which a workload was enabled.';

-- What was tested before is told as far as it is still known.
UPDATE mailboxes SET incoming_tested_at = CASE WHEN incoming_test <> 'not-run' THEN tested_at END,
    outgoing_tested_at = CASE WHEN outgoing_test <> 'not-run' THEN tested_at END
WHERE tested_at IS NOT NULL;
UPDATE mailboxes AS m SET test_attempted_by = o.requested_by, test_attempted_at = o.created_at,
    tested_by = CASE WHEN o.result ? 'incoming' THEN o.requested_by END
FROM (SELECT DISTINCT ON (arguments->>'mailbox') arguments->>'mailbox' AS mailbox, requested_by, created_at, result
      FROM operations WHERE kind = 'test-and-enable-mailbox'
      ORDER BY arguments->>'mailbox', created_at DESC) AS o
WHERE o.mailbox = m.id::text;

-- What became no record is listed across mailboxes, newest first.
CREATE INDEX remote_items_no_records ON remote_items (seen_at, mailbox_id, remote_key)
    WHERE disposition IN ('refused', 'quarantined');

UPDATE schema_state SET version = greatest(version, 13);
