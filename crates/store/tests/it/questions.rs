//! Questions about items: asked once, answered once, and over when the record in the way is erased.

use lockstep_model::{
    id::MailboxId,
    record::{Kind, RecordId},
    remote::RemoteKey,
};
use lockstep_store::{
    alerts::{self, Severity, Subject},
    erasure,
    questions::{self, Asked, DUPLICATE_CONTACT, Question, SCHEDULING_CONFLICT, Standing},
};
use serde_json::json;
use uuid::Uuid;

use crate::seed::World;

fn question(key: &str, code: &str, record: Uuid) -> Question {
    let contact = code == DUPLICATE_CONTACT;
    let answers: &[&str] = if contact { &["link", "create", "ignore"] } else { &["yes", "no"] };
    Question {
        item: RemoteKey::new(key).unwrap(),
        folder: if contact { "contacts" } else { "calendar" }.to_owned(),
        code: code.to_owned(),
        about: Some(vec![1]),
        record: Some((Kind::Contact, RecordId(record))),
        answers: answers.iter().map(|&answer| answer.to_owned()).collect(),
        by_hand: false,
        answer: None,
    }
}

async fn ask(world: &World, mailbox: MailboxId, question: &Question) -> Standing {
    let mut tx = world.store.begin().await.unwrap();
    let later = tx.now() + chrono::TimeDelta::hours(1);
    let standing = questions::ask(&mut tx, mailbox, question, later).await.unwrap();
    let subject = Subject::Item(mailbox, &question.item);
    let parameters = json!({ "record": "x", "starts": "x", "answers": "x" });
    alerts::raise(&mut tx, &question.code, Severity::Error, subject, parameters).await.unwrap();
    tx.commit().await.unwrap();
    standing
}

async fn answer(world: &World, mailbox: MailboxId, question: &Question, answer: &str) -> bool {
    let asked = Asked { mailbox, question: question.clone(), answered_at: None };
    let mut tx = world.store.begin().await.unwrap();
    let done = questions::answer(&mut tx, &asked, answer).await.unwrap();
    tx.commit().await.unwrap();
    done
}

async fn one(world: &World, mailbox: MailboxId, item: &RemoteKey) -> Option<Question> {
    let mut tx = world.store.begin().await.unwrap();
    questions::of(&mut tx, mailbox, std::slice::from_ref(item)).await.unwrap().pop()
}

async fn due(world: &World, mailbox: MailboxId) -> usize {
    let mut tx = world.store.begin().await.unwrap();
    questions::due(&mut tx, mailbox, 10).await.unwrap().len()
}

/// J9, K10: the same question stands as it is with its answer; another one takes its place, and asks anew. A look does not
/// lose an answer that came meanwhile.
#[tokio::test]
async fn j9_k10_a_question_is_one_an_item() {
    let world = World::new().await;
    let profile = world.profile(2).await;
    let mailbox = world.user_mailbox(profile, "anna").await;
    let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
    let mut asked = question("k", SCHEDULING_CONFLICT, first);
    assert_eq!(ask(&world, mailbox, &asked).await, Standing::Anew);
    assert_eq!(ask(&world, mailbox, &asked).await, Standing::Open);
    assert_eq!(due(&world, mailbox).await, 0, "in an hour");
    let other = question("k", SCHEDULING_CONFLICT, second);
    assert!(!answer(&world, mailbox, &other, "yes").await, "nobody asks that");
    assert!(!answer(&world, mailbox, &asked, "link").await, "it is not offered");
    assert!(answer(&world, mailbox, &asked, "yes").await);
    assert!(!answer(&world, mailbox, &asked, "no").await, "it was answered");
    assert!(world.open_alerts().await.is_empty());
    assert_eq!(ask(&world, mailbox, &asked).await, Standing::Answered);

    // Looked at before the answer was there: it is due still.
    let mut tx = world.store.begin().await.unwrap();
    let later = tx.now() + chrono::TimeDelta::hours(1);
    questions::looked_at(&mut tx, mailbox, std::slice::from_ref(&asked), later).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(due(&world, mailbox).await, 1);
    asked.answer = Some("yes".to_owned());
    let mut tx = world.store.begin().await.unwrap();
    questions::looked_at(&mut tx, mailbox, std::slice::from_ref(&asked), later).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(due(&world, mailbox).await, 0);

    assert_eq!(ask(&world, mailbox, &other).await, Standing::Anew);
    assert_eq!(one(&world, mailbox, &other.item).await.unwrap().answer, None);
    assert_eq!(world.number("SELECT count(*) FROM questions").await, 1);
}

/// K10: who is erased stands in nobody's way, and does not come back by the item that was asked about.
#[tokio::test]
async fn k10_an_erased_contact_does_not_come_back() {
    let world = World::new().await;
    let profile = world.profile(2).await;
    let mailbox = world.user_mailbox(profile, "anna").await;
    let contact = world.contact("Vera", "vera@customer.test").await;
    let asked = question("k", DUPLICATE_CONTACT, contact);
    ask(&world, mailbox, &asked).await;
    let mut tx = world.store.begin().await.unwrap();
    let held = questions::in_question(&mut tx, mailbox, &[RecordId(contact)]).await.unwrap();
    assert_eq!(held, [RecordId(contact)], "no other item is made of it");
    assert_eq!(erasure::erase_people(&mut tx, "vera@customer.test", 10, "test").await.unwrap(), 1);
    tx.commit().await.unwrap();
    let left = one(&world, mailbox, &asked.item).await.unwrap();
    assert_eq!((left.record, left.answer.as_deref()), (None, Some("ignore")));
    assert!(world.open_alerts().await.is_empty());
    assert_eq!(due(&world, mailbox).await, 0);
}
