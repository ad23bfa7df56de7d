-- Tasks, phone calls, letters, faxes and appointments.

UPDATE schema_state SET version = greatest(version, 14);
