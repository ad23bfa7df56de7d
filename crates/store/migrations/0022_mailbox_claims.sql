-- What a mailbox is marked with, and what administrators choose about it.

UPDATE schema_state SET version = greatest(version, 22);
