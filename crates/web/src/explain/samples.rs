//! Facts for tests: a mailbox at which nothing is wrong, and a message of each kind.

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_store::{
    deliveries::figures::SendingStatus,
    explain::{
        DeliveryFacts, EmailFacts, ItemFacts, MailboxFacts, Outbox, OwnerFacts, Permit, Place, ProfileFacts,
        Quarantine, RecipientFacts, RoleSeen, Rules,
    },
    mailboxes::{MailboxRecord, status::LaneStatus},
};
use uuid::Uuid;

pub(super) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_424_400, 0).unwrap()
}

pub(super) fn minutes(number: i64) -> DateTime<Utc> {
    now() + TimeDelta::minutes(number)
}

pub(super) fn healthy() -> MailboxFacts {
    let role = |role: &str| RoleSeen { role: role.to_owned(), seen_at: now() };
    MailboxFacts {
        mailbox: mailbox(),
        owner: Some(OwnerFacts {
            kind: "user".to_owned(),
            name: "Ann".to_owned(),
            active: true,
            track_option: "in-response".to_owned(),
        }),
        profile: Some(ProfileFacts {
            id: Uuid::from_u128(2),
            name: "Pop".to_owned(),
            active: true,
            breaker_failures: 0,
            breaker_open_until: None,
            sending_failures: 0,
            sending_open_until: None,
            min_polling_minutes: 0,
            process_emails_from: None,
        }),
        approval_required: true,
        router: false,
        incoming: Some(lane()),
        sending: sending(),
        test: None,
        permit: Some(permit()),
        rules: Rules {
            use_correlation: true,
            ignore_reply_headers: false,
            use_tracking_tokens: true,
            only_receiving_accepts: false,
        },
        filters: Vec::new(),
        alerts: Vec::new(),
        quarantine: Quarantine::default(),
        outbox: Outbox::default(),
        roles: ["mailbox-worker", "outgoing-worker", "scheduler"].map(role).into(),
    }
}

fn sending() -> SendingStatus {
    SendingStatus {
        mailbox_id: Uuid::from_u128(1),
        last_started_at: Some(minutes(-8) - TimeDelta::seconds(2)),
        last_ended_at: Some(minutes(-8)),
        last_succeeded_at: Some(minutes(-8)),
        last_outcome: Some("sent".to_owned()),
        last_worker: Some("worker-3".to_owned()),
        attempts: 5,
        sent: 4,
        retried: 1,
        ..SendingStatus::default()
    }
}

fn permit() -> Permit {
    Permit {
        cap: 10,
        shared: false,
        sends_apart: false,
        claimed: 0,
        at_work: 0,
        sending: 0,
        deferred: 0,
        workers: 2,
        capacity: 64,
    }
}

fn mailbox() -> MailboxRecord {
    MailboxRecord {
        id: Uuid::from_u128(1),
        name: "Ann".to_owned(),
        profile_id: Some(Uuid::from_u128(2)),
        owner_user_id: Some(Uuid::from_u128(3)),
        owner_queue_id: None,
        is_forward_mailbox: false,
        address: "ann@example.test".to_owned(),
        address_key: "ann@example.test".to_owned(),
        address_status: "approved".to_owned(),
        approved_by: Some("root".to_owned()),
        approved_at: Some(now()),
        incoming_method: "server-side".to_owned(),
        outgoing_method: "server-side".to_owned(),
        act_method: "none".to_owned(),
        allow_credentials: true,
        login: Some("ann".to_owned()),
        password_set: true,
        incoming_test: "success".to_owned(),
        outgoing_test: "success".to_owned(),
        incoming_enabled: true,
        outgoing_enabled: true,
        act_test: "not-run".to_owned(),
        act_enabled: false,
        act_tested_at: None,
        test_attempted_by: None,
        test_attempted_at: None,
        tested_by: None,
        tested_at: Some(minutes(-60)),
        incoming_tested_at: None,
        outgoing_tested_at: None,
        enabled_by: None,
        enabled_at: None,
        process_email_from: None,
        delete_after_processing: false,
        verbose_logging: 0,
        active: true,
        version: 1,
        created_at: now(),
        updated_at: now(),
    }
}

fn lane() -> LaneStatus {
    LaneStatus {
        mailbox_id: Uuid::from_u128(1),
        lane: "incoming".to_owned(),
        enabled: true,
        due_at: minutes(3),
        not_before: None,
        interval_seconds: 300.0,
        generation: 7,
        claimed_until: None,
        claims: 0,
        empty_cycles: 2,
        transient_failures: 0,
        fault_code: None,
        fault_class: None,
        fault_message: None,
        fault_at: None,
        disabled_code: None,
        last_run: Some(Uuid::from_u128(4)),
        last_started_at: Some(minutes(-2) - TimeDelta::seconds(3)),
        last_ended_at: Some(minutes(-2)),
        last_succeeded_at: Some(minutes(-2)),
        last_outcome: Some("completed".to_owned()),
        cycles: 12,
        seen: 40,
        tracked: 10,
        refused: 29,
        failed: 1,
        last_processed: 3,
        last_failed: 0,
        last_duration_seconds: Some(3.0),
        average_duration_seconds: Some(2.5),
        last_worker: Some("worker-1".to_owned()),
        worker: None,
        last_error_code: None,
        last_error_message: None,
        last_error_at: None,
        last_error_worker: None,
        last_error_count: 0,
        forced_unlocks: 0,
        forced_unlocked_at: None,
    }
}

pub(super) fn received() -> EmailFacts {
    EmailFacts {
        id: Uuid::from_u128(9),
        direction: "incoming".to_owned(),
        status: "received".to_owned(),
        created_at: minutes(-5),
        accepting_kind: Some("queue".to_owned()),
        accepting_name: Some("Support".to_owned()),
        accepting_option: Some("all".to_owned()),
        withheld: false,
        correlation_method: "in-reply-to".to_owned(),
        correlated_email_id: Some(Uuid::from_u128(8)),
        attachments_left_out: true,
        body_truncated: false,
        unparsable: None,
        found_in: vec![place(1, "ann@example.test")],
        delivery: None,
    }
}

pub(super) fn place(mailbox: u128, address: &str) -> Place {
    Place { mailbox_id: Uuid::from_u128(mailbox), address: address.to_owned(), at: minutes(-5) }
}

pub(super) fn written(state: &str) -> EmailFacts {
    EmailFacts {
        direction: "outgoing".to_owned(),
        status: "pending-send".to_owned(),
        accepting_kind: None,
        accepting_name: None,
        accepting_option: None,
        correlated_email_id: None,
        attachments_left_out: false,
        found_in: Vec::new(),
        delivery: Some(DeliveryFacts {
            mailbox_id: Uuid::from_u128(1),
            address: "ann@example.test".to_owned(),
            state: state.to_owned(),
            attempt: 2,
            due_at: minutes(4),
            claimed_until: None,
            worker: Some("worker-3".to_owned()),
            begun_at: Some(minutes(-1)),
            in_flight_at: None,
            reply: Some("250 queued as 4711".to_owned()),
            fault_code: None,
            fault_message: None,
            updated_at: minutes(-1),
            recipients: vec![recipient("b@x.test", if state == "sent" { "accepted" } else { "pending" }, None)],
        }),
        ..received()
    }
}

pub(super) fn recipient(address: &str, state: &str, reply: Option<&str>) -> RecipientFacts {
    RecipientFacts { address: address.to_owned(), state: state.to_owned(), reply: reply.map(str::to_owned) }
}

pub(super) fn refused(mailbox: u128, reason: &str) -> ItemFacts {
    ItemFacts {
        mailbox_id: Uuid::from_u128(mailbox),
        address: format!("{mailbox}@example.test"),
        track_option: Some("in-response".to_owned()),
        key: "6b31".to_owned(),
        disposition: "refused".to_owned(),
        reason: Some(reason.to_owned()),
        detail: None,
        attempts: 0,
        next_attempt_at: None,
        seen_at: minutes(-7),
    }
}
