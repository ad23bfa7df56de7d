//! The fence: of two runs that have read the same version one writes, the other writes nothing.

use lockstep_model::{
    mailbox::{Account, Lane},
    remote::{Cursor, RemoteKey},
};
use lockstep_store::lanes;
use lockstep_test_support::eventually;
use secrecy::ExposeSecret;
use std::time::Duration;

use crate::seed::World;

const LANE: Lane = Lane::Incoming;

#[tokio::test]
async fn only_who_has_read_the_newest_version_writes() {
    let world = World::new().await;
    let mailbox = world.user_mailbox(world.profile(1).await, "anna").await;
    let (version, _) = world.lane(mailbox).await;
    let cursor = Cursor(vec![1, 2, 3]);
    let mut tx = world.store.begin().await.unwrap();
    assert!(!lanes::fence(&mut tx, mailbox, LANE, version - 1, Some(&cursor)).await.unwrap());
    assert!(!lanes::fence(&mut tx, mailbox, LANE, version + 1, Some(&cursor)).await.unwrap());
    assert!(!lanes::fence(&mut tx, mailbox, Lane::Act, version, Some(&cursor)).await.unwrap());
    assert!(lanes::fence(&mut tx, mailbox, LANE, version, Some(&cursor)).await.unwrap());
    assert!(!lanes::fence(&mut tx, mailbox, LANE, version, None).await.unwrap(), "once only");
    assert!(lanes::fence(&mut tx, mailbox, LANE, version + 1, None).await.unwrap());
    tx.commit().await.unwrap();
    let mut tx = world.store.begin().await.unwrap();
    let run = lanes::open(&mut tx, mailbox, LANE).await.unwrap().unwrap();
    assert_eq!((run.version, run.cursor), (version + 2, cursor), "a page without a cursor leaves it");
}

/// The second page waits for the first one's end. After its commit it is refused; after its rollback it may write.
#[tokio::test]
async fn two_pages_of_one_lane_never_interleave() {
    let world = World::new().await;
    let mailbox = world.user_mailbox(world.profile(1).await, "anna").await;
    for first_commits in [false, true] {
        let (version, _) = world.lane(mailbox).await;
        let mut first = world.store.begin().await.unwrap();
        assert!(lanes::fence(&mut first, mailbox, LANE, version, None).await.unwrap());
        let store = world.store.clone();
        let second = tokio::spawn(async move {
            let mut second = store.begin().await.unwrap();
            let through = lanes::fence(&mut second, mailbox, LANE, version, None).await.unwrap();
            second.commit().await.unwrap();
            through
        });
        eventually(
            Duration::from_secs(10),
            async || world.number("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()").await == 1,
            "the second page waits for the lane's row",
        )
        .await;
        assert!(!second.is_finished());
        if first_commits {
            first.commit().await.unwrap();
        } else {
            drop(first);
        }
        assert_eq!(second.await.unwrap(), !first_commits);
        assert_eq!(world.lane(mailbox).await.0, version + 1);
    }
}

#[tokio::test]
async fn touching_is_fenced_and_ends_with_the_page() {
    let world = World::new().await;
    let mailbox = world.user_mailbox(world.profile(1).await, "anna").await;
    let (version, _) = world.lane(mailbox).await;
    let key = RemoteKey::new(&b"\x00\xff'killer"[..]).unwrap();
    let mut tx = world.store.begin().await.unwrap();
    assert!(!lanes::touch(&mut tx, mailbox, LANE, version - 1, &key).await.unwrap());
    assert!(lanes::touch(&mut tx, mailbox, LANE, version, &key).await.unwrap());
    assert!(lanes::still(&mut tx, mailbox, LANE, version).await.unwrap(), "touching raises no version");
    assert!(!lanes::still(&mut tx, mailbox, LANE, version - 1).await.unwrap());
    assert_eq!(lanes::open(&mut tx, mailbox, LANE).await.unwrap().unwrap().touching, Some(key));
    assert!(lanes::fence(&mut tx, mailbox, LANE, version, None).await.unwrap());
    assert_eq!(lanes::open(&mut tx, mailbox, LANE).await.unwrap().unwrap().touching, None);
}

/// B17, C6: whose account and password are used, and where mail is read from.
#[tokio::test]
async fn a_run_reads_everything_it_needs() {
    let world = World::new().await;
    let profile = world.profile(7).await;
    let mailbox = world.user_mailbox(profile, "anna").await;
    let mut tx = world.store.begin().await.unwrap();
    let run = lanes::open(&mut tx, mailbox, LANE).await.unwrap().unwrap();
    assert!(run.enabled && run.claims == 0 && run.cursor.is_start() && !run.attempt_due && !run.deletions_wanted);
    assert_eq!(run.access.profile.max_connections, 7);
    assert_eq!(run.access.account, Account::of_mailbox(mailbox));
    assert_eq!(run.limits.max_attachment_bytes, 5 * 1024 * 1024);
    assert!(run.limits.blocked_extensions.contains(&"exe".to_owned()));
    let (login, secret) = run.access.credentials(&world.store).unwrap().unwrap();
    assert_eq!((login.as_str(), secret.expose_secret()), ("anna@muster.example", "geheim"));
    assert!(!format!("{run:?}").contains("geheim"));
    drop(tx);

    world.sql("UPDATE mailboxes SET allow_credentials = false").await;
    let mut tx = world.store.begin().await.unwrap();
    let (_, access) = lanes::access(&mut tx, mailbox).await.unwrap().unwrap();
    assert!(access.credentials(&world.store).unwrap().is_none(), "kept, but not to be used");
    drop(tx);

    world.sql("UPDATE mailboxes SET process_email_from = '2026-11-02'; UPDATE email_server_profiles SET process_emails_from = '2026-11-03'").await;
    let mut tx = world.store.begin().await.unwrap();
    let run = lanes::open(&mut tx, mailbox, LANE).await.unwrap().unwrap();
    assert_eq!(run.process_from.unwrap().to_rfc3339(), "2026-11-03T00:00:00+00:00", "the later of the two");
    drop(tx);

    world.sql("UPDATE mailboxes SET profile_id = NULL").await;
    let mut tx = world.store.begin().await.unwrap();
    assert!(lanes::open(&mut tx, mailbox, LANE).await.unwrap().is_none());
    assert!(lanes::access(&mut tx, mailbox).await.unwrap().is_none());
}

#[tokio::test]
async fn what_this_code_does_not_understand_is_named() {
    let world = World::new().await;
    let mailbox = world.user_mailbox(world.profile(1).await, "anna").await;
    world.sql("UPDATE email_server_profiles SET incoming_protocol = 'NO SUCH'").await;
    let mut tx = world.store.begin().await.unwrap();
    let error = lanes::open(&mut tx, mailbox, LANE).await.unwrap_err().to_string();
    assert!(error.contains("incoming_protocol"), "{error}");
}

/// Exactly one worker may say that a profile's counters were never opened before.
#[tokio::test]
async fn a_slot_is_opened_by_one_worker() {
    let world = World::new().await;
    let profile = world.profile(1).await;
    let opening = (0..6).map(|_| async {
        let mut tx = world.store.begin().await.unwrap();
        let first = lanes::open_slot(&mut tx, profile).await.unwrap();
        tx.commit().await.unwrap();
        usize::from(first)
    });
    assert_eq!(futures::future::join_all(opening).await.into_iter().sum::<usize>(), 1);
}
