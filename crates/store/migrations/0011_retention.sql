-- How long what has happened is kept, and the erasing of a person.

-- The change feed and the audit grow for ever: kept by day, so that what is too old goes by dropping a table. Days get
-- their partitions ahead of time; what comes on a day without one is kept in the partition "other", and removed there
-- row by row.

ALTER TABLE feed_entries RENAME TO feed_entries_before;
ALTER TABLE feed_entries_before RENAME CONSTRAINT feed_entries_pkey TO feed_entries_before_pkey;
ALTER INDEX feed_entries_unnumbered RENAME TO feed_entries_before_unnumbered;

CREATE SEQUENCE feed_entry_sequences;
CREATE TABLE feed_entries (
    sequence       bigint NOT NULL DEFAULT nextval('feed_entry_sequences'),
    position       bigint,
    record_kind    text NOT NULL,
    record_id      uuid NOT NULL,
    change         text NOT NULL CHECK (change IN ('created', 'updated', 'deleted')),
    fields         text[] NOT NULL DEFAULT '{}',
    record_version bigint NOT NULL,
    changed_at     timestamptz NOT NULL,
    PRIMARY KEY (sequence, changed_at)
) PARTITION BY RANGE (changed_at);
ALTER SEQUENCE feed_entry_sequences OWNED BY feed_entries.sequence;
COMMENT ON COLUMN feed_entries.position IS 'Unique, though no index says so: one sequencer at a time assigns it.';
CREATE TABLE feed_entries_other PARTITION OF feed_entries DEFAULT;
INSERT INTO feed_entries SELECT * FROM feed_entries_before;
SELECT setval('feed_entry_sequences', COALESCE(max(sequence), 0) + 1, false) FROM feed_entries;
DROP TABLE feed_entries_before;
CREATE INDEX feed_entries_by_position ON feed_entries (position) WHERE position IS NOT NULL;
CREATE INDEX feed_entries_unnumbered ON feed_entries (sequence) WHERE position IS NULL;

ALTER TABLE audit_entries RENAME TO audit_entries_before;
ALTER TABLE audit_entries_before RENAME CONSTRAINT audit_entries_pkey TO audit_entries_before_pkey;
ALTER INDEX audit_entries_by_object RENAME TO audit_entries_before_by_object;

CREATE TABLE audit_entries (
    id          uuid NOT NULL,
    done_at     timestamptz NOT NULL,
    actor       text NOT NULL,
    action      text NOT NULL,
    object_kind text NOT NULL,
    object_id   uuid,
    detail      jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (id, done_at)
) PARTITION BY RANGE (done_at);
CREATE TABLE audit_entries_other PARTITION OF audit_entries DEFAULT;
INSERT INTO audit_entries SELECT * FROM audit_entries_before;
DROP TABLE audit_entries_before;
CREATE INDEX audit_entries_by_object ON audit_entries (object_kind, object_id);

-- What is over and will not be asked for again is removed oldest first.
CREATE INDEX operations_ended ON operations (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX alerts_resolved ON alerts (resolved_at) WHERE resolved_at IS NOT NULL;

UPDATE schema_state SET version = greatest(version, 11);
