//! One open alert a code and subject; it counts, ends and begins anew.

use lockstep_model::{
    id::{AlertId, EmailId},
    mailbox::{Owner, TrackOption},
    remote::RemoteKey,
};
use lockstep_store::alerts::{self, Filter, Part, Severity, Subject};
use serde_json::json;

use crate::seed::World;

async fn raise(world: &World, code: &str, severity: Severity, subject: Subject<'_>) {
    let mut tx = world.store.begin().await.unwrap();
    let parameters = json!({ "message": "no", "at": tx.now() });
    alerts::raise(&mut tx, code, severity, subject, parameters).await.unwrap();
    tx.commit().await.unwrap();
}

async fn resolve(world: &World, code: &str, subject: Subject<'_>) -> bool {
    let mut tx = world.store.begin().await.unwrap();
    let resolved = alerts::resolve(&mut tx, code, subject).await.unwrap();
    tx.commit().await.unwrap();
    resolved
}

#[tokio::test]
async fn an_alert_is_open_once_and_counts() {
    let world = World::new().await;
    let mailbox = Subject::Mailbox(world.user_mailbox(world.profile(1).await, "anna").await);
    raise(&world, "LoginRefused", Severity::Warning, mailbox).await;
    world.advance(60);
    raise(&world, "LoginRefused", Severity::Error, mailbox).await;
    let mut tx = world.store.begin().await.unwrap();
    let open = alerts::list(&mut tx, &Filter::default(), None, 10).await.unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!((open[0].occurrences, open[0].severity.as_str(), open[0].scope.as_str()), (2, "error", "mailbox"));
    assert_eq!((open[0].last_at - open[0].first_at).num_seconds(), 60);
    assert_eq!(open[0].parameters, json!({ "message": "no", "at": open[0].last_at }), "the newest parameters");
    let id = AlertId(open[0].id);
    assert_eq!(alerts::get(&mut tx, id, None).await.unwrap().as_ref(), Some(&open[0]));
    drop(tx);

    assert!(resolve(&world, "LoginRefused", mailbox).await);
    assert!(!resolve(&world, "LoginRefused", mailbox).await, "it has ended already");
    raise(&world, "LoginRefused", Severity::Error, mailbox).await;
    assert_eq!(world.open_alerts().await, ["LoginRefused error ×1"], "a new one, counting from one");
    assert_eq!(world.number("SELECT count(*) FROM alerts").await, 2);
}

#[tokio::test]
async fn raised_by_many_at_once_it_is_one() {
    let world = World::new().await;
    let profile = Subject::Profile(world.profile(1).await);
    futures::future::join_all((0..8).map(|_| raise(&world, "ServerUnreachable", Severity::Error, profile))).await;
    assert_eq!(world.open_alerts().await, ["ServerUnreachable error ×8"]);
}

#[tokio::test]
async fn codes_and_subjects_are_told_apart() {
    let world = World::new().await;
    let profile = world.profile(1).await;
    let (anna, bert) = (world.user_mailbox(profile, "anna").await, world.user_mailbox(profile, "bert").await);
    let email = world.outgoing(anna, &["a@k.example"]).await;
    let key = RemoteKey::new("k1").unwrap();
    for subject in [
        Subject::Profile(profile),
        Subject::Mailbox(anna),
        Subject::Part(anna, Part::Incoming),
        Subject::Part(anna, Part::Outgoing),
        Subject::Part(bert, Part::Incoming),
        Subject::Item(anna, &key),
        Subject::Email(email, anna),
    ] {
        raise(&world, "One", Severity::Error, subject).await;
        raise(&world, "Other", Severity::Warning, subject).await;
    }
    assert_eq!(world.open_alerts().await.len(), 14);
    let mut tx = world.store.begin().await.unwrap();
    let count = async |tx: &mut _, filter: Filter<'static>| alerts::list(tx, &filter, None, 100).await.unwrap().len();
    assert_eq!(count(&mut tx, Filter { severity: Some("warning"), ..Filter::default() }).await, 7);
    assert_eq!(count(&mut tx, Filter { scope: Some("profile"), ..Filter::default() }).await, 2);
    assert_eq!(count(&mut tx, Filter { scope: Some("mailbox"), ..Filter::default() }).await, 8);
    assert_eq!(count(&mut tx, Filter { mailbox: Some(anna), ..Filter::default() }).await, 10, "and of what is in it");
    assert_eq!(alerts::resolve_part(&mut tx, anna, Part::Listing).await.unwrap(), 0);
    assert_eq!(alerts::resolve_part(&mut tx, anna, Part::Incoming).await.unwrap(), 2, "both codes, nothing else");
    assert_eq!(count(&mut tx, Filter { open: Some(false), ..Filter::default() }).await, 2);
    let first = alerts::list(&mut tx, &Filter::default(), None, 4).await.unwrap();
    let then = alerts::list(&mut tx, &Filter::default(), Some(first[3].id), 100).await.unwrap();
    assert_eq!(then.len(), 10, "page by page");
    assert!(!alerts::resolve(&mut tx, "One", Subject::Email(EmailId::new(), anna)).await.unwrap());
}

#[tokio::test]
async fn a_dismissed_alert_comes_back_with_its_cause() {
    let world = World::new().await;
    let user = world.user("anna", TrackOption::All).await;
    let mailbox = Subject::Mailbox(world.mailbox(world.profile(1).await, Owner::User(user)).await);
    raise(&world, "LoginRefused", Severity::Error, mailbox).await;
    let id: AlertId = world.text("SELECT id FROM alerts").await.parse().unwrap();
    let mut tx = world.store.begin().await.unwrap();
    assert!(alerts::dismiss(&mut tx, id, None, "anna").await.unwrap());
    assert!(!alerts::dismiss(&mut tx, id, None, "anna").await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(
        world.number("SELECT count(*) FROM audit_entries WHERE action = 'dismissed' AND actor = 'anna'").await,
        1
    );
    raise(&world, "LoginRefused", Severity::Error, mailbox).await;
    assert_eq!(world.open_alerts().await, ["LoginRefused error ×1"]);
}
