-- What people choose about email on Exchange.

-- Mail that the owner of a mailbox sent with another program becomes records too.
ALTER TABLE organisations ADD COLUMN auto_track_sent_items boolean NOT NULL DEFAULT false;
-- Mail that carries restrictions of rights management becomes none.
ALTER TABLE organisations ADD COLUMN restrict_rights_managed boolean NOT NULL DEFAULT false;
-- A copy of what is sent from here is kept in the sender's folder of sent messages.
ALTER TABLE organisations ADD COLUMN save_sent_copy boolean NOT NULL DEFAULT true;

-- Mail that was given up is moved out of the inbox.
ALTER TABLE email_server_profiles ADD COLUMN move_undeliverable boolean NOT NULL DEFAULT false;
ALTER TABLE mailboxes ADD COLUMN undeliverable_folder bytea;
COMMENT ON COLUMN mailboxes.undeliverable_folder IS
    'The server''s identity of the folder mail is moved to that was given up; known once there was some.';

-- Each folder that is read has a place in its listing of its own.
ALTER TABLE lanes ADD COLUMN sent_cursor bytea NOT NULL DEFAULT '';
ALTER TABLE lanes ADD COLUMN touching_folder text NOT NULL DEFAULT 'inbox' CHECK (touching_folder IN ('inbox', 'sent'));

ALTER TABLE remote_items ADD COLUMN folder text NOT NULL DEFAULT 'inbox'
    CHECK (folder IN ('inbox', 'sent', 'undeliverable', 'elsewhere'));
COMMENT ON COLUMN remote_items.folder IS
    'Where it lies. Elsewhere: the server says that it has left the folder it was read in.';
ALTER TABLE remote_items ADD COLUMN move_to text CHECK (move_to IN ('inbox', 'undeliverable'));
COMMENT ON COLUMN remote_items.move_to IS 'Where it is to be moved on the server; empty once the server has confirmed.';
ALTER TABLE remote_items ADD COLUMN move_attempts integer NOT NULL DEFAULT 0;
CREATE INDEX remote_items_to_move ON remote_items (mailbox_id) WHERE move_to IS NOT NULL;

UPDATE schema_state SET version = greatest(version, 21);
