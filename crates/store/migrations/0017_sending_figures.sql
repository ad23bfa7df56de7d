-- How sending and testing of a mailbox have gone.

UPDATE schema_state SET version = greatest(version, 17);
