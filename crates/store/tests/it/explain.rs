//! The facts an explanation is made of.

use std::time::Duration;

use lockstep_model::{
    clock::Clock,
    id::{MailboxId, UserId},
    mailbox::Owner,
};
use lockstep_store::{
    alerts::{self, Part, Severity, Subject},
    explain,
    items::{self, Disposition, Item},
};

use crate::seed::World;

async fn put(world: &World, mailbox: MailboxId, name: &str, disposition: Disposition) {
    let item = Item {
        key: lockstep_model::remote::RemoteKey::new(name).unwrap(),
        weak: false,
        fingerprint: None,
        size_bytes: 10,
        message_id: Some("frage@kunde.example".to_owned()),
        disposition,
        reason: Some("Because".to_owned()),
        detail: None,
        delete_wanted: false,
        folder: lockstep_model::remote::MailFolder::Inbox,
        move_wanted: false,
    };
    let mut tx = world.store.begin().await.unwrap();
    items::put(&mut tx, mailbox, &[item]).await.unwrap();
    tx.commit().await.unwrap();
}

/// Everything that decides about a mailbox, of a user's and of a queue's.
#[tokio::test]
async fn the_facts_of_a_mailbox() {
    let world = World::new().await;
    let profile = world.profile(1).await;
    let anna = world.user_mailbox(profile, "anna").await;
    let queue = world.queue("info", lockstep_model::mailbox::TrackOption::None).await;
    let info = world.mailbox(profile, Owner::Queue(queue)).await;
    world.sql("UPDATE organisations SET approve_queues = false").await;
    let soon = world.clock.now() + Duration::from_secs(60);
    put(&world, anna, "a", Disposition::Quarantined(Some(soon))).await;
    put(&world, anna, "b", Disposition::Quarantined(None)).await;
    put(&world, anna, "c", Disposition::Refused).await;
    world.outgoing(anna, &["x@kunde.example"]).await;
    let mut tx = world.store.begin().await.unwrap();
    let alert = serde_json::json!({ "message": "no", "address": "anna@muster.example" });
    let about = Subject::Part(anna, Part::Incoming);
    alerts::raise(&mut tx, "Unauthorized", Severity::Error, about, alert.clone()).await.unwrap();
    alerts::raise(&mut tx, "ServerUnreachable", Severity::Error, Subject::Profile(profile), alert.clone())
        .await
        .unwrap();
    alerts::raise(&mut tx, "MailboxConnected", Severity::Information, Subject::Mailbox(info), alert).await.unwrap();
    tx.commit().await.unwrap();

    let mut tx = world.store.begin().await.unwrap();
    let facts = explain::mailbox(&mut tx, anna).await.unwrap().unwrap();
    let owner = facts.owner.unwrap();
    assert_eq!((owner.kind.as_str(), owner.name.as_str(), owner.track_option.as_str()), ("user", "anna", "all"));
    assert_eq!((facts.profile.unwrap().id, facts.approval_required), (profile.0, true));
    assert!(facts.incoming.unwrap().enabled);
    let told: Vec<_> = facts.alerts.iter().map(|a| (a.code.as_str(), a.part.as_deref())).collect();
    assert_eq!(told, [("Unauthorized", Some("incoming")), ("ServerUnreachable", None)]);
    assert_eq!((facts.quarantine.items, facts.quarantine.given_up), (2, 1));
    assert_eq!(facts.quarantine.next_attempt_at, Some(soon));
    assert_eq!((facts.outbox.waiting, facts.outbox.sending), (1, 0));
    let facts = explain::mailbox(&mut tx, info).await.unwrap().unwrap();
    assert_eq!((facts.owner.unwrap().kind.as_str(), facts.approval_required), ("queue", false));
    assert_eq!((facts.quarantine.items, facts.outbox.waiting), (0, 0));
    assert!(explain::mailbox(&mut tx, MailboxId::new()).await.unwrap().is_none());
}

/// Connections are counted by claims and reports: of all who share an account, and of one mailbox where it has its own; what
/// was claimed and has ended does not count.
#[tokio::test]
async fn the_facts_of_an_account() {
    let world = World::new().await;
    let profile = world.profile(3).await;
    let (anna, bert) = (world.user_mailbox(profile, "anna").await, world.user_mailbox(profile, "bert").await);
    let carl = world.user_mailbox(profile, "carl").await;
    world.outgoing(bert, &["x@kunde.example"]).await;
    let now = world.clock.now();
    let lane =
        |mailbox: MailboxId, set: &str| format!("UPDATE lane_schedules SET {set} WHERE mailbox_id = '{mailbox}';");
    let soon = now + Duration::from_secs(60);
    world
        .sql(
            &[
                lane(anna, &format!("claimed_until = '{soon}', worker = 'w1'")),
                lane(bert, &format!("claimed_until = '{soon}'")),
                lane(carl, &format!("claimed_until = '{now}', last_outcome = 'deferred', not_before = '{soon}'")),
                format!("UPDATE deliveries SET state = 'sending', claimed_until = '{soon}';"),
                format!(
                    "INSERT INTO replicas (id, role, started_at, seen_at, capacity)
                         VALUES (gen_random_uuid(), 'mailbox-worker', '{now}', '{now}', 32);"
                ),
                "UPDATE email_server_profiles SET credentials = 'profile'".to_owned(),
            ]
            .concat(),
        )
        .await;
    let permit = async |mailbox| {
        let mut tx = world.store.begin().await.unwrap();
        explain::mailbox(&mut tx, mailbox).await.unwrap().unwrap().permit.unwrap()
    };
    let shared = permit(anna).await;
    assert_eq!((shared.shared, shared.claimed, shared.at_work, shared.sending), (true, 2, 1, 1));
    assert_eq!((shared.deferred, shared.workers, shared.capacity), (1, 1, 32));
    assert_eq!(permit(carl).await, shared, "the same account");
    world.sql("UPDATE email_server_profiles SET credentials = 'mailbox'").await;
    let own = permit(anna).await;
    assert_eq!((own.shared, own.claimed, own.at_work, own.sending, own.deferred), (false, 1, 1, 0, 0));
    assert_eq!((permit(bert).await.sending, permit(carl).await.deferred), (1, 1));
    world.sql("UPDATE email_server_profiles SET same_settings_for_outgoing = false").await;
    assert_eq!(permit(anna).await.sending, 1, "all send with one account");
    world.advance(61);
    let over = permit(anna).await;
    assert_eq!((over.claimed, over.sending, over.workers), (0, 0, 0));
}

/// One message in several mailboxes: a record in one, refused in another; what concerns the mailbox asked for
/// comes first.
#[tokio::test]
async fn the_facts_of_a_message() {
    let world = World::new().await;
    let profile = world.profile(1).await;
    let (anna, bert) = (world.user_mailbox(profile, "anna").await, world.user_mailbox(profile, "bert").await);
    let carl = world.user_mailbox(profile, "carl").await;
    world
        .sql(&format!(
            "WITH e AS (INSERT INTO emails (id, direction, status, message_id, accepting_kind, accepting_id, created_at,
                 updated_at) SELECT gen_random_uuid(), 'incoming', 'received', 'frage@kunde.example', 'user',
                 owner_user_id, now(), now() FROM mailboxes WHERE id = '{anna}' RETURNING id)
             INSERT INTO email_mailboxes SELECT id, '{anna}', 'k', now() FROM e"
        ))
        .await;
    put(&world, bert, "b", Disposition::Refused).await;
    world.advance(60);
    put(&world, carl, "c", Disposition::Quarantined(None)).await;
    let ids = ["FRAGE@x".to_owned(), "frage@kunde.example".to_owned()];
    let mut tx = world.store.begin().await.unwrap();
    let facts = explain::message(&mut tx, &ids, Some(bert), None).await.unwrap();
    let email = &facts.emails[0];
    assert_eq!((email.accepting_name.as_deref(), email.delivery.is_none()), (Some("anna"), true));
    assert_eq!(email.found_in.iter().map(|p| p.mailbox_id).collect::<Vec<_>>(), [anna.0]);
    let items: Vec<_> = facts.items.iter().map(|i| (i.address.as_str(), i.disposition.as_str())).collect();
    assert_eq!(items, [("bert@muster.example", "refused"), ("carl@muster.example", "quarantined")]);
    assert_eq!(explain::message(&mut tx, &ids, None, None).await.unwrap().items[0].mailbox_id, carl.0, "the newest");
    assert_eq!((facts.elsewhere.mailboxes, facts.elsewhere.read, facts.elsewhere.quarantined), (3, 3, 1));
    // F25: a user is told of the own mailbox alone, and not of records that are not the user's to read.
    let owner = async |name: &str| {
        let sql = "SELECT id FROM users WHERE name = $1";
        UserId(sqlx::query_scalar(sql).bind(name).fetch_one(world.pool()).await.unwrap())
    };
    let berts = explain::message(&mut tx, &ids, None, Some(owner("bert").await)).await.unwrap();
    let seen: Vec<_> = berts.items.iter().map(|i| i.mailbox_id).collect();
    assert_eq!((seen, berts.emails.len(), berts.elsewhere.mailboxes), (vec![bert.0], 0, 0));
    let annas = explain::message(&mut tx, &ids, None, Some(owner("anna").await)).await.unwrap();
    assert_eq!((annas.items.len(), annas.emails.len(), annas.emails[0].withheld), (0, 1, true));
    let nothing = explain::message(&mut tx, &["other@x".to_owned()], None, None).await.unwrap();
    assert!(nothing.emails.is_empty() && nothing.items.is_empty());
}

/// What is sent is found too, with what each recipient's server said.
#[tokio::test]
async fn the_facts_of_a_delivery() {
    let world = World::new().await;
    let anna = world.user_mailbox(world.profile(1).await, "anna").await;
    let email = world.outgoing(anna, &["a@kunde.example", "b@kunde.example"]).await;
    world
        .sql(
            "UPDATE delivery_recipients SET state = 'refused', reply = '550 no such user' WHERE address LIKE 'b%';
             UPDATE delivery_recipients SET state = 'accepted' WHERE address LIKE 'a%'",
        )
        .await;
    let mut tx = world.store.begin().await.unwrap();
    let facts = explain::message(&mut tx, &[format!("{email}@muster.example")], None, None).await.unwrap();
    let delivery = facts.emails[0].delivery.as_ref().unwrap();
    assert_eq!((delivery.state.as_str(), delivery.mailbox_id), ("pending", anna.0));
    let told: Vec<_> = delivery.recipients.iter().map(|r| (r.state.as_str(), r.reply.as_deref())).collect();
    assert_eq!(told, [("refused", Some("550 no such user")), ("accepted", None)]);
}

/// Where a message can be that nobody has seen.
#[tokio::test]
async fn how_all_mailboxes_stand() {
    let world = World::new().await;
    let profile = world.profile(1).await;
    for name in ["anna", "bert", "carl", "dora"] {
        world.user_mailbox(profile, name).await;
    }
    let lane = |name: &str, set: &str| {
        format!(
            "UPDATE lane_schedules SET {set} WHERE mailbox_id = (SELECT id FROM mailboxes WHERE address LIKE '{name}%');"
        )
    };
    world
        .sql(
            &[
                lane("anna", "enabled = false, disabled_code = 'Unauthorized'"),
                lane("bert", "transient_failures = 3, due_at = due_at + interval '5 minutes'"),
                lane("carl", "claimed_until = due_at + interval '5 minutes'"),
                "UPDATE email_server_profiles SET breaker_open_until = now() + interval '1000 days'".to_owned(),
            ]
            .concat(),
        )
        .await;
    world.advance(61);
    let mut tx = world.store.begin().await.unwrap();
    let all = explain::message(&mut tx, &[], None, None).await.unwrap().elsewhere;
    assert_eq!((all.read, all.stopped, all.failing, all.overdue, all.open_breakers), (3, 1, 1, 1, 1), "{all:?}");
}
