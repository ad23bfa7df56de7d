-- Attachments of appointments.

ALTER TABLE organisations ADD COLUMN appointment_attachments boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN organisations.appointment_attachments IS 'Attachments of single appointments are synchronised, both ways.';

CREATE TABLE activity_attachments (
    id             uuid PRIMARY KEY,
    activity_id    uuid NOT NULL REFERENCES activities ON DELETE CASCADE,
    name           text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 255),
    media_type     text NOT NULL,
    size_bytes     bigint NOT NULL,
    content_digest bytea NOT NULL REFERENCES contents,
    created_at     timestamptz NOT NULL,
    CONSTRAINT activity_attachments_each_once UNIQUE (activity_id, name, content_digest)
);
CREATE INDEX activity_attachments_by_content ON activity_attachments (content_digest);
COMMENT ON TABLE activity_attachments IS 'Files of appointments. A file is its name and its content: the same one is there once.';

-- What both sides of a link last agreed on.
CREATE TABLE link_attachments (
    link_id        uuid NOT NULL REFERENCES links ON DELETE CASCADE,
    name           text NOT NULL,
    content_digest bytea NOT NULL CHECK (octet_length(content_digest) = 32),
    remote_id      text COLLATE "C",
    remote_size    bigint,
    PRIMARY KEY (link_id, name, content_digest)
);
COMMENT ON COLUMN link_attachments.remote_id IS
    'NULL: it was about to be added on the server, and nobody has looked yet what became of that.';
COMMENT ON COLUMN link_attachments.remote_size IS 'Its size as the server tells; NULL until it was listed.';

-- Where the comparison of a link's attachments stands. A link without a row was never looked at.
CREATE TABLE attachment_states (
    link_id        uuid PRIMARY KEY REFERENCES links ON DELETE CASCADE,
    record_version bigint,
    remote_version text COLLATE "C",
    due_at         timestamptz,
    attempts       integer NOT NULL DEFAULT 0,
    intended_by    uuid,
    intended_at    timestamptz,
    left_out       integer NOT NULL DEFAULT 0,
    CONSTRAINT attachment_states_intended_whole CHECK ((intended_by IS NULL) = (intended_at IS NULL))
);
COMMENT ON COLUMN attachment_states.due_at IS 'Both sides are to be compared from then on; NULL until one of them moves.';
COMMENT ON COLUMN attachment_states.intended_by IS 'The run that was about to add something on the server.';

UPDATE schema_state SET version = greatest(version, 24);
