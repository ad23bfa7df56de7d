-- Who tested a mailbox, and when.

UPDATE schema_state SET version = greatest(version, 13);
