-- Forward mailboxes: one mailbox that receives, as attachments, what others forward.

ALTER TABLE mailboxes ADD COLUMN is_forward_mailbox boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN mailboxes.is_forward_mailbox IS
    'Nobody''s own: what is read here is treated as received by whoever forwarded it. It never sends.';
ALTER TABLE mailboxes
    DROP CONSTRAINT mailboxes_check,
    DROP CONSTRAINT mailboxes_check1,
    DROP CONSTRAINT mailboxes_incoming_method_check,
    ADD CONSTRAINT mailboxes_owner CHECK (
        num_nonnulls(owner_user_id, owner_queue_id) = CASE WHEN is_forward_mailbox THEN 0 ELSE 1 END),
    ADD CONSTRAINT mailboxes_forward_reads_only CHECK (NOT is_forward_mailbox
        OR (outgoing_method = 'none' AND act_method = 'none' AND incoming_method <> 'forward-mailbox')),
    ADD CONSTRAINT mailboxes_delete_after_processing CHECK (NOT delete_after_processing OR owner_user_id IS NULL),
    ADD CONSTRAINT mailboxes_incoming_method_check
        CHECK (incoming_method IN ('none', 'server-side', 'forward-mailbox'));

ALTER TABLE organisations
    ADD COLUMN resolve_all_alike boolean NOT NULL DEFAULT true,
    DROP CONSTRAINT organisations_default_incoming_check,
    ADD CONSTRAINT organisations_default_incoming_check
        CHECK (default_incoming IN ('none', 'server-side', 'forward-mailbox'));
COMMENT ON COLUMN organisations.resolve_all_alike IS
    'A party that is resolved by hand resolves the same address on other emails, where it is unresolved.';

ALTER TABLE email_mailboxes ADD COLUMN via_mailbox_id uuid REFERENCES mailboxes ON DELETE CASCADE;
COMMENT ON COLUMN email_mailboxes.via_mailbox_id IS
    'The forward mailbox through which it came; the remote key is then of an item there.';
CREATE INDEX email_mailboxes_via ON email_mailboxes (via_mailbox_id) WHERE via_mailbox_id IS NOT NULL;

-- Items that did not fit are looked for after each page of a forward mailbox, and when a forwarder changes.
CREATE INDEX remote_items_unfit ON remote_items (mailbox_id) WHERE reason = 'InvalidForwardMailItem';

UPDATE schema_state SET version = greatest(version, 8);
