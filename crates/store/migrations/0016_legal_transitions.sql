-- The life of an email, kept by the database.

-- The statuses of a message that was received, and of one that was written here, are two groups without a way between
-- them.
ALTER TABLE emails ADD CONSTRAINT emails_status_of_direction
    CHECK (CASE direction WHEN 'incoming' THEN status IN ('received', 'canceled') ELSE status <> 'received' END);

-- The legal steps from status to status. The same table stands in the code (EmailStatus::may_become); a test compares
-- them pair by pair. Whoever breaks it is told like whoever breaks a check, under the rule's name.
CREATE FUNCTION refuse_illegal_email_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.status, NEW.status) IN (
        ('draft', 'pending-send'), ('draft', 'completed'), ('draft', 'canceled'),
        ('pending-send', 'sending'), ('pending-send', 'canceled'), ('pending-send', 'failed'),
        ('sending', 'sent'), ('sending', 'failed'), ('sending', 'pending-send'),
        ('failed', 'pending-send'), ('failed', 'canceled'), ('failed', 'completed'),
        ('completed', 'canceled'), ('received', 'canceled')
    ) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'an email with status % cannot get status %', OLD.status, NEW.status
        USING ERRCODE = 'check_violation', CONSTRAINT = 'emails_status_transition', TABLE = 'emails', COLUMN = 'status';
END $$;
CREATE TRIGGER emails_status_transition BEFORE UPDATE OF status ON emails
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION refuse_illegal_email_status();

-- The audit by what was done, the newest first.
CREATE INDEX audit_entries_by_action ON audit_entries (action, id);

UPDATE schema_state SET version = greatest(version, 16);
