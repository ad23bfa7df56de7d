//! E11: which message becomes a record by itself, under each of the five options; what is refused is never read whole.

use lockstep_model::mailbox::{Owner, TrackOption};
use lockstep_wire::Outcome;

use crate::stage::{ANNA, Stage, mail, plain};

/// A reply to an email we know, and mail from a contact, from a colleague and from a stranger; then the same, with Anna
/// not among those addressed.
async fn inbox(stage: &Stage, login: &str) {
    stage.world.contact("Carla", "carla@kunde.example").await;
    stage.world.user("kollege", TrackOption::None).await;
    stage
        .world
        .sql(
            "INSERT INTO emails (id, direction, status, message_id, created_at, updated_at)
             VALUES (gen_random_uuid(), 'outgoing', 'sent', 'angebot@muster.example', now(), now())",
        )
        .await;
    let reply = "In-Reply-To: <Angebot@nowhere>\r\nReferences: <angebot@MUSTER.example>\r\n";
    for (suffix, to) in [("", login), ("-bcc", "liste@anderswo.example")] {
        for (key, from, more) in [
            ("reply", "stranger@kunde.example", reply),
            ("contact", "Carla <Carla@Kunde.example>", ""),
            ("colleague", "kollege@muster.example", ""),
            ("stranger", "stranger@kunde.example", ""),
        ] {
            let id = format!("{key}{suffix}");
            stage.server.put(login, &id, mail(&id, from, to, more, &id));
        }
    }
}

#[tokio::test]
async fn each_option_accepts_what_it_says() {
    for (option, tracked) in [
        (TrackOption::None, &[][..]),
        (TrackOption::InResponse, &["reply"]),
        (TrackOption::FromCustomers, &["contact"]),
        (TrackOption::FromEmailEnabled, &["colleague", "contact"]),
        (
            TrackOption::All,
            &["colleague", "colleague-bcc", "contact", "contact-bcc", "reply", "reply-bcc", "stranger", "stranger-bcc"],
        ),
    ] {
        let stage = Stage::new().await;
        let anna = stage.user("anna", option).await;
        inbox(&stage, ANNA).await;
        let report = stage.run(anna).await;
        let expected = u32::try_from(tracked.len()).unwrap();
        assert_eq!(
            (report.outcome, report.counts.tracked, report.counts.refused),
            (Outcome::Completed, expected, 8 - expected),
            "{option}"
        );
        let items = stage.items(anna).await;
        for item in &items {
            let mut words = item.split(' ');
            let (key, disposition, reason) = (words.next().unwrap(), words.next().unwrap(), words.next());
            if tracked.contains(&key) {
                assert_eq!((disposition, reason), ("tracked", None), "{option}");
            } else {
                let because = if key.ends_with("-bcc") { "NoRecipientMatch" } else { "NoCorrelationMatch" };
                assert_eq!((disposition, reason), ("refused", Some(because)), "{option}: {key}");
            }
        }
        // By the header alone: what is refused costs a TOP and never a body.
        let calls = stage.server.calls();
        let mut fetched: Vec<_> = calls.iter().filter_map(|call| call.strip_prefix("fetch ")).collect();
        fetched.sort_unstable();
        assert_eq!(fetched, tracked, "{option}");
        assert_eq!(
            calls.iter().filter(|call| call.starts_with("headers")).count(),
            usize::from(option != TrackOption::All)
        );
        assert_eq!(stage.world.number("SELECT count(*) FROM remote_items WHERE fingerprint IS NULL").await, 0);
    }
}

/// F9: an answer is filed with what it answers.
#[tokio::test]
async fn an_answer_is_correlated() {
    let stage = Stage::new().await;
    let anna = stage.user("anna", TrackOption::InResponse).await;
    inbox(&stage, ANNA).await;
    stage.run(anna).await;
    let answered = "SELECT concat_ws(' ', e.correlation_method, o.message_id) FROM emails e
                    JOIN emails o ON o.id = e.correlated_email_id WHERE e.direction = 'incoming'";
    assert_eq!(stage.world.texts(answered).await, ["in-reply-to angebot@muster.example"]);
}

/// A conversation that arrives in one page: the answer finds what it answers, though neither was known before.
#[tokio::test]
async fn an_answer_is_correlated_with_a_message_of_its_own_page() {
    let (stage, anna) = Stage::with_anna().await;
    stage.server.put(ANNA, "k0", mail("first", "a@b.example", ANNA, "", "eins"));
    stage.server.put(ANNA, "k1", mail("second", "a@b.example", ANNA, "In-Reply-To: <first@kunde.example>\r\n", "zwei"));
    stage.run(anna).await;
    let answered = "SELECT o.message_id FROM emails e JOIN emails o ON o.id = e.correlated_email_id";
    assert_eq!(stage.world.texts(answered).await, ["first@kunde.example"]);
}

/// Senders and recipients belong to records; the record belongs to who accepted it.
#[tokio::test]
async fn parties_are_resolved_and_the_record_has_an_owner() {
    let stage = Stage::new().await;
    let user = stage.world.user("anna", TrackOption::All).await;
    let anna = stage.world.mailbox(stage.profile, Owner::User(user)).await;
    let contact = stage.world.contact("Carla", "carla@kunde.example").await;
    let raw = mail("m", "Carla K <Carla@kunde.example>", "Anna@Muster.example, x@y.example", "", "hallo");
    stage.server.put(ANNA, "k0", raw);
    stage.run(anna).await;
    let parties =
        "SELECT concat_ws(' ', role, name, address, record_kind, record_id) FROM email_parties ORDER BY position";
    assert_eq!(
        stage.world.texts(parties).await,
        [
            format!("from Carla K Carla@kunde.example contact {contact}"),
            format!("to  Anna@Muster.example user {user}"),
            "to  x@y.example".to_owned()
        ]
    );
    assert_eq!(stage.world.text("SELECT owner_user_id FROM emails").await, user.to_string());
    assert_eq!(stage.world.text("SELECT accepting_kind FROM emails").await, "user");
}

/// B17: what was received before processing was to begin is left alone, by its header.
#[tokio::test]
async fn old_mail_is_left_alone() {
    let (stage, anna) = Stage::with_anna().await;
    stage.world.sql("UPDATE mailboxes SET process_email_from = '2026-11-23 08:00:01+00'").await;
    stage.server.put(ANNA, "old", mail("old", "a@b.example", ANNA, "", "x"));
    let new = String::from_utf8(mail("new", "a@b.example", ANNA, "", "x")).unwrap();
    stage.server.put(ANNA, "new", new.replace("08:00:00 +0000", "08:00:01 +0000"));
    stage.run(anna).await;
    assert_eq!(stage.items(anna).await, ["new tracked", "old refused TooOld"]);
    assert!(!stage.server.calls().contains(&"fetch old".to_owned()));
}

/// What this mailbox itself sent through us comes back to it: no second record.
#[tokio::test]
async fn own_mail_that_comes_back_is_refused() {
    let (stage, anna) = Stage::with_anna().await;
    let header = format!("{}: {}\r\n", lockstep_mime::header::LOOP_HEADER, stage.world.organisation);
    stage.server.put(ANNA, "own", mail("own", ANNA, ANNA, &header, "x"));
    stage.server.put(ANNA, "colleague", mail("colleague", "bert@muster.example", ANNA, &header, "x"));
    stage.run(anna).await;
    assert_eq!(stage.items(anna).await, ["colleague tracked", "own refused OwnMessage"]);
}

/// B17, F3: a record says when the server took the message over, however late it is read.
#[tokio::test]
async fn b17_f3_a_record_says_when_it_was_received() {
    let (stage, anna) = Stage::with_anna().await;
    stage.server.put(ANNA, "k0", plain("m"));
    stage.run(anna).await;
    let received = "SELECT concat_ws('|', received_at AT TIME ZONE 'UTC', sent_at AT TIME ZONE 'UTC') FROM emails";
    assert_eq!(stage.world.text(received).await, "2026-11-23 08:00:00|2026-11-23 07:59:00");
}
