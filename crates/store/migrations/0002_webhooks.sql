-- Webhooks: where other programs want to be told of changes, and how far each of them has been told.

CREATE TABLE webhook_endpoints (
    id                     uuid PRIMARY KEY REFERENCES operations,
    name                   text NOT NULL UNIQUE,
    description            text NOT NULL DEFAULT '',
    url                    text NOT NULL,
    record_kinds           text[] NOT NULL DEFAULT '{}',
    active                 boolean NOT NULL DEFAULT true,
    sealed_secret          bytea NOT NULL,
    previous_sealed_secret bytea,
    previous_valid_until   timestamptz,
    epoch                  uuid NOT NULL,
    position               bigint NOT NULL CHECK (position >= 0),
    disabled_code          text CHECK (disabled_code IN ('gone', 'failing', 'cursor-lost')),
    disabled_at            timestamptz,
    failures               integer NOT NULL DEFAULT 0,
    failing_since          timestamptz,
    last_attempt_at        timestamptz,
    last_succeeded_at      timestamptz,
    last_status            integer,
    last_error             text,
    next_attempt_at        timestamptz,
    delivered              bigint NOT NULL DEFAULT 0,
    run_id                 uuid,
    run_until              timestamptz,
    run_fenced             boolean NOT NULL DEFAULT false,
    version                bigint NOT NULL DEFAULT 1,
    created_at             timestamptz NOT NULL,
    updated_at             timestamptz NOT NULL,
    CHECK ((previous_sealed_secret IS NULL) = (previous_valid_until IS NULL)),
    CHECK ((disabled_code IS NULL) = (disabled_at IS NULL)),
    CHECK ((run_id IS NULL) = (run_until IS NULL))
) WITH (fillfactor = 70);
COMMENT ON COLUMN webhook_endpoints.id IS
    'Also the id of the operation that delivers: done while there is nothing to tell, pending while there is.';
COMMENT ON COLUMN webhook_endpoints.position IS 'Everything up to here was accepted by the receiver, or not wanted.';
COMMENT ON COLUMN webhook_endpoints.run_id IS
    'The run that may send until run_until: nobody sends beside it.';
COMMENT ON COLUMN webhook_endpoints.run_fenced IS
    'The fence: the endpoint was changed since the run took it, so that nothing it notes counts any more.';

UPDATE schema_state SET version = greatest(version, 2);
