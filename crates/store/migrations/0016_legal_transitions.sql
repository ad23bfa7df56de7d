-- The life of an email, kept by the database.

UPDATE schema_state SET version = greatest(version, 16);
