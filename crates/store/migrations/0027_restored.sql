-- What a restored backup is known by, and when it was last dealt with.

ALTER TABLE feed_state
    ADD COLUMN database_identity text,
    ADD COLUMN restored_at       timestamptz,
    ADD COLUMN restored_sequence bigint,
    ADD CONSTRAINT feed_state_restored CHECK ((restored_at IS NULL) = (restored_sequence IS NULL));
COMMENT ON COLUMN feed_state.database_identity IS
    'Cluster and database in which the roles were last started: another one means a copy or a restored dump.';
COMMENT ON COLUMN feed_state.restored_sequence IS
    'The newest entry of the feed when a restored backup was last dealt with: nothing was written since while it is.';

-- Emails that were on their way in a restored backup, until a person has decided.
CREATE INDEX deliveries_restored ON deliveries (email_id) WHERE state = 'unknown' AND fault_code = 'RestoredBackup';

UPDATE schema_state SET version = greatest(version, 27);
