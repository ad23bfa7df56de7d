-- Pairs of a record and an item in a mailbox, and what is under way between them.

UPDATE schema_state SET version = greatest(version, 18);
