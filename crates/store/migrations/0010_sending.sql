-- Tracking tokens, sending as another, and what servers say about sending.

UPDATE schema_state SET version = greatest(version, 10);
