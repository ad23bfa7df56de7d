-- Settings of the deployment, in groups, read without a restart.

CREATE TABLE setting_groups (
    name       text PRIMARY KEY CHECK (name IN ('email', 'act', 'queue')),
    version    bigint NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO setting_groups (name) VALUES ('email'), ('act'), ('queue');

CREATE TABLE settings (
    group_name text NOT NULL REFERENCES setting_groups,
    key        text NOT NULL,
    value      bigint NOT NULL CHECK (value >= 0),
    PRIMARY KEY (group_name, key)
);
COMMENT ON TABLE settings IS
    'What differs from the default. Types, units, limits and defaults of settings stand in one table of the program, '
    'which checks what is written here and reads a value out of its limits as the nearest limit.';

ALTER TABLE organisations
    ADD COLUMN process_email_using text NOT NULL DEFAULT 'server-side-synchronization'
        CHECK (process_email_using IN ('server-side-synchronization', 'email-router'));
COMMENT ON COLUMN organisations.process_email_using IS
    'With the router nothing is handed out: no mailbox is read and no email is sent.';

ALTER TABLE mailboxes
    ADD COLUMN verbose_logging smallint NOT NULL DEFAULT 0 CHECK (verbose_logging BETWEEN 0 AND 100);

-- Figures of the last cycle. Runs that were not begun (deferred, overtaken) are no cycles and leave them alone.
ALTER TABLE lane_schedules
    ADD COLUMN last_processed           bigint NOT NULL DEFAULT 0,
    ADD COLUMN last_failed              bigint NOT NULL DEFAULT 0,
    ADD COLUMN last_duration_seconds    double precision,
    ADD COLUMN average_duration_seconds double precision,
    ADD COLUMN last_worker              text,
    ADD COLUMN worker                   text,
    ADD COLUMN last_error_code          text,
    ADD COLUMN last_error_message       text,
    ADD COLUMN last_error_at            timestamptz,
    ADD COLUMN last_error_worker        text,
    ADD COLUMN last_error_count         bigint NOT NULL DEFAULT 0,
    ADD COLUMN forced_unlocks           bigint NOT NULL DEFAULT 0,
    ADD COLUMN forced_unlocked_at       timestamptz;
COMMENT ON COLUMN lane_schedules.worker IS 'Host of the run that has last given a sign of life within the present claim.';
COMMENT ON COLUMN lane_schedules.last_error_count IS 'How often the last error has come in a row.';
COMMENT ON COLUMN lane_schedules.forced_unlocks IS
    'How often an occasion was taken from a worker that did not report within its claim, and handed out again.';

UPDATE schema_state SET version = greatest(version, 7);
