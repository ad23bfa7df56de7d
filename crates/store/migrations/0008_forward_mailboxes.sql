-- Forward mailboxes: one mailbox that receives, as attachments, what others forward.

UPDATE schema_state SET version = greatest(version, 8);
