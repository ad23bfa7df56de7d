//! The organisation's rules for received email, each switched both ways.

use lockstep_model::{
    id::{QueueId, UserId},
    mailbox::{Owner, TrackOption},
};
use lockstep_wire::Outcome;
use uuid::Uuid;

use crate::stage::{ANNA, Stage, mail};

const BERT: &str = "bert@muster.example";

async fn set(stage: &Stage, switch: &str, value: bool) {
    stage.world.sql(&format!("UPDATE organisations SET {switch} = {value}")).await;
}

async fn owner(stage: &Stage, id: &str) -> Vec<String> {
    let query = format!(
        "SELECT concat_ws(' ', owner_user_id, regarding_kind, regarding_id) FROM emails
         WHERE message_id = '{id}@kunde.example' ORDER BY id"
    );
    stage.world.texts(&query).await
}

/// The sent email of a user, which answers name.
async fn sent(stage: &Stage, owner: UserId, regarding: &str) {
    let insert = format!(
        "INSERT INTO emails (id, direction, status, message_id, owner_user_id, regarding_kind, regarding_id, created_at,
             updated_at)
         VALUES (gen_random_uuid(), 'outgoing', 'sent', 'angebot@muster.example', '{owner}', 'opportunity',
             '{regarding}', now(), now())"
    );
    stage.world.sql(&insert).await;
}

const ANSWER: &str = "In-Reply-To: <angebot@muster.example>\r\n";

/// E3: with correlation off, nothing is an answer. F9, F15: with it on, an answer is about what its question is about.
#[tokio::test]
async fn e3_f15_answers_are_about_what_their_question_is_about() {
    for on in [true, false] {
        let stage = Stage::new().await;
        let user = stage.world.user("anna", TrackOption::InResponse).await;
        let anna = stage.world.mailbox(stage.profile, Owner::User(user)).await;
        set(&stage, "use_correlation", on).await;
        sent(&stage, user, "4711").await;
        stage.server.put(ANNA, "k0", mail("m", "a@kunde.example", ANNA, ANSWER, "ja"));
        let report = stage.run(anna).await;
        assert_eq!((report.outcome, report.counts.tracked), (Outcome::Completed, u32::from(on)));
        let expected: &[String] = if on { &[format!("{user} opportunity 4711")] } else { &[] };
        assert_eq!(owner(&stage, "m").await, expected);
    }
}

/// F4, F5: Bert's option accepts what is found in Anna's mailbox, and both are recorded; unless the organisation lets
/// the receiving mailbox alone decide.
#[tokio::test]
async fn f4_f5_any_recipient_accepts_or_only_the_receiving_one() {
    for only_receiving in [false, true] {
        let stage = Stage::new().await;
        let anna = stage.user("anna", TrackOption::None).await;
        let bert = stage.world.user("bert", TrackOption::All).await;
        set(&stage, "only_receiving_mailbox_accepts", only_receiving).await;
        let both = format!("{ANNA}, {BERT}");
        stage.server.put(ANNA, "k0", mail("m", "a@kunde.example", &both, "", "hallo"));
        stage.run(anna).await;
        let query = "SELECT concat_ws(' ', accepting_kind, accepting_id, receiving_mailbox_id) FROM emails";
        let expected: &[String] = if only_receiving { &[] } else { &[format!("user {bert} {anna}")] };
        assert_eq!(stage.world.texts(query).await, expected);
        if only_receiving {
            assert_eq!(stage.items(anna).await, ["k0 refused NoCorrelationMatch"]);
        }
    }
}

/// F18: To before Cc; whoever owns the answered email; whoever owns the sender's record; the first. Inactive users own
/// nothing.
#[tokio::test]
async fn f18_owner_of_a_received_email() {
    let stage = Stage::new().await;
    let anna_user = stage.world.user("anna", TrackOption::All).await;
    let anna = stage.world.mailbox(stage.profile, Owner::User(anna_user)).await;
    let bert = stage.world.user("bert", TrackOption::None).await;
    stage.world.user("gone", TrackOption::None).await;
    stage.world.sql("UPDATE users SET active = false WHERE name = 'gone'").await;
    let contact = stage.world.contact("Carla", "carla@kunde.example").await;
    stage.world.sql(&format!("UPDATE people SET owner_user_id = '{bert}' WHERE id = '{contact}'")).await;
    sent(&stage, bert, "1").await;
    let both = format!("{ANNA}, {BERT}");
    let gone = format!("gone@muster.example, {ANNA}");
    let copied = format!("Cc: {BERT}\r\n");
    for (id, from, to, more) in [
        ("first", "x@kunde.example", both.as_str(), ""),
        ("answer", "x@kunde.example", &both, ANSWER),
        ("contact", "carla@kunde.example", &both, ""),
        ("to-before-cc", "carla@kunde.example", ANNA, &copied),
        ("inactive", "x@kunde.example", &gone, ""),
        ("hidden", "carla@kunde.example", "liste@anderswo.example", ""),
    ] {
        stage.server.put(ANNA, id, mail(id, from, to, more, id));
    }
    stage.run(anna).await;
    for (id, expected) in [
        ("first", format!("{anna_user}")),
        ("answer", format!("{bert} opportunity 1")),
        ("contact", format!("{bert}")),
        ("to-before-cc", format!("{anna_user}")),
        ("inactive", format!("{anna_user}")),
        ("hidden", format!("{anna_user}")),
    ] {
        assert_eq!(owner(&stage, id).await, [expected], "{id}");
    }
}

async fn queue_items(stage: &Stage) -> Vec<String> {
    stage
        .world
        .texts(
            "SELECT concat_ws(' ', q.name, e.message_id) FROM queue_items i JOIN queues q ON q.id = i.queue_id
             JOIN emails e ON e.id = i.email_id ORDER BY 1",
        )
        .await
}

/// F19: an addressed queue gets an item; a hidden one by the second switch; one that meets a known email by the third.
#[tokio::test]
async fn f19_queue_items_follow_the_switches() {
    for (receiving, known, expected) in [
        (false, false, &["sales a@kunde.example"][..]),
        (true, false, &["sales a@kunde.example", "support b@kunde.example"]),
        (false, true, &["sales a@kunde.example", "support a@kunde.example"]),
    ] {
        let stage = Stage::new().await;
        set(&stage, "queue_items_for_receiving", receiving).await;
        set(&stage, "queue_items_for_known", known).await;
        let sales = stage.world.queue("sales", TrackOption::All).await;
        let support = stage.world.queue("support", TrackOption::All).await;
        let sales = stage.world.mailbox(stage.profile, Owner::Queue(sales)).await;
        let support = stage.world.mailbox(stage.profile, Owner::Queue(support)).await;
        let addressed = mail("a", "x@kunde.example", "sales@muster.example", "", "eins");
        let hidden = mail("b", "x@kunde.example", "liste@anderswo.example", "", "zwei");
        stage.server.put("sales@muster.example", "k0", addressed.clone());
        stage.server.put("support@muster.example", "k0", addressed);
        stage.server.put("support@muster.example", "k1", hidden);
        stage.run(sales).await;
        stage.run(support).await;
        assert_eq!(queue_items(&stage).await, expected, "{receiving} {known}");
        let told = stage.world.number("SELECT count(*) FROM feed_entries WHERE record_kind = 'queue-item'").await;
        assert_eq!(usize::try_from(told).unwrap(), expected.len(), "the feed tells of each");
    }
}

/// E6: several records with one address are all parties, or none; the address stands in any case.
#[tokio::test]
async fn e6_f17_several_records_of_one_address() {
    for unresolved in [false, true] {
        let (stage, anna) = Stage::with_anna().await;
        set(&stage, "unresolve_multiple_recipients", unresolved).await;
        for name in ["Carla", "Clara", "C. Kunde", "Einkauf"] {
            stage.world.contact(name, "einkauf@kunde.example").await;
        }
        let to = format!("{ANNA}, einkauf@kunde.example");
        stage.server.put(ANNA, "k0", mail("m", "x@kunde.example", &to, "", "hallo"));
        stage.run(anna).await;
        let parties = "SELECT count(*) FROM email_parties WHERE address = 'einkauf@kunde.example'";
        assert_eq!(stage.world.number(parties).await, if unresolved { 1 } else { 4 });
        let resolved = format!("{parties} AND record_id IS NOT NULL");
        assert_eq!(stage.world.number(&resolved).await, if unresolved { 0 } else { 4 });
    }
}

/// E4: email from one user to another is two records; with the switch off the received copy is the sent record.
#[tokio::test]
async fn e4_internal_email_is_one_record_or_two() {
    for twice in [true, false] {
        let stage = Stage::new().await;
        set(&stage, "internal_email_twice", twice).await;
        let anna_user = stage.world.user("anna", TrackOption::All).await;
        let anna = stage.world.mailbox(stage.profile, Owner::User(anna_user)).await;
        let bert = stage.world.user("bert", TrackOption::All).await;
        let bert_box = stage.world.mailbox(stage.profile, Owner::User(bert)).await;
        let sent = Uuid::now_v7();
        let insert = format!(
            "INSERT INTO emails (id, direction, status, message_id, from_mailbox_id, created_at, updated_at)
             VALUES ('{sent}', 'outgoing', 'sent', 'm@kunde.example', '{bert_box}', now(), now())"
        );
        stage.world.sql(&insert).await;
        stage.server.put(ANNA, "k0", mail("m", BERT, ANNA, "", "hallo"));
        stage.run(anna).await;
        assert_eq!(stage.emails().await, if twice { 2 } else { 1 });
        let linked = format!("SELECT count(*) FROM email_mailboxes WHERE email_id = '{sent}'");
        assert_eq!(stage.world.number(&linked).await, i64::from(!twice));
        assert_eq!(stage.items(anna).await, ["k0 tracked"]);
    }
}

async fn people(stage: &Stage) -> Vec<String> {
    stage.world.texts("SELECT concat_ws(' ', kind, name, address, owner_user_id) FROM people ORDER BY 1").await
}

/// E13: an unknown sender becomes what the user chose, once for a page, owned by the email's owner and told to feed and
/// audit; the email's sender is resolved to it. Lists and machines become nobody.
#[tokio::test]
async fn e13_strangers_become_people() {
    for (option, allowed, kind) in [
        ("contact", true, Some("contact")),
        ("lead", true, Some("lead")),
        ("off", true, None),
        ("contact", false, None),
    ] {
        let stage = Stage::new().await;
        let user = stage.world.user("anna", TrackOption::All).await;
        let anna = stage.world.mailbox(stage.profile, Owner::User(user)).await;
        stage.world.sql(&format!("UPDATE users SET auto_create = '{option}'")).await;
        set(&stage, "auto_create_people", allowed).await;
        for (id, from, more) in [
            ("m1", "\"Neu, Nina\" <Nina@kunde.example>", ""),
            ("m2", "nina@kunde.example", ""),
            ("m3", "news@kunde.example", "List-Id: <news.kunde.example>\r\n"),
            ("m4", "robot@kunde.example", "Auto-Submitted: auto-replied\r\n"),
        ] {
            stage.server.put(ANNA, id, mail(id, from, ANNA, more, id));
        }
        stage.run(anna).await;
        assert_eq!(stage.emails().await, 4, "every email is recorded, whoever sent it");
        let expected: Vec<_> = kind.iter().map(|kind| format!("{kind} Neu, Nina Nina@kunde.example {user}")).collect();
        assert_eq!(people(&stage).await, expected, "{option} {allowed}");
        let resolved = "SELECT count(*) FROM email_parties p JOIN people s ON s.id = p.record_id WHERE p.role = 'from'";
        assert_eq!(stage.world.number(resolved).await, if kind.is_some() { 2 } else { 0 });
        for table in ["feed_entries WHERE record_kind", "audit_entries WHERE object_kind"] {
            let told = format!("SELECT count(*) FROM {table} IN ('contact', 'lead')");
            assert_eq!(stage.world.number(&told).await, i64::from(kind.is_some()), "{table}");
        }
    }
}

/// E13: two mailboxes meet the same stranger at the same moment; there is one record.
#[tokio::test]
async fn e13_two_pages_make_one_record_of_a_stranger() {
    let stage = Stage::new().await;
    let mut runs = Vec::new();
    for number in 0..4 {
        let name = format!("user{number}");
        let mailbox = stage.user(&name, TrackOption::All).await;
        let address = format!("{name}@muster.example");
        stage.server.put(&address, "k0", mail(&format!("m{number}"), "nina@kunde.example", &address, "", &name));
        runs.push(stage.hint(mailbox).await);
    }
    stage.world.sql("UPDATE users SET auto_create = 'contact'").await;
    let handled = futures::future::join_all(runs.into_iter().map(|hint| stage.handle(hint))).await;
    assert!(handled.iter().all(Result::is_ok));
    assert_eq!(stage.emails().await, 4);
    assert_eq!(stage.world.number("SELECT count(*) FROM people").await, 1);
    assert_eq!(stage.world.number("SELECT count(DISTINCT record_id) FROM email_parties WHERE role = 'from'").await, 1);
}

/// Items of a queue can be listed page by page.
#[tokio::test]
async fn a_queue_is_read_page_by_page() {
    let stage = Stage::new().await;
    let sales: QueueId = stage.world.queue("sales", TrackOption::All).await;
    let mailbox = stage.world.mailbox(stage.profile, Owner::Queue(sales)).await;
    for number in 0..5 {
        let id = format!("m{number}");
        stage.server.put("sales@muster.example", &id, mail(&id, "x@kunde.example", "sales@muster.example", "", &id));
    }
    stage.run(mailbox).await;
    let mut tx = stage.world.store.begin().await.unwrap();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = lockstep_store::queue_items::list(&mut tx, sales, after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        seen.extend(page.iter().map(|item| item.email_id));
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 5);
}
