-- Attachments of appointments.

UPDATE schema_state SET version = greatest(version, 24);
