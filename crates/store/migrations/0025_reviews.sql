-- When the lane of contacts, tasks and appointments has to hold every record against filters, rights and options again.

ALTER TABLE lanes ADD COLUMN review_generation bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN lanes.review_generation IS
    'Raised when something counts that no feed tells of. The cursor says which one was reviewed last.';

UPDATE schema_state SET version = greatest(version, 25);
