-- What is asked of people about records that come from mailboxes, and what they have answered.

CREATE TABLE questions (
    mailbox_id  uuid NOT NULL REFERENCES mailboxes ON DELETE CASCADE,
    remote_key  bytea NOT NULL,
    folder      text NOT NULL CHECK (folder IN ('contacts', 'calendar')),
    code        text NOT NULL,
    about       bytea,
    record_kind text,
    record_id   uuid,
    answers     text[] NOT NULL,
    by_hand     boolean NOT NULL,
    asked_at    timestamptz NOT NULL,
    look_at     timestamptz,
    answer      text,
    answered_at timestamptz,
    PRIMARY KEY (mailbox_id, remote_key),
    CONSTRAINT questions_name_a_record_whole CHECK ((record_kind IS NULL) = (record_id IS NULL)),
    CONSTRAINT questions_answered_whole CHECK ((answer IS NULL) = (answered_at IS NULL))
);
CREATE INDEX questions_due ON questions (mailbox_id, look_at) WHERE look_at IS NOT NULL;
CREATE INDEX questions_by_record ON questions (record_id) WHERE record_id IS NOT NULL;
COMMENT ON TABLE questions IS 'What a person is asked before an item of a mailbox becomes a record, and the answer. Gone with the question: when the item is a record, gone, or no longer tracked.';
COMMENT ON COLUMN questions.about IS 'Digest of what the answer holds for; NULL: whatever the item says.';
COMMENT ON COLUMN questions.by_hand IS 'Somebody has named the item: it counts as tracked, whatever its categories.';
COMMENT ON COLUMN questions.record_id IS 'The record that stands in the way.';
COMMENT ON COLUMN questions.look_at IS 'When the item is looked at again though nothing changes; NULL: when it changes.';

-- Whose time is taken, and which contacts may be the same.
CREATE INDEX activities_by_calendar ON activities (owner_user_id, ends_at)
    WHERE state = 'open' AND kind IN ('appointment', 'recurring-appointment', 'service-activity');
CREATE INDEX people_by_name ON people (lower(name)) WHERE kind = 'contact';

UPDATE schema_state SET version = greatest(version, 23);
