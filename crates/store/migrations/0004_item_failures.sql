-- Where a message is: items that became no record are found by Message-ID, and what was said of them expires.

ALTER TABLE remote_items ADD COLUMN message_id text COLLATE "C";
COMMENT ON COLUMN remote_items.message_id IS
    'Normalised, of items that are no records and whose header was read; the records have their own.';
CREATE INDEX remote_items_by_message_id ON remote_items (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX remote_items_with_detail ON remote_items (seen_at)
    WHERE detail IS NOT NULL AND (disposition = 'refused' OR next_attempt_at IS NULL);

UPDATE schema_state SET version = greatest(version, 4);
