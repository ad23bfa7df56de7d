-- Which alerts are shown to whom.

UPDATE schema_state SET version = greatest(version, 12);
