-- What a mailbox is marked with, and what administrators choose about it.

ALTER TABLE organisations
    ADD COLUMN inactive_category text NOT NULL DEFAULT 'Inactive in CRM',
    ADD COLUMN time_zone         text NOT NULL DEFAULT 'UTC',
    ADD CONSTRAINT organisations_inactive_category_length CHECK (char_length(inactive_category) BETWEEN 1 AND 100),
    ADD CONSTRAINT organisations_time_zone_length CHECK (char_length(time_zone) BETWEEN 1 AND 64);
COMMENT ON COLUMN organisations.inactive_category IS 'The category by which the item of a deactivated contact is known.';
COMMENT ON COLUMN organisations.time_zone IS 'Name of the IANA database: the zone of users who have none of their own.';

ALTER TABLE users
    ADD COLUMN time_zone text,
    ADD CONSTRAINT users_time_zone_length CHECK (char_length(time_zone) BETWEEN 1 AND 64);
COMMENT ON COLUMN users.time_zone IS 'Name of the IANA database: where times are that name no zone; NULL: the organisation''s.';

UPDATE schema_state SET version = greatest(version, 22);
