-- What people choose about email on Exchange.

UPDATE schema_state SET version = greatest(version, 21);
