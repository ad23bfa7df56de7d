//! Tables about one message: where it stopped, or what became of it.

use lockstep_store::explain::{Elsewhere, MessageFacts};
use uuid::Uuid;

use super::{
    super::{
        Decision::{Acceptance, Approved, Breaker, Correlation, Due, Enabled, Filter, Lease, Result},
        Verdict, message,
        samples::*,
        worst,
    },
    is_helpful, names, step,
};

/// A record: accepted for whom, belonging to what.
#[test]
fn a_recorded_message() {
    let mut facts = MessageFacts { emails: vec![received()], ..MessageFacts::default() };
    let steps = message(&facts, Some(&healthy()), &[], now());
    assert_eq!(worst(&steps), Verdict::Ok, "{steps:#?}");
    assert!(step(&steps, Lease).sentence.starts_with("Seen in 1 mailbox: ann@example.test at 2026-11-23 08:55:00"));
    let filter = &step(&steps, Filter).sentence;
    assert_eq!(filter, "Passed; at present the queue Support tracks every message (track option all).");
    assert_eq!(step(&steps, Acceptance).sentence, "Accepted for the queue Support.");
    let other = Uuid::from_u128(8);
    assert_eq!(step(&steps, Correlation).sentence, format!("It belongs to the email {other}, found by in-reply-to."));
    let record = &step(&steps, Result).sentence;
    assert!(record.contains(&Uuid::from_u128(9).to_string()) && record.ends_with("Files were left out."), "{record}");
    is_helpful(&steps);
    // Of a record that is not the reader's only that there is one is told.
    facts.emails[0].withheld = true;
    let steps = message(&facts, Some(&healthy()), &[], now());
    let text = format!("{steps:?}");
    for secret in [Uuid::from_u128(9).to_string(), other.to_string(), "Support".into(), "track option".into()] {
        assert!(!text.contains(&secret), "{secret}: {text}");
    }
    assert_eq!(worst(&steps), Verdict::Ok);
    is_helpful(&steps);
}

/// F25: refused in one mailbox, recorded in another: it depends on which one is asked for.
#[test]
fn f25_a_refused_message() {
    let facts = MessageFacts { items: vec![refused(1, "NoCorrelationMatch")], ..MessageFacts::default() };
    let steps = message(&facts, None, &[], now());
    let found = step(&steps, Correlation);
    assert_eq!((found.verdict, found.part.as_str()), (Verdict::Stops, "1@example.test"));
    assert!(found.sentence.contains("NoCorrelationMatch. None of the recipients' tracking options"), "{found:?}");
    let remedy = found.remedy.as_deref().unwrap();
    assert!(remedy.contains("track_option") && remedy.contains("lockstep item release"), "{remedy}");
    let mut again = facts.clone();
    again.items[0].next_attempt_at = Some(minutes(0));
    let mut unapproved = healthy();
    unapproved.mailbox.address_status = "rejected".into();
    for (mailbox, before) in [(None, Verdict::Ok), (Some(healthy()), Verdict::Ok), (Some(unapproved), Verdict::Stops)] {
        let known: Vec<_> = mailbox.into_iter().collect();
        let steps = message(&again, None, &known, now());
        let found = step(&steps, Correlation);
        assert_eq!((found.verdict, step(&steps, Approved).verdict), (Verdict::Waits, before));
        assert!(found.sentence.ends_with("It is judged again when the mailbox is read next."), "{found:?}");
        is_helpful(&steps);
    }
    let mut both = MessageFacts { emails: vec![received()], items: vec![refused(5, "TooOld")], ..facts.clone() };
    let steps = message(&both, Some(&healthy()), &[], now());
    assert_eq!(worst(&steps), Verdict::Ok, "what was decided for 5 stops nothing at 1: {steps:#?}");
    assert_eq!(names(&steps, Verdict::NotReached), [Filter, Acceptance, Correlation, Result]);
    assert_eq!(worst(&message(&both, None, &[], now())), Verdict::Stops);
    both.items[0].mailbox_id = Uuid::from_u128(1);
    assert_eq!(worst(&message(&both, Some(&healthy()), &[], now())), Verdict::Stops);
    is_helpful(&steps);
}

/// F25: every reason has its place in the chain; what comes before it passed, what comes after was not decided.
#[test]
fn f25_each_reason_stops_at_its_decision() {
    for (reason, name) in [
        ("OwnMessage", Filter),
        ("TestMessage", Filter),
        ("TooLarge", Filter),
        ("TooOld", Filter),
        ("DroppedByHand", Filter),
        ("Erased", Filter),
        ("NoRecipientMatch", Acceptance),
        ("NoCorrelationMatch", Correlation),
        ("ItemUnavailable", Result),
    ] {
        let facts = MessageFacts { items: vec![refused(1, reason)], ..MessageFacts::default() };
        let steps = message(&facts, None, &[], now());
        assert_eq!(names(&steps, Verdict::Stops), [name], "{reason}");
        for step in &steps {
            let expected = if step.name < name { Verdict::Ok } else { Verdict::NotReached };
            assert!(step.name == name || step.verdict == expected, "{reason}: {step:?}");
        }
        let filter = &step(&steps, Filter).sentence;
        assert!(filter.contains("tracks answers to recorded email at present"), "{filter}");
        is_helpful(&steps);
    }
}

/// F25: set aside: how often it was tried, when it is tried again, and how to decide.
#[test]
fn f25_a_message_set_aside() {
    let mut aside = refused(1, "ItemUnavailable");
    (aside.disposition, aside.attempts) = ("quarantined".into(), 4);
    aside.detail = Some("-ERR\u{1b}[31m no".into());
    aside.next_attempt_at = Some(minutes(10));
    let mut facts = MessageFacts { items: vec![aside], ..MessageFacts::default() };
    let steps = message(&facts, None, &[], now());
    let found = step(&steps, Result);
    assert_eq!(found.verdict, Verdict::Waits);
    assert!(found.sentence.contains("4 attempts: ItemUnavailable (-ERR[31m no)"), "nothing steers: {found:?}");
    assert!(found.sentence.contains("The next attempt is 2026-11-23 09:10:00"), "{found:?}");
    assert!(found.remedy.as_deref().unwrap().contains("lockstep item release"), "{found:?}");
    facts.items[0].next_attempt_at = None;
    let steps = message(&facts, None, &[], now());
    assert_eq!(names(&steps, Verdict::Stops), [Result]);
    assert_eq!(names(&steps, Verdict::NotReached), [Filter, Acceptance, Correlation]);
    is_helpful(&steps);
}

/// How far an email that is sent has come.
#[test]
fn a_sent_message() {
    for (state, name, verdict, words) in [
        ("sent", Result, Verdict::Ok, "The server said: 250 queued as 4711"),
        ("pending", Due, Verdict::Waits, "2 attempts so far, the next due 2026-11-23 09:04:00"),
        ("retry", Due, Verdict::Waits, "Last fault: MessageDeferred: 451 later."),
        ("sending", Lease, Verdict::Waits, "The worker on worker-3 has it since 2026-11-23 08:59:00"),
        ("in-flight", Lease, Verdict::Waits, "being handed over since 2026-11-23 08:59:00"),
        ("unknown", Result, Verdict::Stops, "sent or not"),
        ("failed", Result, Verdict::Stops, "Given up (failed)"),
    ] {
        let mut email = written(state);
        let delivery = email.delivery.as_mut().unwrap();
        match state {
            "retry" => {
                delivery.fault_code = Some("MessageDeferred".into());
                delivery.fault_message = Some("451 later".into());
            }
            "sending" | "in-flight" => delivery.claimed_until = Some(minutes(1)),
            _ => {}
        }
        delivery.in_flight_at = (state == "in-flight").then(|| minutes(-1));
        let facts = MessageFacts { emails: vec![email], ..MessageFacts::default() };
        let steps = message(&facts, None, &[healthy()], now());
        let found = step(&steps, name);
        assert_eq!((found.verdict, worst(&steps)), (verdict, verdict), "{state}: {steps:#?}");
        assert!(found.sentence.contains(words), "{found:?}");
        is_helpful(&steps);
    }
    // What another program has sent is a record, and no more.
    let email = lockstep_store::explain::EmailFacts { delivery: None, ..written("sent") };
    let facts = MessageFacts { emails: vec![email], ..MessageFacts::default() };
    let steps = message(&facts, None, &[], now());
    assert_eq!((worst(&steps), step(&steps, Due).verdict), (Verdict::Ok, Verdict::NotReached));
    is_helpful(&steps);
}

/// One recipient is refused, the others have it.
#[test]
fn each_recipient_is_told_of() {
    let mut email = written("sent");
    email.delivery.as_mut().unwrap().recipients =
        vec![recipient("a@x.test", "accepted", Some("")), recipient("b@x.test", "refused", Some("550 no such user"))];
    let mut facts = MessageFacts { emails: vec![email], ..MessageFacts::default() };
    let steps = message(&facts, None, &[], now());
    assert_eq!(names(&steps, Verdict::Stops), [Acceptance]);
    let told = step(&steps, Acceptance);
    assert_eq!(
        told.sentence,
        "Of 2 recipients 1 accepted, 1 refused, 0 not asked yet. b@x.test refused: 550 no such user. \
         a@x.test accepted."
    );
    assert!(told.remedy.as_deref().unwrap().contains("copy-to-refused"));
    let many = (0..40).map(|n| recipient(&format!("{n}@x.test"), "accepted", None)).collect();
    facts.emails[0].delivery.as_mut().unwrap().recipients = many;
    let told = step(&message(&facts, None, &[], now()), Acceptance).sentence.clone();
    assert!(told.ends_with("4@x.test accepted. And 35 more."), "{told}");
    facts.emails[0].delivery.as_mut().unwrap().recipients = Vec::new();
    assert!(step(&message(&facts, None, &[], now()), Acceptance).sentence.contains("not shown"));
}

/// An email waits because its mailbox may not send.
#[test]
fn what_stops_the_mailbox_stops_the_email() {
    let mut sender = healthy();
    sender.mailbox.outgoing_enabled = false;
    let facts = MessageFacts { emails: vec![written("pending")], ..MessageFacts::default() };
    let steps = message(&facts, None, std::slice::from_ref(&sender), now());
    assert_eq!(names(&steps, Verdict::Stops), [Enabled]);
    is_helpful(&steps);
    let facts = MessageFacts { emails: vec![written("sent")], ..MessageFacts::default() };
    assert_eq!(worst(&message(&facts, None, &[sender], now())), Verdict::Ok, "it is out");
}

/// Nobody has seen it: the usual causes, by how the mailboxes stand, or the chain of the one that was named.
#[test]
fn a_message_nobody_has_seen() {
    let elsewhere = Elsewhere {
        mailboxes: 10,
        read: 6,
        stopped: 2,
        failing: 1,
        overdue: 0,
        unapproved: 1,
        deferred: 0,
        lost: 2,
        open_breakers: 1,
        quarantined: 3,
    };
    let facts = MessageFacts { elsewhere, ..MessageFacts::default() };
    let steps = message(&facts, None, &[], now());
    assert_eq!(names(&steps, Verdict::Unknown), [Approved, Enabled, Breaker, Lease, Result]);
    assert_eq!(
        step(&steps, Enabled).sentence,
        "6 of 10 mailboxes are read; 2 mailboxes are disabled by a fault; 1 mailbox waits after a fault; 2 mailboxes \
         are not read (inactive, unconfigured, unapproved or untested)."
    );
    assert!(step(&steps, Result).sentence.contains("3 messages are set aside, some of them unread"), "{steps:#?}");
    is_helpful(&steps);
    let mut asked = healthy();
    asked.profile.as_mut().unwrap().active = false;
    let steps = message(&facts, Some(&asked), &[], now());
    let seen = &step(&steps, Result).sentence;
    assert!(seen.contains("never seen in ann@example.test. Nor was it in any other"), "{seen}");
    assert_eq!(names(&steps, Verdict::Stops), [Enabled]);
    is_helpful(&steps);
    let elsewhere = MessageFacts { items: vec![refused(5, "TooOld")], ..facts };
    let steps = message(&elsewhere, Some(&asked), &[], now());
    assert!(step(&steps, Result).sentence.contains("It was seen in 5@example.test"), "{steps:#?}");
    assert_eq!(worst(&message(&elsewhere, Some(&healthy()), &[], now())), Verdict::Unknown);
    is_helpful(&steps);
}

/// A newsletter goes to many mailboxes: few are named, the rest is counted.
#[test]
fn many_places_are_counted() {
    let found_in = (1..=40).map(|n| place(n, &format!("{n}@example.test"))).collect();
    let facts = MessageFacts {
        emails: vec![lockstep_store::explain::EmailFacts { found_in, ..received() }],
        ..MessageFacts::default()
    };
    let seen = step(&message(&facts, None, &[], now()), Lease).sentence.clone();
    assert!(seen.starts_with("Seen in 40 mailboxes: ") && seen.ends_with("; 35 more."), "{seen}");
}
