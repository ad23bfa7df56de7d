//! Links: which values are kept of records that are gone.

use lockstep_model::{
    id::{MailboxId, UserId},
    mailbox::{Lane, Owner, TrackOption},
    record::RecordId,
};
use lockstep_store::{erasure, lanes, links};
use uuid::Uuid;

use crate::seed::World;

const KUNDIN: &str = "kundin@privat.example";

/// A mailbox whose contacts are synchronised, where that is said, and its user.
async fn mailbox(world: &World, name: &str, synchronised: bool) -> (UserId, MailboxId) {
    let user = world.user(name, TrackOption::All).await;
    let mailbox = world.mailbox(world.profile(1).await, Owner::User(user)).await;
    world
        .sql(&format!(
            "UPDATE mailboxes SET act_method = 'server-side', act_enabled = {synchronised} WHERE id = '{mailbox}'"
        ))
        .await;
    world.realign(&[mailbox]).await;
    (user, mailbox)
}

async fn link(world: &World, mailbox: MailboxId, record: Uuid, owner: UserId) {
    world
        .sql(&format!(
            "INSERT INTO links (id, mailbox_id, record_kind, record_id, owner_id, remote_key, crm_fields, server_fields,
                 settled_record, settled_remote, created_at, updated_at)
             VALUES (gen_random_uuid(), '{mailbox}', 'contact', '{record}', '{owner}', 'k', '{{\"email_1\": \"{KUNDIN}\"}}',
                 '{{\"email_1\": \"{KUNDIN}\"}}', 1, 'CK1', now(), now());
             INSERT INTO intents (id, mailbox_id, run, stored_at, record_kind, record_id, step, planned, lost)
             VALUES (gen_random_uuid(), '{mailbox}', gen_random_uuid(), now(), 'contact', '{record}', 'create',
                 '{{\"email_1\": \"{KUNDIN}\"}}', '[[\"email_1\", \"{KUNDIN}\"]]')"
        ))
        .await;
}

/// When a contact is erased, what mailboxes agreed on goes too: at once where nothing more is done with it, and elsewhere when
/// the item was deleted or is left alone. Runs that still hold it are fenced.
#[tokio::test]
async fn of_an_erased_contact_no_values_are_kept() {
    let world = World::new().await;
    let ((anna, own), (_, other)) = (mailbox(&world, "anna", true).await, mailbox(&world, "bert", true).await);
    let (_, idle) = mailbox(&world, "carl", false).await;
    let contact = world.contact("Kundin", KUNDIN).await;
    for at in [own, other, idle] {
        link(&world, at, contact, anna).await;
    }
    let version = async |mailbox| {
        let mut tx = world.store.begin().await.unwrap();
        lanes::open(&mut tx, mailbox, Lane::Act).await.unwrap().unwrap().version
    };
    let before = version(other).await;
    let mut tx = world.store.begin().await.unwrap();
    assert_eq!(erasure::erase_people(&mut tx, KUNDIN, 10, "test").await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(version(other).await, before + 1);
    let kept = "SELECT mailbox_id FROM links WHERE crm_fields <> '{}' OR server_fields <> '{}'";
    assert_eq!(world.texts(kept).await, [other.to_string()], "its item is to be deleted if nobody has changed it");
    let bare = "SELECT count(*) FROM links WHERE crm_fields = '{}' AND server_fields = '{}' AND settled_remote IS NULL";
    assert_eq!(world.number(bare).await, 2);
    assert_eq!(world.number("SELECT count(*) FROM intents WHERE planned = '{}' AND lost = '[]'").await, 3);

    let mut tx = world.store.begin().await.unwrap();
    let mut link = links::of(&mut tx, other, &[RecordId(contact)], &[], &[]).await.unwrap().remove(0);
    assert!(link.crm.iter().next().is_some());
    link.unlinked = Some("changed".to_owned());
    links::put(&mut tx, other, std::slice::from_ref(&link)).await.unwrap();
    let left = links::of(&mut tx, other, &[RecordId(contact)], &[], &[]).await.unwrap().remove(0);
    assert_eq!((left.crm.iter().count(), left.server.iter().count(), &left.unlinked), (0, 0, &link.unlinked));
    tx.commit().await.unwrap();
    assert_eq!(world.texts(kept).await, Vec::<String>::new());

    // Of a record that is there, a link that is left alone keeps what it knows: it may be taken up again.
    let there = world.contact("Kunde", "kunde@privat.example").await;
    let mut tx = world.store.begin().await.unwrap();
    let again = links::Link { record: RecordId(there), ..link };
    links::forget(&mut tx, other, &[again.id]).await.unwrap();
    links::put(&mut tx, other, std::slice::from_ref(&again)).await.unwrap();
    let kept = links::of(&mut tx, other, &[RecordId(there)], &[], &[]).await.unwrap().remove(0);
    assert_eq!((kept.crm, kept.server), (again.crm, again.server));
}
