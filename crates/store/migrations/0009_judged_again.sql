-- Messages that were refused are judged again when the rules that refused them change.

COMMENT ON COLUMN remote_items.next_attempt_at IS
    'When it is looked at once more: a quarantined item is tried again, any other is judged again. Cleared with the result.';
CREATE INDEX remote_items_to_judge ON remote_items (mailbox_id, next_attempt_at)
    WHERE disposition <> 'quarantined' AND next_attempt_at IS NOT NULL;

UPDATE schema_state SET version = greatest(version, 9);
