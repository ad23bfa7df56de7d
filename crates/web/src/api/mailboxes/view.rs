//! The shape of a mailbox in requests and answers.

use chrono::{DateTime, Utc};
use lockstep_store::mailboxes::{
    MailboxRecord,
    status::{LaneStatus, MailboxStatus},
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::figures::{LastError, Sending, Test};
use crate::{
    api::alerts::AlertCounts,
    words::{IncomingMethod, Method},
};

/// What may be written of a mailbox.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MailboxFields {
    /// The owner's name. Only that of a forward mailbox can be changed here: at most 200 characters.
    pub(super) name: String,
    /// Its address and its owner's.
    pub(super) address: String,
    /// How its server is reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) profile_id: Option<Uuid>,
    pub(super) incoming_method: IncomingMethod,
    pub(super) outgoing_method: Method,
    /// Appointments, contacts and tasks.
    pub(super) act_method: Method,
    /// Its own account may be used; needed where the profile's credentials are the mailboxes'. Where it becomes false,
    /// login and password are removed.
    pub(super) allow_credentials: bool,
    /// Name of its own account, at most 200 characters; only with allow_credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) login: Option<String>,
    /// Its password or token. Never shown again.
    #[serde(serialize_with = "crate::hidden::nothing", skip_serializing_if = "crate::hidden::always")]
    #[schema(value_type = Option<String>, format = Password, write_only)]
    pub(super) password: Option<SecretString>,
    /// Mail received before is not processed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) process_email_from: Option<DateTime<Utc>>,
    /// Processed messages are deleted on the server; not for mailboxes of users.
    pub(super) delete_after_processing: bool,
    /// 0: logged as usual; 1 to 100: its runs are logged in detail, without contents.
    pub(super) verbose_logging: i64,
    /// Inactive mailboxes are not processed.
    pub(super) active: bool,
}

/// A forward mailbox that is to be. Mailboxes of users and queues are made with them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewForwardMailbox {
    /// true: other mailboxes are made with their users and queues.
    pub(super) is_forward_mailbox: bool,
    /// Name, at most 200 characters.
    pub(super) name: String,
    /// Its address: nobody's working mailbox.
    pub(super) address: String,
    /// How its server is reached. Default: the default profile.
    pub(super) profile_id: Option<Uuid>,
    /// Default: server-side.
    pub(super) incoming_method: Option<IncomingMethod>,
    /// none, if it is given: a forward mailbox does not send.
    pub(super) outgoing_method: Option<Method>,
    /// none, if it is given: a forward mailbox has email only.
    pub(super) act_method: Option<Method>,
    /// Its own account may be used. Default: false.
    #[serde(default)]
    pub(super) allow_credentials: bool,
    /// Name of its own account, at most 200 characters.
    pub(super) login: Option<String>,
    /// Its password or token. Never shown again.
    #[schema(value_type = Option<String>, format = Password, write_only)]
    pub(super) password: Option<SecretString>,
    /// Mail received before is not processed. Default: from when it is enabled on.
    pub(super) process_email_from: Option<DateTime<Utc>>,
    /// Processed messages are deleted on the server. Default: false.
    #[serde(default)]
    pub(super) delete_after_processing: bool,
    /// Default: true.
    #[serde(default = "yes")]
    pub(super) active: bool,
    /// Never: a forward mailbox belongs to the organisation.
    pub(super) owner_user_id: Option<Uuid>,
    /// Never: a forward mailbox belongs to the organisation.
    pub(super) owner_queue_id: Option<Uuid>,
}

fn yes() -> bool {
    true
}

/// Whose mailbox it is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OwnerView {
    /// `user` or `queue`.
    kind: &'static str,
    id: Uuid,
}

/// How one kind of scheduled work stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Lane {
    /// `incoming` or `act`.
    lane: String,
    /// Whether it is scheduled.
    enabled: bool,
    due_at: DateTime<Utc>,
    /// Deferred until then.
    not_before: Option<DateTime<Utc>>,
    /// Put off until then, after a fault or for want of a connection; absent when it simply waits for its next turn.
    postponed_until: Option<DateTime<Utc>>,
    /// Seconds between cycles at present.
    interval_seconds: f64,
    /// Which occasion this is.
    generation: i64,
    /// A worker has it at present.
    claimed: bool,
    claimed_until: Option<DateTime<Utc>>,
    /// How often this occasion was handed out; above one, a worker was lost.
    claims: i32,
    /// Cycles in a row that found nothing.
    empty_cycles: i32,
    /// Transient failures in a row.
    transient_failures: i32,
    /// The last fault, until a run succeeds.
    fault: Option<LaneFault>,
    /// The last error there was, whether or not a run has succeeded since.
    last_error: Option<LastError>,
    /// The fault that stopped it until somebody acts.
    disabled_code: Option<String>,
    last_run: Option<Uuid>,
    last_started_at: Option<DateTime<Utc>>,
    last_ended_at: Option<DateTime<Utc>>,
    /// Items the last cycle has judged: made records or declined by rule.
    last_processed: i64,
    /// Items that failed in it.
    last_failed: i64,
    last_duration_seconds: Option<f64>,
    /// An average in which the newest cycle counts for a fifth.
    average_duration_seconds: Option<f64>,
    /// Host of the worker that has it at present; known after two seconds.
    worker: Option<String>,
    /// Host of the worker that did the last cycle.
    last_worker: Option<String>,
    /// How often it was taken from a worker that did not report in time, and handed out again.
    forced_unlocks: i64,
    forced_unlocked_at: Option<DateTime<Utc>>,
    last_succeeded_at: Option<DateTime<Utc>>,
    last_outcome: Option<String>,
    cycles: i64,
    /// Items seen, made records, declined by rule, failed: since the beginning.
    seen: i64,
    tracked: i64,
    refused: i64,
    failed: i64,
}

/// A fault of a lane.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LaneFault {
    code: String,
    class: Option<String>,
    message: Option<String>,
    at: Option<DateTime<Utc>>,
}

/// A mailbox and how it stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Mailbox {
    pub(super) id: Uuid,
    /// Nobody's own: what is read here is treated as received by whoever has forwarded it.
    is_forward_mailbox: bool,
    /// Absent where it is a forward mailbox, which is the organisation's.
    owner: Option<OwnerView>,
    #[serde(flatten)]
    fields: MailboxFields,
    /// Whether a password is stored.
    password_set: bool,
    /// The first that holds: inactive, unconfigured, rejected, unapproved, disabled, untested, failing, healthy.
    state: String,
    /// `empty`, `approved`, `pending` or `rejected`.
    address_status: String,
    approved_by: Option<String>,
    approved_at: Option<DateTime<Utc>>,
    /// `not-run`, `success` or `failure`.
    incoming_test: String,
    /// `not-run`, `success` or `failure`.
    outgoing_test: String,
    /// Tested and enabled, and not disabled by a fault since.
    incoming_enabled: bool,
    outgoing_enabled: bool,
    /// Of appointments, contacts and tasks: `not-run`, `success` or `failure`.
    act_test: String,
    act_enabled: bool,
    act_tested_at: Option<DateTime<Utc>>,
    /// Who asked for a test last, whatever became of it.
    test_attempted_by: Option<String>,
    test_attempted_at: Option<DateTime<Utc>>,
    /// Who asked for the last test that came to a result.
    tested_by: Option<String>,
    /// When it ended.
    tested_at: Option<DateTime<Utc>>,
    /// When reading was last tested.
    incoming_tested_at: Option<DateTime<Utc>>,
    /// When sending was last tested.
    outgoing_tested_at: Option<DateTime<Utc>>,
    /// Who asked for the last test by which a direction was enabled.
    enabled_by: Option<String>,
    enabled_at: Option<DateTime<Utc>>,
    lanes: Vec<Lane>,
    sending: Sending,
    /// The last test that was asked for; absent when there was none.
    test: Option<Test>,
    /// Its open alerts, those of its items and emails among them.
    pub(super) alerts: AlertCounts,
    /// The ETag without its quotes.
    pub(super) version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<&MailboxRecord> for MailboxFields {
    fn from(mailbox: &MailboxRecord) -> Self {
        Self {
            name: mailbox.name.clone(),
            address: mailbox.address.clone(),
            profile_id: mailbox.profile_id,
            incoming_method: IncomingMethod::of(&mailbox.incoming_method),
            outgoing_method: Method::of(&mailbox.outgoing_method),
            act_method: Method::of(&mailbox.act_method),
            allow_credentials: mailbox.allow_credentials,
            login: mailbox.login.clone(),
            password: None,
            process_email_from: mailbox.process_email_from,
            delete_after_processing: mailbox.delete_after_processing,
            verbose_logging: mailbox.verbose_logging.into(),
            active: mailbox.active,
        }
    }
}

impl From<MailboxStatus> for Mailbox {
    fn from(status: MailboxStatus) -> Self {
        let stopped = |lane: &str| status.lanes.iter().any(|found| found.lane == lane && found.disabled_code.is_some());
        let (incoming_stopped, act_stopped) = (stopped("incoming"), stopped("act"));
        let mailbox = status.mailbox;
        Self {
            fields: (&mailbox).into(),
            id: mailbox.id,
            owner: mailbox.owner().map(|owner| OwnerView { kind: owner.kind(), id: owner.uuid() }),
            is_forward_mailbox: mailbox.is_forward_mailbox,
            password_set: mailbox.password_set,
            state: status.state,
            address_status: mailbox.address_status,
            approved_by: mailbox.approved_by,
            approved_at: mailbox.approved_at,
            incoming_test: mailbox.incoming_test,
            outgoing_test: mailbox.outgoing_test,
            incoming_enabled: mailbox.incoming_enabled && !incoming_stopped,
            outgoing_enabled: mailbox.outgoing_enabled,
            act_test: mailbox.act_test,
            act_enabled: mailbox.act_enabled && !act_stopped,
            act_tested_at: mailbox.act_tested_at,
            test_attempted_by: mailbox.test_attempted_by,
            test_attempted_at: mailbox.test_attempted_at,
            tested_by: mailbox.tested_by,
            tested_at: mailbox.tested_at,
            incoming_tested_at: mailbox.incoming_tested_at,
            outgoing_tested_at: mailbox.outgoing_tested_at,
            enabled_by: mailbox.enabled_by,
            enabled_at: mailbox.enabled_at,
            lanes: status.lanes.into_iter().map(Lane::from).collect(),
            sending: status.sending.into(),
            test: status.test.map(Test::from),
            alerts: AlertCounts::default(),
            version: mailbox.version,
            created_at: mailbox.created_at,
            updated_at: mailbox.updated_at,
        }
    }
}

impl From<LaneStatus> for Lane {
    fn from(lane: LaneStatus) -> Self {
        let (class, message, at) = (lane.fault_class, lane.fault_message, lane.fault_at);
        let after_fault = lane.fault_code.as_ref().map(|_| lane.due_at);
        let last_error = lane.last_error_code.map(|code| LastError {
            code,
            message: lane.last_error_message,
            count: lane.last_error_count,
            worker: lane.last_error_worker,
            at: lane.last_error_at,
        });
        Self {
            lane: lane.lane,
            enabled: lane.enabled,
            due_at: lane.due_at,
            not_before: lane.not_before,
            postponed_until: lane.not_before.max(after_fault),
            interval_seconds: lane.interval_seconds,
            generation: lane.generation,
            claimed: lane.claimed_until.is_some(),
            claimed_until: lane.claimed_until,
            claims: lane.claims,
            empty_cycles: lane.empty_cycles,
            transient_failures: lane.transient_failures,
            fault: lane.fault_code.map(|code| LaneFault { code, class, message, at }),
            disabled_code: lane.disabled_code,
            last_run: lane.last_run,
            last_started_at: lane.last_started_at,
            last_ended_at: lane.last_ended_at,
            last_error,
            last_processed: lane.last_processed,
            last_failed: lane.last_failed,
            last_duration_seconds: lane.last_duration_seconds,
            average_duration_seconds: lane.average_duration_seconds,
            worker: lane.worker,
            last_worker: lane.last_worker,
            forced_unlocks: lane.forced_unlocks,
            forced_unlocked_at: lane.forced_unlocked_at,
            last_succeeded_at: lane.last_succeeded_at,
            last_outcome: lane.last_outcome,
            cycles: lane.cycles,
            seen: lane.seen,
            tracked: lane.tracked,
            refused: lane.refused,
            failed: lane.failed,
        }
    }
}
