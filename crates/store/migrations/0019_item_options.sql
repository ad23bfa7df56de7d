-- What an organisation chooses about contacts, tasks and appointments.

UPDATE schema_state SET version = greatest(version, 19);
