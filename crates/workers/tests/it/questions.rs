//! What people are asked before an item becomes a record, and that their answers are obeyed.

use lockstep_model::{
    id::{MailboxId, UserId},
    mailbox::{Lane, Owner, TrackOption},
    record::{Field, Fields, Kind, PersonName, ShowAs, Value, When},
    remote::RemoteKey,
};
use lockstep_store::{
    lanes,
    questions::{self, CREATE, IGNORE, LINK, NO, YES},
};
use lockstep_wire::{Outcome, SyncLane};
use uuid::Uuid;

use crate::stage::{ANNA, Stage};

/// So long after a look everything is looked at again.
const HOUR: u64 = 3_601;

const CONFLICT: &str = "SchedulingConflict";
const DUPLICATE: &str = "DuplicateContact";

struct Anna {
    stage: Stage,
    user: UserId,
    mailbox: MailboxId,
}

/// Anna, whose appointments and own contacts are in her mailbox.
async fn anna() -> Anna {
    let stage = Stage::new().await;
    let user = stage.world.user("anna", TrackOption::All).await;
    let mailbox = stage.world.mailbox(stage.profile, Owner::User(user)).await;
    stage
        .world
        .sql(&format!(
            "UPDATE mailboxes SET act_method = 'server-side', act_test = 'success', act_enabled = true
             WHERE id = '{mailbox}';
             INSERT INTO synchronization_filters (id, scope, user_id, record_kind, name, expression, created_at, updated_at)
             SELECT gen_random_uuid(), 'user', '{user}', kind, 'mine',
                 '{{\"attribute\": \"owner\", \"test\": \"current-user\"}}', now(), now()
             FROM unnest(ARRAY['contact', 'appointment', 'recurring-appointment']) AS kinds(kind)"
        ))
        .await;
    stage.world.realign(&[mailbox]).await;
    Anna { stage, user, mailbox }
}

impl Anna {
    async fn run(&self) {
        let mut tx = self.stage.world.store.begin().await.unwrap();
        let generation = lanes::open(&mut tx, self.mailbox, Lane::Act).await.unwrap().unwrap().generation;
        drop(tx);
        self.stage.handle(SyncLane { mailbox: self.mailbox, lane: Lane::Act, generation }).await.unwrap();
        assert_eq!(self.stage.reports().pop().unwrap().outcome, Outcome::Completed);
    }

    async fn number(&self, query: &str) -> i64 {
        self.stage.world.number(query).await
    }

    async fn appointments(&self) -> i64 {
        self.number("SELECT count(*) FROM activities").await
    }

    async fn contacts(&self) -> i64 {
        self.number("SELECT count(*) FROM people WHERE kind = 'contact'").await
    }

    async fn links(&self) -> i64 {
        self.number("SELECT count(*) FROM links WHERE unlinked IS NULL").await
    }

    /// The open alerts of a code, with what they ask.
    async fn asked(&self, code: &str) -> Vec<questions::Asked> {
        let open = format!("SELECT id::text FROM alerts WHERE code = '{code}' AND resolved_at IS NULL ORDER BY id");
        let ids: Vec<Uuid> = self.stage.world.texts(&open).await.iter().map(|id| id.parse().unwrap()).collect();
        let mut tx = self.stage.world.store.begin().await.unwrap();
        let asked = questions::of_alerts(&mut tx, &ids).await.unwrap();
        assert_eq!(asked.len(), ids.len(), "every alert asks something");
        asked.into_iter().map(|(_, asked)| asked).collect()
    }

    /// The only question of a code that is open.
    async fn only(&self, code: &str) -> questions::Asked {
        let mut asked = self.asked(code).await;
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked.remove(0)
    }

    async fn answer(&self, code: &str, answer: &str) {
        let asked = self.only(code).await;
        let mut tx = self.stage.world.store.begin().await.unwrap();
        assert!(!questions::answer(&mut tx, &asked, "perhaps").await.unwrap(), "it was not offered");
        assert!(questions::answer(&mut tx, &asked, answer).await.unwrap());
        assert!(!questions::answer(&mut tx, &asked, answer).await.unwrap(), "it was answered");
        tx.commit().await.unwrap();
        assert!(self.asked(code).await.is_empty(), "the alert has ended");
    }

    /// An appointment of hers in the CRM, at that hour of the second of March.
    async fn booked(&self, subject: &str, hour: u32) -> Uuid {
        let id = Uuid::now_v7();
        let (from, to) = (format!("2027-03-02T{hour:02}:00:00"), format!("2027-03-02T{:02}:00:00", hour + 1));
        let fields = format!(
            r#"{{"subject": "{subject}", "show_as": "busy", "organiser": [{{"address": "{ANNA}"}}],
                "time": {{"start": "{from}", "end": "{to}", "zone": "UTC"}}}}"#
        );
        self.stage
            .world
            .sql(&format!(
                "INSERT INTO activities (id, kind, owner_user_id, fields, starts_at, ends_at, created_at, updated_at)
                 VALUES ('{id}', 'appointment', '{}', '{fields}', '{from}Z', '{to}Z', now(), now());
                 INSERT INTO activity_parties VALUES ('{id}', 'organiser', '{ANNA}')",
                self.user
            ))
            .await;
        id
    }

    /// A tracked appointment in her mailbox, then too.
    fn put_appointment(&self, key: &str, hour: u32) {
        let day = chrono::NaiveDate::from_ymd_opt(2027, 3, 2).unwrap();
        let at = |hour| day.and_hms_opt(hour, 0, 0).unwrap();
        let mut fields = Fields::default();
        fields.set(Field::Subject, Value::Text(key.to_owned())).unwrap();
        fields.set(Field::ShowAs, Value::ShowAs(ShowAs::Busy)).unwrap();
        let when = When::Timed { start: at(hour), end: at(hour + 1), zone: chrono_tz::UTC };
        fields.set(Field::Time, Value::When(when)).unwrap();
        self.stage.server.put_item(ANNA, key, Kind::Appointment, fields, true);
    }

    /// A contact of this user's, in the CRM.
    async fn known(&self, owner: UserId, name: &str, address: &str) -> Uuid {
        let id = self.stage.world.contact(name, address).await;
        self.stage.world.sql(&format!("UPDATE people SET owner_user_id = '{owner}' WHERE id = '{id}'")).await;
        id
    }

    /// A contact in her mailbox.
    fn put_contact(&self, key: &str, address: &str, telephone: &str, tracked: bool) {
        let mut fields = Fields::default();
        let name = PersonName { first: "Vera".to_owned(), middle: String::new(), last: "Lang".to_owned() };
        fields.set(Field::FullName, Value::Name(name)).unwrap();
        for (field, text) in [(Field::Email1, address), (Field::BusinessPhone, telephone)] {
            if !text.is_empty() {
                fields.set(field, Value::Text(text.to_owned())).unwrap();
            }
        }
        self.stage.server.put_item(ANNA, key, Kind::Contact, fields, tracked);
    }
}

/// J9, M8: an appointment whose time is taken is no record until somebody says yes; then it is one, once.
#[tokio::test]
async fn j9_a_clash_waits_for_a_yes() {
    let anna = anna().await;
    let taken = anna.booked("Review", 9).await;
    anna.put_appointment("clash", 9);
    anna.put_appointment("no clash", 10);
    anna.run().await;
    anna.stage.world.assert_raised("SchedulingConflict").await;
    assert_eq!(anna.appointments().await, 2, "what is next to it is taken over");
    let asked = anna.only(CONFLICT).await;
    assert_eq!((asked.question.item.to_string().as_str(), asked.question.record.unwrap().1.0), ("clash", taken));
    assert_eq!(asked.question.answers, [YES, NO]);
    // Nobody answers: nothing happens, and nobody is asked twice.
    for _ in 0..2 {
        anna.stage.world.advance(HOUR);
        anna.run().await;
    }
    assert_eq!(anna.appointments().await, 2);
    assert_eq!(anna.stage.world.open_alerts().await, [format!("{CONFLICT} error ×1")]);

    anna.answer(CONFLICT, YES).await;
    anna.run().await;
    assert_eq!((anna.appointments().await, anna.links().await), (3, 3));
    assert_eq!(anna.number("SELECT count(*) FROM questions").await, 0);
    anna.stage.world.assert_cleared("SchedulingConflict").await;
    anna.stage.world.advance(HOUR);
    anna.run().await;
    assert_eq!((anna.appointments().await, anna.links().await), (3, 3), "it is linked, and asked about no more");
}

/// J9: no means never, until the time changes: to another clash it is asked again, to free time it is taken over.
#[tokio::test]
async fn j9_no_holds_until_the_time_changes() {
    let anna = anna().await;
    anna.booked("Review", 9).await;
    anna.booked("Lunch", 12).await;
    anna.put_appointment("clash", 9);
    anna.run().await;
    anna.answer(CONFLICT, NO).await;
    for _ in 0..2 {
        anna.run().await;
        anna.stage.world.advance(HOUR);
        anna.put_appointment("clash", 9);
    }
    assert_eq!(anna.appointments().await, 2);
    assert!(anna.asked(CONFLICT).await.is_empty(), "it was decided");
    anna.put_appointment("clash", 12);
    anna.run().await;
    assert_eq!(anna.asked(CONFLICT).await.len(), 1, "another time, another question");
    anna.put_appointment("clash", 15);
    anna.run().await;
    assert_eq!(anna.appointments().await, 3);
    assert!(anna.asked(CONFLICT).await.is_empty());
}

/// J9: what was in the way moves away: the appointment is taken over without an answer. Taken away itself, or no longer
/// tracked, it is asked about no more.
#[tokio::test]
async fn j9_a_question_ends_with_its_cause() {
    let anna = anna().await;
    let taken = anna.booked("Review", 9).await;
    for key in ["stays", "goes", "untracked"] {
        anna.put_appointment(key, 9);
    }
    anna.run().await;
    assert_eq!(anna.asked(CONFLICT).await.len(), 3);
    anna.stage.server.remove_item(ANNA, "goes");
    anna.stage.server.put_item(ANNA, "untracked", Kind::Appointment, Fields::default(), false);
    anna.run().await;
    assert_eq!(anna.only(CONFLICT).await.question.item.to_string(), "stays");
    anna.stage.world.sql(&format!("UPDATE activities SET state = 'canceled' WHERE id = '{taken}'")).await;
    anna.stage.world.advance(HOUR);
    anna.run().await;
    assert_eq!(anna.appointments().await, 2);
    assert!(anna.asked(CONFLICT).await.is_empty());
}

/// J9: of two that clash with one another and come at once, one is taken over, and the other is asked about.
#[tokio::test]
async fn j9_two_that_come_at_once_are_held_against_each_other() {
    let anna = anna().await;
    anna.put_appointment("one", 9);
    anna.put_appointment("other", 9);
    anna.run().await;
    assert_eq!(anna.appointments().await, 1);
    assert_eq!(anna.asked(CONFLICT).await.len(), 1);
}

/// J9: an appointment that somebody tracks by hand is taken over whatever the calendar says, also where it was asked about.
#[tokio::test]
async fn j9_tracking_by_hand_does_not_ask() {
    let anna = anna().await;
    anna.booked("Review", 9).await;
    anna.put_appointment("clash", 9);
    anna.run().await;
    assert_eq!(anna.asked(CONFLICT).await.len(), 1);
    let mut tx = anna.stage.world.store.begin().await.unwrap();
    let key = RemoteKey::new("clash").unwrap();
    lockstep_store::item_retries::ask(&mut tx, anna.mailbox, "calendar", &key).await.unwrap();
    questions::waive(&mut tx, anna.mailbox, &key).await.unwrap();
    tx.commit().await.unwrap();
    anna.run().await;
    assert_eq!((anna.appointments().await, anna.links().await), (2, 2));
    assert!(anna.asked(CONFLICT).await.is_empty());
}

/// K10, M8: a contact that is there already waits; `link` ties it to the record, which has one item and no second one.
#[tokio::test]
async fn k10_a_duplicate_is_linked() {
    let anna = anna().await;
    let known = anna.known(anna.user, "Vera Lang", "vera@customer.test").await;
    anna.put_contact("vera", "Vera@Customer.test", "030 123456", true);
    anna.run().await;
    anna.stage.world.assert_raised("DuplicateContact").await;
    let asked = anna.only(DUPLICATE).await;
    assert_eq!(
        (asked.question.record.unwrap().1.0, asked.question.answers.as_slice()),
        (known, &[LINK, CREATE, IGNORE].map(String::from)[..])
    );
    assert_eq!((anna.contacts().await, anna.links().await), (1, 0), "and no second item of it meanwhile");
    assert_eq!(anna.stage.server.subjects(ANNA).len(), 1);

    anna.answer(DUPLICATE, LINK).await;
    anna.run().await;
    anna.run().await;
    assert_eq!((anna.contacts().await, anna.links().await), (1, 1));
    assert_eq!(anna.stage.server.subjects(ANNA).len(), 1);
    let telephone = format!("SELECT fields->>'business_phone' FROM people WHERE id = '{known}'");
    assert_eq!(anna.stage.world.text(&telephone).await, "030 123456", "they are merged");
    anna.stage.world.assert_cleared("DuplicateContact").await;
    assert_eq!(anna.number("SELECT count(*) FROM questions").await, 0);
}

/// K10: `create` makes a second record, and then the first one has its item too; `ignore` makes none.
#[tokio::test]
async fn k10_a_duplicate_is_created_or_ignored() {
    for (answer, contacts) in [(CREATE, 2), (IGNORE, 1)] {
        let anna = anna().await;
        anna.known(anna.user, "Vera Lang", "vera@customer.test").await;
        anna.put_contact("vera", "vera@customer.test", "030 123456", true);
        anna.run().await;
        anna.answer(DUPLICATE, answer).await;
        for _ in 0..3 {
            anna.run().await;
            anna.stage.world.advance(HOUR);
        }
        assert_eq!((anna.contacts().await, anna.links().await), (contacts, contacts), "{answer}");
        assert_eq!(anna.stage.server.subjects(ANNA).len(), 2, "{answer}");
        assert!(anna.asked(DUPLICATE).await.is_empty(), "{answer}");
    }
}

/// K10: `ignore` holds until what the contact is known by changes.
#[tokio::test]
async fn k10_ignored_until_it_is_somebody_else() {
    let anna = anna().await;
    anna.known(anna.user, "Vera Lang", "vera@customer.test").await;
    anna.put_contact("vera", "vera@customer.test", "030 123456", true);
    anna.run().await;
    anna.answer(DUPLICATE, IGNORE).await;
    anna.put_contact("vera", "vera@customer.test", "030 123456", true);
    anna.run().await;
    assert_eq!(anna.contacts().await, 1);
    anna.put_contact("vera", "vera@elsewhere.test", "030 654321", true);
    anna.run().await;
    assert_eq!(anna.contacts().await, 2, "nobody has this address");
}

/// K10: what is linked in the mailbox already, and what belongs to somebody else, cannot be linked.
#[tokio::test]
async fn k10_link_is_offered_only_where_it_would_last() {
    let anna = anna().await;
    let known = anna.known(anna.user, "Vera Lang", "vera@customer.test").await;
    anna.run().await;
    assert_eq!(anna.links().await, 1, "it has its item");
    anna.put_contact("second", "vera@customer.test", "030 123456", true);
    anna.run().await;
    let asked = anna.only(DUPLICATE).await;
    assert_eq!(
        (asked.question.record.unwrap().1.0, asked.question.answers.as_slice()),
        (known, &[CREATE, IGNORE].map(String::from)[..])
    );
    anna.answer(DUPLICATE, IGNORE).await;

    let bob = anna.stage.world.user("bob", TrackOption::All).await;
    anna.known(bob, "Vera Lang", "lang@customer.test").await;
    anna.put_contact("third", "lang@customer.test", "030 777777", true);
    anna.run().await;
    assert_eq!(anna.asked(DUPLICATE).await.len(), 0, "what she may not read is not told");
    assert_eq!(anna.contacts().await, 3);
    anna.stage
        .world
        .sql(
            "UPDATE security_role_privileges SET depth = 'all'
             WHERE record_kind = 'contact' AND privilege = 'read'",
        )
        .await;
    anna.known(bob, "Vera Lang", "vera.lang@customer.test").await;
    anna.put_contact("fourth", "vera.lang@customer.test", "030 888888", true);
    anna.run().await;
    assert_eq!(anna.only(DUPLICATE).await.question.answers, [CREATE, IGNORE]);
}

/// K10: two contacts of the mailbox that are the same person, tracked at once, are not two records unasked.
#[tokio::test]
async fn k10_two_that_come_at_once_are_held_against_each_other() {
    let anna = anna().await;
    anna.put_contact("one", "vera@customer.test", "030 123456", true);
    anna.put_contact("other", "vera.lang@customer.test", "+49 30 123 456", true);
    anna.put_contact("same", "", "+49 (0)30 1", true);
    anna.put_contact("other again", "VERA.LANG@customer.test", "", true);
    anna.run().await;
    // Written with and without the code of the country, a number is not recognised; an address is.
    assert_eq!(anna.contacts().await, 3);
    assert_eq!(anna.only(DUPLICATE).await.question.item.to_string(), "other again");
}

/// K10: a contact that a program has named without a category is asked about all the same, and not forgotten when it is
/// listed.
#[tokio::test]
async fn k10_tracking_by_hand_asks_too() {
    let anna = anna().await;
    anna.known(anna.user, "Vera Lang", "vera@customer.test").await;
    anna.put_contact("vera", "vera@customer.test", "030 123456", false);
    let key = RemoteKey::new("vera").unwrap();
    let mut tx = anna.stage.world.store.begin().await.unwrap();
    lockstep_store::item_retries::ask(&mut tx, anna.mailbox, "contacts", &key).await.unwrap();
    tx.commit().await.unwrap();
    anna.run().await;
    assert_eq!(anna.only(DUPLICATE).await.question.item, key);
    assert_eq!(anna.number("SELECT count(*) FROM item_retries").await, 0, "it waits for people, not for time");
    anna.put_contact("vera", "vera@customer.test", "030 1234567", false);
    anna.run().await;
    assert_eq!(anna.asked(DUPLICATE).await.len(), 1);
    anna.stage.server.remove_item(ANNA, "vera");
    anna.run().await;
    assert!(anna.asked(DUPLICATE).await.is_empty());
}
