//! Tables: one thing is wrong, and the chain says which.

mod messages;

use lockstep_store::explain::{FiltersOfKind, MailboxFacts, OpenAlert};
use uuid::Uuid;

use super::{
    Decision,
    Decision::{Acceptance, Approved, Breaker, Correlation, Due, Enabled, Filter, Lease, Permit, Result},
    Step, Verdict, incoming, outgoing,
    samples::*,
    worst,
};

type Change = fn(&mut MailboxFacts);

/// The chain as an administrator checks it.
const ORDER: [&str; 10] =
    ["approved", "enabled", "due", "breaker", "permit", "lease", "filter", "acceptance", "correlation", "result"];

fn step(steps: &[Step], name: Decision) -> &Step {
    steps.iter().find(|step| step.name == name).unwrap_or_else(|| panic!("no step {name:?}: {steps:#?}"))
}

fn names(steps: &[Step], verdict: Verdict) -> Vec<Decision> {
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

/// Every chain has the ten decisions, in order, under their names; what stops has a remedy, and so has what waits.
#[track_caller]
fn is_helpful(steps: &[Step]) {
    let words: Vec<_> = steps.iter().map(|step| serde_json::to_value(step.name).unwrap()).collect();
    assert!(!words.is_empty() && words.len() % ORDER.len() == 0, "{steps:#?}");
    for (chain, words) in steps.chunks(ORDER.len()).zip(words.chunks(ORDER.len())) {
        assert_eq!(words, ORDER, "{chain:#?}");
        assert!(chain.iter().all(|step| step.part == chain[0].part), "{chain:#?}");
    }
    for step in steps {
        assert!(step.sentence.ends_with(['.', ')']) && !step.sentence.contains(".."), "{step:?}");
        if matches!(step.verdict, Verdict::Stops | Verdict::Unknown | Verdict::Waits) {
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
    let said = |facts: &MailboxFacts| step(&incoming(facts, now()), Filter).sentence.clone();
    assert!(said(&facts).contains("before incoming email is enabled is left alone"), "{}", said(&facts));
    facts.mailbox.incoming_enabled = true;
    assert!(said(&facts).starts_with("Mail of any date is processed."));
    facts.mailbox.process_email_from = Some(minutes(-30));
    assert!(said(&facts).starts_with("Mail received before "), "{}", said(&facts));
}

/// Where nothing is wrong, the chain says so, with the figures.
#[test]
fn a_healthy_mailbox() {
    let mut facts = healthy();
    facts.filters = vec![FiltersOfKind { record_kind: "task".to_owned(), filters: 2 }];
    let steps = incoming(&facts, now());
    assert_eq!(worst(&steps), Verdict::Ok, "{steps:#?}");
    is_helpful(&steps);
    assert_eq!(
        step(&steps, Due).sentence,
        "It is read next 2026-11-23 09:03:00 UTC (in 3 min), every 5 min: 2 looks in a row found nothing."
    );
    let said = |name: Decision, words: &[&str]| {
        for word in words {
            assert!(step(&steps, name).sentence.contains(word), "{word:?}: {}", step(&steps, name).sentence);
        }
    };
    said(Approved, &["ann@example.test is approved by root"]);
    said(Enabled, &["is active.", "user Ann.", "server-side.", "profile Pop is active.", "and is enabled."]);
    said(
        Permit,
        &["0 of the 10 connections of the mailbox's own account", "2 mailbox-workers with room for 64", "Redis"],
    );
    said(Lease, &["Nobody has it at present. The last was the worker on worker-1, from 2026-11-23 08:57:57"]);
    said(Filter, &["tracks answers to recorded email (track option in-response)", "by kind of record: task (2);"]);
    said(Acceptance, &["40 messages were seen, 10 recorded, 29 refused, 1 failed."]);
    said(Correlation, &["In-Reply-To and References", "token"]);
    said(Result, &["as completed, after 3 s.", "12 good cycles", "No alert is open."]);
    let steps = outgoing(&facts, now());
    assert_eq!(worst(&steps), Verdict::Ok, "{steps:#?}");
    let last = &step(&steps, Result).sentence;
    assert!(
        last.starts_with("The last attempt on worker-3 ended 2026-11-23 08:52:00 UTC (8 min ago) as sent."),
        "{last}"
    );
    assert!(last.contains("5 attempts: 4 sent, 1 tried again, 0 given up, 0 of which nobody knows."), "{last}");
    is_helpful(&steps);
    facts.sending = lockstep_store::deliveries::figures::SendingStatus::default();
    assert!(step(&outgoing(&facts, now()), Result).sentence.starts_with("Nothing was sent from it yet."));
}

/// What stood in the way of the last attempts to send, until one succeeds.
#[test]
fn what_sending_fails_of() {
    let mut facts = healthy();
    facts.sending.transient_failures = 2;
    facts.sending.last_error_code = Some("ConnectFailure".into());
    facts.sending.last_error_message = Some("connection refused".into());
    facts.sending.last_error_at = Some(minutes(-1));
    facts.outbox.sending = 1;
    facts.sending.workers = vec!["worker-3".into(), "worker-4".into()];
    let steps = outgoing(&facts, now());
    assert_eq!(names(&steps, Verdict::Waits), [Result]);
    let told = &step(&steps, Result).sentence;
    assert!(
        told.starts_with("ConnectFailure at 2026-11-23 08:59:00 UTC (60 s ago): connection refused. It is number 2")
    );
    assert!(step(&steps, Lease).sentence.starts_with("1 email is with a worker on worker-3, worker-4;"), "{steps:#?}");
    is_helpful(&steps);
}

/// Each thing that can be wrong with reading, where the chain shows it, with the value, and what becomes of the
/// rest.
#[test]
fn what_stops_reading() {
    let table: &[(Change, Decision, Verdict, &str)] = &[
        (|f| f.router = true, Enabled, Verdict::Stops, "Email Router"),
        (|f| f.mailbox.active = false, Enabled, Verdict::Stops, "inactive"),
        (
            |f| {
                f.mailbox.active = false;
                f.owner.as_mut().unwrap().active = false;
            },
            Enabled,
            Verdict::Stops,
            "inactive user Ann",
        ),
        (|f| f.owner.as_mut().unwrap().active = false, Enabled, Verdict::Ok, "activated by itself"),
        (|f| f.mailbox.incoming_method = "none".into(), Enabled, Verdict::Stops, "none: nothing is read"),
        (|f| f.profile = None, Enabled, Verdict::Stops, "no profile"),
        (|f| f.profile.as_mut().unwrap().active = false, Enabled, Verdict::Stops, "Pop is inactive"),
        (|f| f.mailbox.address_status = "pending".into(), Approved, Verdict::Stops, "waits for its approval"),
        (
            |f| {
                f.mailbox.address_status = "pending".into();
                f.approval_required = false;
            },
            Approved,
            Verdict::Ok,
            "does not ask",
        ),
        (|f| f.mailbox.address_status = "rejected".into(), Approved, Verdict::Stops, "rejected"),
        (|f| f.mailbox.address_status = "empty".into(), Approved, Verdict::Stops, "no address"),
        (|f| f.mailbox.incoming_enabled = false, Enabled, Verdict::Stops, "never tested and enabled"),
        (
            |f| {
                f.mailbox.incoming_enabled = false;
                f.mailbox.incoming_test = "failure".into();
                f.alerts = vec![alert("Unauthorized", "incoming")];
            },
            Enabled,
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
            Enabled,
            Verdict::Stops,
            "disabled by Unauthorized since 2026-11-23 06:55:00 UTC (2 h ago)",
        ),
        (|f| f.incoming.as_mut().unwrap().enabled = false, Due, Verdict::Stops, "nothing speaks against it"),
        (|f| f.incoming = None, Due, Verdict::Unknown, "not scheduled yet"),
        (|f| f.owner.as_mut().unwrap().track_option = "none".into(), Filter, Verdict::Stops, "tracks no email"),
        (
            |f| {
                f.owner.as_mut().unwrap().track_option = "none".into();
                f.rules.only_receiving_accepts = true;
            },
            Acceptance,
            Verdict::Stops,
            "Only the owner of the mailbox accepts",
        ),
        (
            |f| (f.rules.ignore_reply_headers, f.rules.use_tracking_tokens) = (true, false),
            Correlation,
            Verdict::Stops,
            "tracks nothing but answers",
        ),
        (
            |f| {
                f.owner.as_mut().unwrap().track_option = "all".into();
                (f.rules.use_correlation, f.rules.use_tracking_tokens) = (false, false);
            },
            Correlation,
            Verdict::Ok,
            "not concerned",
        ),
    ];
    for (change, name, verdict, words) in table {
        let mut facts = healthy();
        change(&mut facts);
        let steps = incoming(&facts, now());
        let found = step(&steps, *name);
        assert_eq!(found.verdict, *verdict, "{found:?}");
        assert!(found.sentence.contains(words), "{found:?}");
        assert_eq!(worst(&steps), if *verdict == Verdict::Ok { Verdict::Ok } else { *verdict }, "{steps:#?}");
        is_helpful(&steps);
        if [Approved, Enabled].contains(name) && *verdict == Verdict::Stops {
            assert_eq!(names(&steps, Verdict::Stops), [*name], "{steps:#?}");
            for later in [Due, Lease] {
                assert_eq!(step(&steps, later).verdict, Verdict::NotReached, "{name:?}");
            }
        }
    }
    // Of several that stop each is told, with its remedy, and what is well is not.
    let mut facts = healthy();
    facts.mailbox.active = false;
    facts.profile = None;
    let found = step(&incoming(&facts, now()), Enabled).clone();
    assert!(found.sentence.contains("is inactive. The mailbox has no profile"), "{found:?}");
    assert!(found.remedy.unwrap().contains(" — Set the mailbox's profile_id"));
}

/// What puts reading off, and goes on by itself.
#[test]
fn what_puts_reading_off() {
    let table: &[(Change, Decision, &str, &str)] = &[
        (
            |f| {
                let lane = f.incoming.as_mut().unwrap();
                lane.transient_failures = 4;
                lane.fault_code = Some("ConnectFailure".into());
                lane.fault_message = Some("connection refused".into());
                lane.fault_at = Some(minutes(-1));
            },
            Result,
            "ConnectFailure at 2026-11-23 08:59:00 UTC (60 s ago): connection refused. It is number 4",
            "firewalls",
        ),
        (
            |f| f.profile.as_mut().unwrap().breaker_open_until = Some(minutes(5)),
            Breaker,
            "nothing goes there until 2026-11-23 09:05:00",
            "server",
        ),
        (
            |f| f.profile.as_mut().unwrap().breaker_open_until = Some(minutes(-5)),
            Breaker,
            "one mailbox at a time probes",
            "server",
        ),
        (
            |f| {
                let lane = f.incoming.as_mut().unwrap();
                lane.due_at = minutes(-1);
                lane.not_before = Some(minutes(1));
                lane.last_outcome = Some("deferred".into());
            },
            Permit,
            "The last run 2026-11-23 08:58:00 UTC (2 min ago) got no connection and is put off until \
             2026-11-23 09:01:00 UTC (in 60 s): all were in use",
            "max_connections (10 now)",
        ),
        (
            |f| {
                let permit = f.permit.as_mut().unwrap();
                (permit.shared, permit.claimed, permit.at_work, permit.sending) = (true, 8, 3, 2);
            },
            Permit,
            "10 of the 10 connections of the profile's one account claimed: 8 lanes handed out (3 known to be at \
             work), 2 emails being sent",
            "max_connections",
        ),
        (
            |f| {
                let lane = f.incoming.as_mut().unwrap();
                lane.due_at = minutes(-1);
                lane.not_before = Some(minutes(1));
            },
            Due,
            "put off until 2026-11-23 09:01:00 UTC (in 60 s), so that others",
            "max_connections",
        ),
        (|f| f.incoming.as_mut().unwrap().due_at = minutes(-4), Due, "overdue since", "scheduler_lag"),
        (
            |f| {
                f.incoming.as_mut().unwrap().due_at = minutes(-4);
                f.roles.retain(|seen| seen.role != "mailbox-worker");
            },
            Due,
            "overdue since",
            "No mailbox-worker was heard of",
        ),
        (
            |f| {
                f.incoming.as_mut().unwrap().due_at = minutes(-4);
                f.roles.iter_mut().for_each(|seen| seen.seen_at = minutes(-10));
            },
            Due,
            "overdue since",
            "No scheduler was heard of",
        ),
        (
            |f| {
                let lane = f.incoming.as_mut().unwrap();
                (lane.claims, lane.claimed_until) = (3, Some(minutes(4)));
            },
            Lease,
            "handed out 3 times without a report",
            "worker was lost",
        ),
        (
            |f| f.incoming.as_mut().unwrap().last_outcome = Some("deferred".into()),
            Result,
            "as deferred",
            "the step permit",
        ),
        (
            |f| f.profile.as_mut().unwrap().process_emails_from = Some(minutes(60)),
            Filter,
            "which is to come",
            "earlier date",
        ),
        (
            |f| {
                f.quarantine.items = 3;
                f.quarantine.given_up = 1;
                f.quarantine.next_attempt_at = Some(minutes(15));
            },
            Result,
            "3 messages are set aside, 1 of them given up; the next one is tried again 2026-11-23 09:15:00",
            "lockstep item list",
        ),
        (|f| f.alerts = vec![alert("UidlReset", "listing")], Result, "1 alert is open: UidlReset;", "."),
    ];
    for (change, name, words, remedy) in table {
        let mut facts = healthy();
        change(&mut facts);
        let steps = incoming(&facts, now());
        let found = step(&steps, *name);
        assert_eq!((found.verdict, worst(&steps)), (Verdict::Waits, Verdict::Waits), "{steps:#?}");
        assert!(found.sentence.contains(words), "{found:?}");
        assert!(found.remedy.as_deref().unwrap_or_default().contains(remedy), "{found:?}");
        is_helpful(&steps);
    }
}

/// A lane that is being worked on is due in the past, and that is well; by whom, since when and until when is told.
#[test]
fn a_claimed_mailbox_is_not_overdue() {
    let mut facts = healthy();
    let lane = facts.incoming.as_mut().unwrap();
    (lane.due_at, lane.claims, lane.claimed_until) = (minutes(-4), 1, Some(minutes(1)));
    let permit = facts.permit.as_mut().unwrap();
    (permit.cap, permit.claimed) = (1, 1);
    let steps = incoming(&facts, now());
    assert_eq!(worst(&steps), Verdict::Ok, "its own connection is not in its way: {steps:#?}");
    assert!(step(&steps, Lease).sentence.starts_with("It is handed out, and no worker has given a sign"));
    facts.incoming.as_mut().unwrap().worker = Some("worker-2".into());
    assert_eq!(
        step(&incoming(&facts, now()), Lease).sentence,
        "The worker on worker-2 has it, since 2026-11-23 08:56:00 UTC (4 min ago) at the earliest; the claim ends \
         2026-11-23 09:01:00 UTC (in 60 s)."
    );
    is_helpful(&steps);
}

/// Alerts about the other direction, good news and what another step tells do not count.
#[test]
fn only_alerts_of_the_direction_count() {
    let mut facts = healthy();
    facts.alerts = vec![alert("OutgoingEmailAuthenticationError", "outgoing")];
    assert_eq!(worst(&incoming(&facts, now())), Verdict::Ok);
    assert_eq!(names(&outgoing(&facts, now()), Verdict::Waits), [Result]);
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
    assert_eq!(names(&steps, Verdict::Waits), [Acceptance], "what single emails came to");
    assert!(step(&steps, Acceptance).sentence.starts_with("1 alert is open: OutcomeUnknown;"), "{steps:#?}");
    is_helpful(&steps);
}

/// M4, M5: what keeps everything from being sent: a fault that has disabled the mailbox's sending, or a server that fails.
#[test]
fn m4_m5_what_stops_sending() {
    let mut facts = healthy();
    facts.mailbox.outgoing_enabled = false;
    facts.sending.disabled_code = Some("OutgoingEmailAuthenticationError".into());
    facts.sending.disabled_at = Some(minutes(-5));
    let steps = outgoing(&facts, now());
    assert_eq!(names(&steps, Verdict::Stops), [Enabled], "{steps:#?}");
    let enabled = step(&steps, Enabled);
    let told = "outgoing email is disabled by OutgoingEmailAuthenticationError since 2026-11-23 08:55:00";
    assert!(enabled.sentence.contains(told), "{enabled:?}");
    assert!(enabled.remedy.as_deref().unwrap().contains("lockstep mailbox test"), "{enabled:?}");
    assert_eq!(worst(&incoming(&facts, now())), Verdict::Ok, "reading goes on");
    is_helpful(&steps);

    for (until, told) in
        [(minutes(5), "nothing is sent until 2026-11-23 09:05:00"), (minutes(-5), "one email at a time")]
    {
        let mut facts = healthy();
        facts.profile.as_mut().unwrap().sending_open_until = Some(until);
        let steps = outgoing(&facts, now());
        assert_eq!(names(&steps, Verdict::Waits), [Breaker], "{steps:#?}");
        assert!(step(&steps, Breaker).sentence.contains(told), "{steps:#?}");
        assert_eq!(worst(&incoming(&facts, now())), Verdict::Ok, "reading goes on");
        is_helpful(&steps);
    }
    let mut facts = healthy();
    facts.profile.as_mut().unwrap().sending_failures = 2;
    let steps = outgoing(&facts, now());
    assert!(step(&steps, Breaker).sentence.contains("failed 2 times in a row"), "{steps:#?}");
}

/// What holds back what waits to be sent.
#[test]
fn what_holds_the_outbox() {
    let waiting: Change = |f| (f.outbox.waiting, f.outbox.due_at) = (2, Some(minutes(-10)));
    let table: &[(Change, &str)] = &[
        (|_| {}, "connections may all be in use"),
        (|f| f.mailbox.outgoing_enabled = false, "as soon as what stops above is mended"),
        (|f| f.roles.retain(|r| r.role != "outgoing-worker"), "No outgoing-worker was heard of"),
    ];
    for (change, remedy) in table {
        let mut facts = healthy();
        waiting(&mut facts);
        change(&mut facts);
        let steps = outgoing(&facts, now());
        assert_eq!(names(&steps, Verdict::Waits), [Due], "{steps:#?}");
        let due = step(&steps, Due);
        assert!(due.sentence.starts_with("2 emails wait to be sent"), "{due:?}");
        assert!(due.remedy.as_deref().unwrap().contains(remedy), "{due:?}");
        is_helpful(&steps);
    }
    let mut facts = healthy();
    facts.mailbox.outgoing_method = "none".into();
    assert_eq!(names(&outgoing(&facts, now()), Verdict::Stops), [Enabled]);
    assert_eq!(worst(&incoming(&facts, now())), Verdict::Ok, "the other direction goes on");
    // No connection is left for what waits.
    let mut facts = healthy();
    waiting(&mut facts);
    facts.outbox.due_at = Some(minutes(0));
    let permit = facts.permit.as_mut().unwrap();
    (permit.sends_apart, permit.claimed, permit.sending) = (true, 10, 0);
    assert_eq!(worst(&outgoing(&facts, now())), Verdict::Ok, "reading takes none of the account that sends");
    facts.permit.as_mut().unwrap().sending = 10;
    let steps = outgoing(&facts, now());
    assert_eq!(names(&steps, Verdict::Waits), [Permit]);
    assert!(
        step(&steps, Permit).sentence.starts_with("10 of the 10 connections of the account the profile sends with")
    );
    is_helpful(&steps);
}

/// C15: a test that is made again by itself stops nobody: it waits. What has failed for good stops all the same.
#[test]
fn c15_a_test_that_is_made_again_waits() {
    let mut facts = healthy();
    facts.mailbox.outgoing_enabled = false;
    facts.mailbox.outgoing_test = "failure".to_owned();
    facts.alerts.push(OpenAlert { severity: "warning".to_owned(), ..alert("ConnectFailure", "outgoing") });
    let said = |facts: &MailboxFacts| {
        let steps = outgoing(facts, now());
        is_helpful(&steps);
        format!("{steps:?}")
    };
    assert!(said(&facts).contains("The test of outgoing email failed"));
    facts.test = Some(lockstep_store::mailbox_tests::waiting::TestStatus {
        mailbox_id: Uuid::from_u128(1),
        operation_id: Uuid::from_u128(5),
        scheduled_at: minutes(-2),
        started_at: Some(minutes(-2)),
        completed_at: None,
        postponed_until: Some(minutes(1)),
        retries: 1,
        worker: None,
        last_worker: None,
        outcome: None,
        last_error_code: Some("ConnectFailure".to_owned()),
        last_error_message: None,
        last_error_at: None,
    });
    assert!(said(&facts).contains("and is made again"), "{}", said(&facts));
    assert_eq!(worst(&outgoing(&facts, now())), Verdict::Waits);
    facts.alerts.last_mut().unwrap().severity = "error".to_owned();
    assert_eq!(worst(&outgoing(&facts, now())), Verdict::Stops);
}
