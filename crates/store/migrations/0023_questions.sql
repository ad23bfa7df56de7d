-- What is asked of people about records that come from mailboxes, and what they have answered.

UPDATE schema_state SET version = greatest(version, 23);
