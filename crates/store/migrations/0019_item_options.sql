-- What an organisation chooses about contacts, tasks and appointments.

ALTER TABLE organisations
    ADD COLUMN all_addresses            boolean NOT NULL DEFAULT false,
    ADD COLUMN leaving_deletes          boolean NOT NULL DEFAULT false,
    ADD COLUMN tasks_are_deleted_in_crm boolean NOT NULL DEFAULT true,
    ADD COLUMN cancelling_spreads       boolean NOT NULL DEFAULT false,
    ADD COLUMN past_meeting_updates     boolean NOT NULL DEFAULT false,
    ADD COLUMN tracked_category         text NOT NULL DEFAULT 'Tracked to CRM',
    ADD CONSTRAINT organisations_tracked_category_length CHECK (char_length(tracked_category) BETWEEN 1 AND 100);
COMMENT ON COLUMN organisations.leaving_deletes IS
    'A record that leaves the filters is deleted in the mailbox; else it stays there and is no longer tied to the record.';
COMMENT ON COLUMN organisations.tracked_category IS 'Items that people give this category become records.';

CREATE TABLE direction_maps (
    record_kind text PRIMARY KEY CHECK (record_kind IN ('contact', 'appointment', 'recurring-appointment',
                    'service-activity', 'task', 'phone-call', 'letter', 'fax')),
    id          uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    version     bigint NOT NULL DEFAULT 1,
    updated_at  timestamptz NOT NULL DEFAULT now()
);
INSERT INTO direction_maps (record_kind)
VALUES ('contact'), ('appointment'), ('recurring-appointment'), ('service-activity'), ('task'), ('phone-call'), ('letter'), ('fax');
COMMENT ON COLUMN direction_maps.id IS 'By which the feed names it.';

CREATE TABLE field_directions (
    record_kind text NOT NULL REFERENCES direction_maps,
    field       text NOT NULL,
    direction   text NOT NULL CHECK (direction IN ('both', 'to-crm', 'to-server', 'neither')),
    PRIMARY KEY (record_kind, field)
);
COMMENT ON TABLE field_directions IS
    'What differs from the default. Which fields a kind has, and which of them are free, stands in one table of the program.';

UPDATE schema_state SET version = greatest(version, 19);
