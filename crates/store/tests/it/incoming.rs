//! Recording received email: insert-or-link under concurrency, any text, and what a page asks beforehand.

use std::time::Duration;

use lockstep_model::{
    address::AddressKey,
    email::{CorrelationMethod, Direction, PartyKind, PartyRole},
    id::{EmailId, MailboxId, UserId},
    mailbox::{Owner, TrackOption},
    remote::RemoteKey,
};
use lockstep_store::{
    Error,
    incoming::{self, NewAttachment, NewEmail, NewParty},
};
use lockstep_test_support::eventually;

use crate::seed::World;

fn email(mailbox: MailboxId, user: UserId, identity: [u8; 32]) -> NewEmail {
    NewEmail {
        id: EmailId::new(),
        direction: Direction::Incoming,
        subject: "Anfrage".to_owned(),
        message_id: "a1@kunde.example".to_owned(),
        in_reply_to: Vec::new(),
        sent_at: None,
        received_at: crate::seed::morning(),
        body_text: Some("Guten Tag".to_owned()),
        body_html: None,
        body_truncated: false,
        size_bytes: 100,
        identity,
        identity_ordinal: 0,
        owner: Some(user),
        accepting: Owner::User(user),
        mailbox,
        correlated: None,
        correlation_method: CorrelationMethod::None,
        regarding: None,
        raw: None,
        unparsable: None,
        parties: Vec::new(),
        attachments: Vec::new(),
    }
}

fn key(name: &str) -> RemoteKey {
    RemoteKey::new(name.as_bytes()).unwrap()
}

async fn world() -> (World, MailboxId, MailboxId, UserId) {
    let world = World::new().await;
    let profile = world.profile(2).await;
    let user = world.user("anna", TrackOption::All).await;
    let mailbox = world.mailbox(profile, Owner::User(user)).await;
    let other = world.user_mailbox(profile, "bert").await;
    (world, mailbox, other, user)
}

/// F6, G4: two mailboxes find one message at the same moment. The second insert waits for the first one's end, then
/// answers `false`, so that its page is planned again and links.
#[tokio::test]
async fn two_mailboxes_insert_one_identity_at_once() {
    let (world, mailbox, other, user) = world().await;
    for (round, first_commits) in [(1_u8, true), (2, false)] {
        let mut first = world.store.begin().await.unwrap();
        let winner = email(mailbox, user, [round; 32]);
        assert!(incoming::insert(&mut first, std::slice::from_ref(&winner)).await.unwrap());
        let store = world.store.clone();
        let second = tokio::spawn(async move {
            let mut second = store.begin().await.unwrap();
            let inserted = incoming::insert(&mut second, &[email(other, user, [round; 32])]).await.unwrap();
            if inserted {
                second.commit().await.unwrap();
            }
            inserted
        });
        eventually(
            Duration::from_secs(10),
            async || world.number("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()").await == 1,
            "the second insert waits",
        )
        .await;
        if first_commits {
            first.commit().await.unwrap();
        } else {
            drop(first);
        }
        assert_eq!(second.await.unwrap(), !first_commits);
        let count = format!("SELECT count(*) FROM emails WHERE identity = '\\x{}'", hex(&[round; 32]));
        assert_eq!(world.number(&count).await, 1);
    }
    let mut tx = world.store.begin().await.unwrap();
    let same = incoming::by_identity(&mut tx, &[other], None, &[[1; 32], [9; 32]]).await.unwrap();
    assert_eq!(same.len(), 1);
    let found = |mailbox, name| incoming::Found { email: same[0].email, mailbox, key: key(name) };
    incoming::link(&mut tx, None, &[found(mailbox, "m1"), found(other, "o1")]).await.unwrap();
    let seen = incoming::by_identity(&mut tx, &[other], None, &[[1; 32]]).await.unwrap();
    assert_eq!(seen[0].linked, Some((other, key("o1"))), "each mailbox sees its own link");
    // Through a forward mailbox keys are of another place, and say nothing about these.
    let seen = incoming::by_identity(&mut tx, &[other], Some(mailbox), &[[1; 32]]).await.unwrap();
    assert_eq!(seen[0].linked, None);
    tx.commit().await.unwrap();
    assert_eq!(world.number("SELECT count(*) FROM email_mailboxes").await, 2);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Pages that hold the same messages in opposite orders wait for each other and never deadlock.
#[tokio::test]
async fn pages_with_the_same_messages_in_any_order_do_not_deadlock() {
    let (world, mailbox, other, user) = world().await;
    for round in 0..5_u8 {
        let identities: Vec<[u8; 32]> = (0..40_u8).map(|at| [at, round].repeat(16).try_into().unwrap()).collect();
        let page = |mailbox, backwards: bool| {
            let mut emails: Vec<_> = identities.iter().map(|i| email(mailbox, user, *i)).collect();
            if backwards {
                emails.reverse();
            }
            let store = world.store.clone();
            async move {
                let mut tx = store.begin().await.unwrap();
                let inserted = incoming::insert(&mut tx, &emails).await.unwrap();
                if inserted {
                    tx.commit().await.unwrap();
                }
                inserted
            }
        };
        let (one, two) = tokio::join!(tokio::spawn(page(mailbox, false)), tokio::spawn(page(other, true)));
        assert!(one.unwrap() ^ two.unwrap(), "exactly one page was first");
    }
    assert_eq!(world.number("SELECT count(*) FROM emails").await, 200);
}

/// One statement a page, whatever the text: quotes, braces, backslashes, several scripts, characters beyond the basic
/// plane, and what JSON and arrays give a meaning of their own.
#[tokio::test]
async fn a_page_of_fifty_with_any_text_comes_back_as_it_was() {
    let (world, mailbox, _, user) = world().await;
    let odd = [
        "",
        "plain",
        "Grüße, 你好, שלום, नमस्ते",
        "👩‍👩‍👧‍👦 \u{10ffff} \u{fdd0}\u{200f}",
        "{\"a\": [1, \\u0041]}",
        "'; DROP TABLE emails; --",
        "back\\slash \\\\x00 \\u0000",
        "tab\tand\nline",
        "{curly,\"quoted\",NULL}",
        "\u{feff}bom\u{2028}",
    ];
    let mut emails = Vec::new();
    for at in 0..50_usize {
        let text = odd[at % odd.len()];
        let mut email = email(mailbox, user, [u8::try_from(at).unwrap(); 32]);
        email.subject = text.to_owned();
        email.body_text = Some(text.repeat(3));
        email.body_html = (at % 3 == 0).then(|| format!("<p>{text}</p>"));
        email.in_reply_to = odd.iter().map(|t| (*t).to_owned()).take(at % 5).collect();
        email.parties = vec![NewParty {
            role: PartyRole::From,
            name: text.to_owned(),
            address: format!("{text}@x.example"),
            address_key: AddressKey::of("A@x.example").map(|k| k.as_str().to_owned()),
            record: Some((PartyKind::User, user.0)),
        }];
        email.attachments = vec![NewAttachment {
            name: text.to_owned(),
            media_type: "text/plain".to_owned(),
            size_bytes: 5_000_000_000,
            content_id: Some(text.to_owned()),
            inline: at % 2 == 0,
            content: Err(text.to_owned()),
        }];
        emails.push(email);
    }
    let mut tx = world.store.begin().await.unwrap();
    assert!(incoming::insert(&mut tx, &emails).await.unwrap());
    incoming::tell_created(&mut tx, &emails.iter().map(|e| e.id).collect::<Vec<_>>()).await.unwrap();
    tx.commit().await.unwrap();
    for email in &emails {
        let row = sqlx::query_as::<
            _,
            (String, Vec<String>, Option<String>, Option<String>, String, String, String, i64, bool),
        >(
            "SELECT e.subject, e.in_reply_to, e.body_text, e.body_html, p.name, a.name, a.left_out, a.size_bytes,
                 e.attachments_left_out
             FROM emails e JOIN email_parties p ON p.email_id = e.id JOIN email_attachments a ON a.email_id = e.id
             WHERE e.id = $1",
        )
        .bind(email.id.0)
        .fetch_one(world.pool())
        .await
        .unwrap();
        let expected = (
            email.subject.clone(),
            email.in_reply_to.clone(),
            email.body_text.clone(),
            email.body_html.clone(),
            email.subject.clone(),
            email.subject.clone(),
            email.subject.clone(),
            5_000_000_000,
            true,
        );
        assert_eq!(row, expected);
    }
    assert_eq!(world.number("SELECT count(*) FROM feed_entries WHERE record_kind = 'email'").await, 50);
}

/// A NUL must not get this far; should one, it is the item's fault and not the database's.
#[tokio::test]
async fn a_nul_is_refused_as_a_data_error() {
    let (world, mailbox, _, user) = world().await;
    let mut tx = world.store.begin().await.unwrap();
    let nul = NewEmail { subject: "a\0b".to_owned(), ..email(mailbox, user, [1; 32]) };
    let error = incoming::insert(&mut tx, &[nul]).await.unwrap_err();
    assert!(error.is_about_data(), "{error:?}");
    let mut tx = world.store.begin().await.unwrap();
    let raw = NewEmail { raw: Some([3; 32]), ..email(mailbox, user, [1; 32]) };
    let error = incoming::insert(&mut tx, &[raw]).await.unwrap_err();
    assert!(matches!(error, Error::Reference { .. }) && error.is_about_data(), "{error:?}");
}

#[tokio::test]
async fn addresses_find_every_record_they_belong_to() {
    let (world, _, _, user) = world().await;
    let queue = world.queue("support", TrackOption::FromCustomers).await;
    let contact = world.contact("Anna privat", "anna@muster.example").await;
    for at in 0..120 {
        world.contact(&format!("c{at}"), "many@kunde.example").await;
    }
    let keys = ["anna@muster.example", "support@muster.example", "nobody@kunde.example", "many@kunde.example"];
    let mut tx = world.store.begin().await.unwrap();
    let found = incoming::addressees(&mut tx, &keys.map(str::to_owned)).await.unwrap();
    let of = |key: &str| found.iter().filter(|a| a.address_key == key).collect::<Vec<_>>();
    let anna = of("anna@muster.example");
    assert_eq!(anna.len(), 2);
    let as_user = anna.iter().find(|a| a.kind == PartyKind::User).unwrap();
    assert_eq!((as_user.record, as_user.owner, as_user.track), (user.0, Some(user), Some(TrackOption::All)));
    let as_contact = anna.iter().find(|a| a.kind == PartyKind::Contact).unwrap();
    assert_eq!((as_contact.record, as_contact.track), (contact, None));
    let support = of("support@muster.example");
    assert_eq!((support[0].record, support[0].track), (queue.0, Some(TrackOption::FromCustomers)));
    assert!(of("nobody@kunde.example").is_empty());
    assert_eq!(of("many@kunde.example").len(), 101, "enough to see that it is more than a hundred");
}

#[tokio::test]
async fn message_ids_find_the_oldest_ten_that_are_no_drafts() {
    let (world, mailbox, _, user) = world().await;
    let mut emails: Vec<_> = (0..12_u8).map(|at| email(mailbox, user, [at; 32])).collect();
    emails.sort_by_key(|e| e.id);
    let mut tx = world.store.begin().await.unwrap();
    assert!(incoming::insert(&mut tx, &emails).await.unwrap());
    tx.commit().await.unwrap();
    world
        .sql(&format!(
            "DELETE FROM emails WHERE id = '{id}';
             INSERT INTO emails (id, direction, status, message_id, created_at, updated_at)
                 SELECT '{id}', 'outgoing', 'draft', message_id, created_at, updated_at FROM emails WHERE id = '{}'",
            emails[1].id,
            id = emails[0].id,
        ))
        .await;
    let mut tx = world.store.begin().await.unwrap();
    let ids = ["a1@kunde.example".to_owned(), "A1@kunde.example".to_owned()];
    let found: Vec<_> = incoming::by_message_id(&mut tx, &ids).await.unwrap().into_iter().map(|c| c.email).collect();
    assert_eq!(found, emails[1..11].iter().map(|e| e.id).collect::<Vec<_>>());
}
