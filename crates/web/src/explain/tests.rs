//! Tables: one thing is wrong, and the chain says which.

use lockstep_store::explain::{Elsewhere, MailboxFacts, MessageFacts, OpenAlert, RecipientFacts};
use uuid::Uuid;

use super::{Step, Verdict, incoming, message, outgoing, samples::*, worst};

type Change = fn(&mut MailboxFacts);

fn step<'s>(steps: &'s [Step], name: &str) -> &'s Step {
    steps.iter().find(|step| step.name == name).unwrap_or_else(|| panic!("no step {name}: {steps:#?}"))
}

fn names(steps: &[Step], verdict: Verdict) -> Vec<&'static str> {
    steps.iter().filter(|step| step.verdict == verdict).map(|step| step.name).collect()
}

fn alert(code: &str, part: &str) -> OpenAlert {
    OpenAlert {
        code: code.to_owned(),
        severity: "error".to_owned(),
        scope: "mailbox".to_owned(),
        part: Some(part.to_owned()),
        occurrences: 3,
        first_at: minutes(-30),
    }
}

/// What stops has a remedy, and so has what waits, but for a recipient who waits for the delivery.
#[track_caller]
fn is_helpful(steps: &[Step]) {
    for step in steps {
        assert!(step.sentence.ends_with(['.', ')']) && !step.sentence.contains(".."), "{step:?}");
        if matches!(step.verdict, Verdict::Stops | Verdict::Unknown) {
            assert!(step.remedy.as_deref().is_some_and(|remedy| remedy.len() > 10), "{step:?}");
        }
        assert!(step.verdict != Verdict::Ok || step.remedy.is_none(), "{step:?}");
    }
}

/// B17: until incoming email is enabled nothing is promised of old mail: enabling sets the date.
#[test]
fn b17_before_it_is_enabled_old_mail_is_not_promised() {
    let mut facts = healthy();
    facts.mailbox.incoming_enabled = false;
    facts.mailbox.process_email_from = None;
    if let Some(profile) = &mut facts.profile {
        profile.process_emails_from = None;
    }
    let said = |facts: &MailboxFacts| step(&incoming(facts, now()), "process-from").sentence.clone();
    assert!(said(&facts).contains("before incoming email is enabled is left alone"), "{}", said(&facts));
    facts.mailbox.incoming_enabled = true;
    assert_eq!(said(&facts), "Mail of any date is processed.");
    facts.mailbox.process_email_from = Some(minutes(-30));
    assert!(said(&facts).starts_with("Mail received before "), "{}", said(&facts));
}

/// Where nothing is wrong, the chain says so, with the figures.
#[test]
fn a_healthy_mailbox() {
    let facts = healthy();
    let steps = incoming(&facts, now());
    assert_eq!(worst(&steps), Verdict::Ok, "{steps:#?}");
    let order: Vec<_> = steps.iter().map(|step| step.name).collect();
    assert_eq!(
        order,
        [
            "record",
            "owner",
            "method",
            "profile",
            "address",
            "enabled",
            "fault",
            "breaker",
            "due",
            "claimed",
            "last-run",
            "process-from",
            "track-option",
            "quarantine",
            "alerts"
        ]
    );
    assert_eq!(
        step(&steps, "due").sentence,
        "It is read next 2026-11-23 09:03:00 UTC (in 3 min), every 5 min: 2 looks in a row found nothing."
    );
    let last = &step(&steps, "last-run").sentence;
    assert!(last.contains("completed, after 3 s.") && last.contains("40 seen, 10 recorded, 29 refused"), "{last}");
    is_helpful(&steps);
    let steps = outgoing(&facts, now());
    assert_eq!(worst(&steps), Verdict::Ok, "{steps:#?}");
    is_helpful(&steps);
}

/// Each thing that can be wrong with reading, where the chain shows it, with the value, and what becomes of the
/// rest.
#[test]
fn what_stops_reading() {
    let table: &[(Change, &str, Verdict, &str)] = &[
        (|f| f.mailbox.active = false, "record", Verdict::Stops, "inactive"),
        (
            |f| {
                f.mailbox.active = false;
                f.owner.as_mut().unwrap().active = false;
            },
            "owner",
            Verdict::Stops,
            "inactive user Ann",
        ),
        (|f| f.owner.as_mut().unwrap().active = false, "owner", Verdict::Ok, "activated by itself"),
        (|f| f.mailbox.incoming_method = "none".into(), "method", Verdict::Stops, "none: nothing is read"),
        (|f| f.profile = None, "profile", Verdict::Stops, "no profile"),
        (|f| f.profile.as_mut().unwrap().active = false, "profile", Verdict::Stops, "Pop is inactive"),
        (|f| f.mailbox.address_status = "pending".into(), "address", Verdict::Stops, "waits for its approval"),
        (
            |f| {
                f.mailbox.address_status = "pending".into();
                f.approval_required = false;
            },
            "address",
            Verdict::Ok,
            "does not ask",
        ),
        (|f| f.mailbox.address_status = "rejected".into(), "address", Verdict::Stops, "rejected"),
        (|f| f.mailbox.address_status = "empty".into(), "address", Verdict::Stops, "no address"),
        (|f| f.mailbox.incoming_enabled = false, "enabled", Verdict::Stops, "never tested and enabled"),
        (
            |f| {
                f.mailbox.incoming_enabled = false;
                f.mailbox.incoming_test = "failure".into();
                f.alerts = vec![alert("Unauthorized", "incoming")];
            },
            "enabled",
            Verdict::Stops,
            "test of incoming email failed",
        ),
        (
            |f| {
                let lane = f.incoming.as_mut().unwrap();
                lane.enabled = false;
                lane.disabled_code = Some("Unauthorized".into());
                lane.fault_at = Some(minutes(-125));
            },
            "enabled",
            Verdict::Stops,
            "disabled by Unauthorized since 2026-11-23 06:55:00 UTC (2 h ago)",
        ),
        (|f| f.incoming.as_mut().unwrap().enabled = false, "due", Verdict::Stops, "nothing speaks against it"),
        (|f| f.incoming = None, "due", Verdict::Unknown, "not scheduled yet"),
        (|f| f.owner.as_mut().unwrap().track_option = "none".into(), "track-option", Verdict::Stops, "tracks no email"),
    ];
    for (change, name, verdict, words) in table {
        let mut facts = healthy();
        change(&mut facts);
        let steps = incoming(&facts, now());
        let found = step(&steps, name);
        assert_eq!(found.verdict, *verdict, "{found:?}");
        assert!(found.sentence.contains(words), "{found:?}");
        assert_eq!(worst(&steps), if *verdict == Verdict::Ok { Verdict::Ok } else { *verdict }, "{steps:#?}");
        is_helpful(&steps);
        let gate = ["record", "owner", "method", "profile", "address", "enabled"].contains(name);
        if gate && *verdict == Verdict::Stops {
            assert_eq!(step(&steps, "due").verdict, Verdict::NotReached, "{name}");
        }
    }
}

/// What puts reading off, and goes on by itself.
#[test]
fn what_puts_reading_off() {
    let table: &[(Change, &str, &str, &str)] = &[
        (
            |f| {
                let lane = f.incoming.as_mut().unwrap();
                lane.transient_failures = 4;
                lane.fault_code = Some("ConnectFailure".into());
                lane.fault_message = Some("connection refused".into());
                lane.fault_at = Some(minutes(-1));
            },
            "fault",
            "ConnectFailure at 2026-11-23 08:59:00 UTC (60 s ago): connection refused. It is number 4",
            "firewalls",
        ),
        (
            |f| f.profile.as_mut().unwrap().breaker_open_until = Some(minutes(5)),
            "breaker",
            "nothing goes there until 2026-11-23 09:05:00",
            "server",
        ),
        (
            |f| f.profile.as_mut().unwrap().breaker_open_until = Some(minutes(-5)),
            "breaker",
            "one mailbox at a time probes",
            "server",
        ),
        (
            |f| {
                let lane = f.incoming.as_mut().unwrap();
                lane.due_at = minutes(-1);
                lane.not_before = Some(minutes(1));
            },
            "due",
            "put off until 2026-11-23 09:01:00 UTC (in 60 s), for want of a connection",
            "max_connections",
        ),
        (|f| f.incoming.as_mut().unwrap().due_at = minutes(-4), "due", "overdue since", "scheduler_lag"),
        (
            |f| {
                f.incoming.as_mut().unwrap().due_at = minutes(-4);
                f.roles.retain(|seen| seen.role != "mailbox-worker");
            },
            "due",
            "overdue since",
            "No mailbox-worker was heard of",
        ),
        (
            |f| {
                f.incoming.as_mut().unwrap().due_at = minutes(-4);
                f.roles.iter_mut().for_each(|seen| seen.seen_at = minutes(-10));
            },
            "due",
            "overdue since",
            "No scheduler was heard of",
        ),
        (
            |f| {
                let lane = f.incoming.as_mut().unwrap();
                (lane.claims, lane.claimed_until) = (3, Some(minutes(4)));
            },
            "claimed",
            "handed out 3 times without a report",
            "worker was lost",
        ),
        (
            |f| f.incoming.as_mut().unwrap().last_outcome = Some("deferred".into()),
            "last-run",
            "as deferred",
            "max_connections",
        ),
        (
            |f| f.profile.as_mut().unwrap().process_emails_from = Some(minutes(60)),
            "process-from",
            "which is to come",
            "earlier date",
        ),
        (
            |f| {
                f.quarantine.items = 3;
                f.quarantine.given_up = 1;
                f.quarantine.next_attempt_at = Some(minutes(15));
            },
            "quarantine",
            "3 messages are set aside, 1 of them given up; the next one is tried again 2026-11-23 09:15:00",
            "lockstep item list",
        ),
        (|f| f.alerts = vec![alert("UidlReset", "listing")], "alerts", "1 alert is open: UidlReset;", "."),
    ];
    for (change, name, words, remedy) in table {
        let mut facts = healthy();
        change(&mut facts);
        let steps = incoming(&facts, now());
        let found = step(&steps, name);
        assert_eq!((found.verdict, worst(&steps)), (Verdict::Waits, Verdict::Waits), "{steps:#?}");
        assert!(found.sentence.contains(words), "{found:?}");
        assert!(found.remedy.as_deref().unwrap_or_default().contains(remedy), "{found:?}");
        is_helpful(&steps);
    }
}

/// A lane that is being worked on is due in the past, and that is well.
#[test]
fn a_claimed_mailbox_is_not_overdue() {
    let mut facts = healthy();
    let lane = facts.incoming.as_mut().unwrap();
    (lane.due_at, lane.claims, lane.claimed_until) = (minutes(-4), 1, Some(minutes(1)));
    let steps = incoming(&facts, now());
    assert_eq!(worst(&steps), Verdict::Ok, "{steps:#?}");
    assert!(step(&steps, "claimed").sentence.contains("A worker has it"));
}

/// Alerts about the other direction, good news and what another step tells do not count.
#[test]
fn only_alerts_of_the_direction_count() {
    let mut facts = healthy();
    facts.alerts = vec![alert("OutgoingEmailAuthenticationError", "outgoing")];
    assert_eq!(worst(&incoming(&facts, now())), Verdict::Ok);
    assert_eq!(names(&outgoing(&facts, now()), Verdict::Waits), ["alerts"]);
    facts.alerts = vec![OpenAlert { severity: "information".into(), part: None, ..alert("MailboxConnected", "") }];
    assert_eq!(worst(&outgoing(&facts, now())), Verdict::Ok);
    let item = |code: &str, severity: &str| OpenAlert {
        severity: severity.into(),
        scope: "item".into(),
        part: None,
        ..alert(code, "")
    };
    facts.alerts = vec![item("OutcomeUnknown", "error"), item("ItemQuarantined", "warning")];
    assert_eq!(worst(&incoming(&facts, now())), Verdict::Ok);
    let steps = outgoing(&facts, now());
    assert!(step(&steps, "alerts").sentence.starts_with("1 alert is open: OutcomeUnknown;"), "{steps:#?}");
}

/// What holds back what waits to be sent.
#[test]
fn what_holds_the_outbox() {
    let waiting: Change = |f| (f.outbox.waiting, f.outbox.due_at) = (2, Some(minutes(-10)));
    let table: &[(Change, &[&str], &str)] = &[
        (|_| {}, &["outbox"], "connections may all be in use"),
        (|f| f.mailbox.outgoing_enabled = false, &["outbox"], "as soon as what stops above is mended"),
        (|f| f.roles.retain(|r| r.role != "outgoing-worker"), &["outbox"], "No outgoing-worker was heard of"),
    ];
    for (change, held, remedy) in table {
        let mut facts = healthy();
        waiting(&mut facts);
        change(&mut facts);
        let steps = outgoing(&facts, now());
        assert_eq!(names(&steps, Verdict::Waits), *held, "{steps:#?}");
        let outbox = step(&steps, "outbox");
        assert!(outbox.sentence.starts_with("2 emails wait to be sent"), "{outbox:?}");
        assert!(outbox.remedy.as_deref().unwrap().contains(remedy), "{outbox:?}");
    }
    let mut facts = healthy();
    facts.mailbox.outgoing_method = "none".into();
    assert_eq!(names(&outgoing(&facts, now()), Verdict::Stops), ["method"]);
    assert_eq!(worst(&incoming(&facts, now())), Verdict::Ok, "the other direction goes on");
}

/// A record: accepted for whom, belonging to what.
#[test]
fn a_recorded_message() {
    let facts = MessageFacts { emails: vec![received()], ..MessageFacts::default() };
    let steps = message(&facts, Some(&healthy()), &[], now());
    assert_eq!(worst(&steps), Verdict::Ok, "{steps:#?}");
    assert!(step(&steps, "seen").sentence.starts_with("Seen in 1 mailbox: ann@example.test at 2026-11-23 08:55:00"));
    assert_eq!(step(&steps, "acceptance").sentence, "Accepted for the queue Support.");
    let other = Uuid::from_u128(8);
    assert_eq!(step(&steps, "correlation").sentence, format!("It belongs to the email {other}, found by in-reply-to."));
    let record = &step(&steps, "record").sentence;
    assert!(record.contains(&Uuid::from_u128(9).to_string()) && record.ends_with("Files were left out."), "{record}");
}

/// F25: refused in one mailbox, recorded in another: it depends on which one is asked for.
#[test]
fn f25_a_refused_message() {
    let facts = MessageFacts { items: vec![refused(1, "NoCorrelationMatch")], ..MessageFacts::default() };
    let steps = message(&facts, None, &[], now());
    let found = step(&steps, "acceptance");
    assert_eq!((found.verdict, found.part.as_str()), (Verdict::Stops, "1@example.test"));
    assert!(found.sentence.contains("NoCorrelationMatch. None of the recipients' tracking options"), "{found:?}");
    let remedy = found.remedy.as_deref().unwrap();
    assert!(remedy.contains("track_option") && remedy.contains("lockstep item release"), "{remedy}");
    let mut again = facts.clone();
    again.items[0].next_attempt_at = Some(minutes(0));
    let steps = message(&again, None, &[], now());
    let found = step(&steps, "acceptance");
    assert_eq!(found.verdict, Verdict::Waits);
    assert!(found.sentence.ends_with("It is judged again when the mailbox is read next."), "{found:?}");
    let mut both = MessageFacts { emails: vec![received()], items: vec![refused(5, "TooOld")], ..facts.clone() };
    let steps = message(&both, Some(&healthy()), &[], now());
    assert_eq!(worst(&steps), Verdict::Ok, "what was decided for 5 stops nothing at 1: {steps:#?}");
    assert_eq!(names(&steps, Verdict::NotReached), ["acceptance"]);
    assert_eq!(worst(&message(&both, None, &[], now())), Verdict::Stops);
    both.items[0].mailbox_id = Uuid::from_u128(1);
    assert_eq!(worst(&message(&both, Some(&healthy()), &[], now())), Verdict::Stops);
    is_helpful(&steps);
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
    let found = step(&steps, "quarantine");
    assert_eq!(found.verdict, Verdict::Waits);
    assert!(found.sentence.contains("4 attempts: ItemUnavailable (-ERR[31m no)"), "nothing steers: {found:?}");
    assert!(found.sentence.contains("The next attempt is 2026-11-23 09:10:00"), "{found:?}");
    assert!(found.remedy.as_deref().unwrap().contains("lockstep item release"), "{found:?}");
    facts.items[0].next_attempt_at = None;
    let steps = message(&facts, None, &[], now());
    assert_eq!(step(&steps, "quarantine").verdict, Verdict::Stops);
    is_helpful(&steps);
}

/// How far an email that is sent has come.
#[test]
fn a_sent_message() {
    for (state, verdict, words) in [
        ("sent", Verdict::Ok, "The server said: 250 queued as 4711"),
        ("pending", Verdict::Waits, "2 attempts so far, the next due 2026-11-23 09:04:00"),
        ("retry", Verdict::Waits, "Last fault: MessageDeferred: 451 later."),
        ("sending", Verdict::Waits, "attempt 2"),
        ("in-flight", Verdict::Waits, "attempt 2"),
        ("unknown", Verdict::Stops, "sent or not"),
        ("failed", Verdict::Stops, "Given up (failed)"),
    ] {
        let mut email = written(state);
        if state == "retry" {
            let delivery = email.delivery.as_mut().unwrap();
            delivery.fault_code = Some("MessageDeferred".into());
            delivery.fault_message = Some("451 later".into());
        }
        let facts = MessageFacts { emails: vec![email], ..MessageFacts::default() };
        let steps = message(&facts, None, &[healthy()], now());
        let found = step(&steps, "delivery");
        assert_eq!((found.verdict, worst(&steps)), (verdict, verdict), "{state}: {steps:#?}");
        assert!(found.sentence.contains(words), "{found:?}");
        is_helpful(&steps);
    }
}

/// One recipient is refused, the others have it.
#[test]
fn each_recipient_is_told_of() {
    let mut email = written("sent");
    let recipient = |address: &str, state: &str, reply: Option<&str>| RecipientFacts {
        address: address.into(),
        state: state.into(),
        reply: reply.map(Into::into),
    };
    email.delivery.as_mut().unwrap().recipients =
        vec![recipient("b@x.test", "refused", Some("550 no such user")), recipient("a@x.test", "accepted", Some(""))];
    let facts = MessageFacts { emails: vec![email], ..MessageFacts::default() };
    let steps = message(&facts, None, &[], now());
    assert_eq!(names(&steps, Verdict::Stops), ["recipient"]);
    let recipients: Vec<_> = steps.iter().filter(|step| step.name == "recipient").collect();
    assert_eq!(recipients[0].sentence, "b@x.test refused: 550 no such user.");
    assert!(recipients[0].remedy.as_deref().unwrap().contains("copy-to-refused"));
    assert_eq!(recipients[1].sentence, "a@x.test accepted.", "no colon without words");
}

/// An email waits because its mailbox may not send.
#[test]
fn what_stops_the_mailbox_stops_the_email() {
    let mut sender = healthy();
    sender.mailbox.outgoing_enabled = false;
    let facts = MessageFacts { emails: vec![written("pending")], ..MessageFacts::default() };
    let steps = message(&facts, None, &[sender.clone()], now());
    assert_eq!(names(&steps, Verdict::Stops), ["enabled"]);
    let facts = MessageFacts { emails: vec![written("sent")], ..MessageFacts::default() };
    assert_eq!(worst(&message(&facts, None, &[sender], now())), Verdict::Ok, "it is out");
}

/// Nobody has seen it: the usual causes, by how the mailboxes stand, or the chain of the one that was named.
#[test]
fn a_message_nobody_has_seen() {
    let elsewhere =
        Elsewhere { mailboxes: 10, read: 6, stopped: 2, failing: 1, overdue: 0, open_breakers: 1, quarantined: 3 };
    let facts = MessageFacts { elsewhere, ..MessageFacts::default() };
    let steps = message(&facts, None, &[], now());
    assert_eq!(worst(&steps), Verdict::Unknown);
    assert_eq!(
        step(&steps, "elsewhere").sentence,
        "6 of 10 mailboxes are read; 1 server is kept away from; 2 mailboxes are disabled by a fault; 1 mailbox waits \
         after a fault; 2 mailboxes are not read (inactive, unconfigured, unapproved or untested); 3 messages are set \
         aside, some of them unread."
    );
    is_helpful(&steps);
    let mut asked = healthy();
    asked.profile.as_mut().unwrap().active = false;
    let steps = message(&facts, Some(&asked), &[], now());
    assert!(step(&steps, "seen").sentence.contains("never seen in ann@example.test. Nor was it in any other."));
    assert_eq!(names(&steps, Verdict::Stops), ["profile"]);
    let elsewhere = MessageFacts { items: vec![refused(5, "TooOld")], ..facts };
    let steps = message(&elsewhere, Some(&asked), &[], now());
    assert!(step(&steps, "seen").sentence.contains("It was seen in 5@example.test"), "{steps:#?}");
}

/// A newsletter goes to many mailboxes: few are named, the rest is counted.
#[test]
fn many_places_are_counted() {
    let found_in = (1..=40).map(|n| place(n, &format!("{n}@example.test"))).collect();
    let facts = MessageFacts {
        emails: vec![lockstep_store::explain::EmailFacts { found_in, ..received() }],
        ..MessageFacts::default()
    };
    let seen = message(&facts, None, &[], now()).remove(0).sentence;
    assert!(seen.starts_with("Seen in 40 mailboxes: ") && seen.ends_with("; 35 more."), "{seen}");
}
