//! How far a task is, told four times over: its state, its status, its percentage and the moment it was done. Whichever
//! of them is written, the others follow; what one request writes must agree.

use chrono::{DateTime, Utc};
use lockstep_model::record::{State, TaskStatus};

/// How far a task is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Whether there is still something to do.
    pub state: State,
    /// Its status, where it has one.
    pub status: Option<TaskStatus>,
    /// How much is done, where it is told; tasks only.
    pub percent: Option<u8>,
    /// When it was done.
    pub completed_at: Option<DateTime<Utc>>,
}

/// One of the four that tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Teller {
    /// [`Progress::state`].
    State,
    /// [`Progress::status`].
    Status,
    /// [`Progress::percent`].
    Percent,
    /// [`Progress::completed_at`].
    CompletedAt,
}

impl Progress {
    /// Whether this one tells that the task is done; `None` where it tells nothing.
    fn told(&self, by: Teller, now: DateTime<Utc>) -> Option<bool> {
        match by {
            Teller::State => Some(self.state == State::Completed),
            Teller::Status => self.status.map(|status| status == TaskStatus::Completed),
            Teller::Percent => self.percent.map(|percent| percent == 100),
            Teller::CompletedAt => self.completed_at.map(|at| at <= now),
        }
    }
}

/// Two of those written in one request that cannot both be so: one says that the task is done and the other that it is
/// not, or that it has not been started and that a part of it is done. Taking away what says that it is done says that it
/// is not.
pub fn contradiction(
    before: &Progress,
    after: &Progress,
    written: &[Teller],
    now: DateTime<Utc>,
) -> Option<(Teller, Teller)> {
    let says = |by: Teller, done: bool| match after.told(by, now) {
        Some(told) => told == done,
        None => !done && before.told(by, now) == Some(true),
    };
    let one = |done: bool| written.iter().copied().find(|by| says(*by, done));
    if let (Some(done), Some(open)) = (one(true), one(false)) {
        return Some((done, open));
    }
    let begun = after.status == Some(TaskStatus::NotStarted) && after.percent.is_some_and(|percent| percent > 0);
    let both = [Teller::Status, Teller::Percent].iter().all(|by| written.contains(by));
    (begun && both).then_some((Teller::Status, Teller::Percent))
}

/// What a task is at after a write. `after` is what was written over `before`, without a [`contradiction`]. What was not
/// written gives way to what was: to the state, else to the status, else to the rest.
///
/// A task whose completion lies in the future is not completed before then. One that is opened again loses what said
/// that it was done.
pub fn settle(before: &Progress, after: Progress, now: DateTime<Utc>) -> Progress {
    if after.state == State::Canceled {
        return after;
    }
    let done = if after.state != before.state {
        after.state == State::Completed
    } else if after.status != before.status {
        after.status == Some(TaskStatus::Completed)
    } else if after.completed_at != before.completed_at {
        after.completed_at.is_some_and(|at| at <= now)
    } else if after.percent != before.percent {
        after.percent == Some(100)
    } else {
        after.state == State::Completed
    };
    if done { completed(after, now) } else { reopened(after, now) }
}

fn completed(task: Progress, now: DateTime<Utc>) -> Progress {
    Progress {
        state: State::Completed,
        status: Some(TaskStatus::Completed),
        percent: Some(100),
        completed_at: Some(task.completed_at.map_or(now, |at| at.min(now))),
    }
}

fn reopened(task: Progress, now: DateTime<Utc>) -> Progress {
    Progress {
        state: State::Open,
        status: task.status.map(|status| match status {
            TaskStatus::Completed => TaskStatus::NotStarted,
            other => other,
        }),
        percent: task.percent.filter(|percent| *percent < 100),
        completed_at: task.completed_at.filter(|at| *at > now),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    /// K7: what one request says is taken as a whole or not at all; what is said once has nothing against it.
    #[test]
    fn k7_one_request_says_one_thing() {
        use State::{Canceled, Completed, Open};
        use Teller::{CompletedAt, Percent, State as S, Status};
        let now = at(100);
        let task = |state, status, percent, completed: Option<i64>| Progress {
            state,
            status,
            percent,
            completed_at: completed.map(at),
        };
        let (not_started, done) = (Some(TaskStatus::NotStarted), Some(TaskStatus::Completed));
        let open = task(Open, Some(TaskStatus::InProgress), Some(40), None);
        let closed = task(Completed, done, Some(100), Some(90));
        let all: &[Teller] = &[S, Status, Percent, CompletedAt];
        type Case<'a> = (Progress, Progress, &'a [Teller], Option<(Teller, Teller)>);
        let cases: &[Case<'_>] = &[
            (open, task(Completed, done, Some(100), Some(80)), all, None),
            (open, task(Open, done, Some(40), None), &[Status], None),
            (open, task(Open, done, Some(40), None), &[Status, Percent], Some((Status, Percent))),
            (open, task(Completed, open.status, Some(100), None), &[S, Status], Some((S, Status))),
            (open, task(Open, open.status, Some(100), None), &[S, Percent], Some((Percent, S))),
            (open, task(Open, open.status, Some(40), Some(80)), &[Status, CompletedAt], Some((CompletedAt, Status))),
            (open, task(Open, open.status, Some(40), Some(120)), &[Status, CompletedAt], None),
            (open, task(Completed, open.status, Some(40), Some(120)), &[S, CompletedAt], Some((S, CompletedAt))),
            (open, task(Canceled, done, Some(40), None), &[S, Status], Some((Status, S))),
            (open, task(Completed, open.status, Some(40), None), &[S, CompletedAt], None),
            (closed, task(Completed, done, Some(100), None), &[Percent, CompletedAt], Some((Percent, CompletedAt))),
            (closed, task(Open, None, None, None), all, None),
            (open, task(Open, not_started, Some(10), None), &[Status, Percent], Some((Status, Percent))),
            (open, task(Open, not_started, Some(0), None), &[Status, Percent], None),
            (open, task(Open, not_started, Some(40), None), &[Status], None),
        ];
        for (before, after, written, expected) in cases {
            assert_eq!(contradiction(before, after, written, now), *expected, "{after:?} {written:?}");
        }
    }

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::hours(hours)
    }

    /// K7: state, status, percentage and moment of completion tell the same.
    #[test]
    fn k7_whatever_is_written_the_others_follow() {
        use State::{Canceled, Completed, Open};
        let now = at(100);
        let task = |state, status, percent, completed: Option<i64>| Progress {
            state,
            status,
            percent,
            completed_at: completed.map(at),
        };
        let (started, done) = (Some(TaskStatus::InProgress), Some(TaskStatus::Completed));
        let open = task(Open, started, Some(40), None);
        let closed = task(Completed, done, Some(100), Some(90));
        let cases = [
            ("nothing", open, open, open),
            ("state", open, Progress { state: Completed, ..open }, task(Completed, done, Some(100), Some(100))),
            ("status", open, Progress { status: done, ..open }, task(Completed, done, Some(100), Some(100))),
            ("percentage", open, Progress { percent: Some(100), ..open }, task(Completed, done, Some(100), Some(100))),
            (
                "moment",
                open,
                Progress { completed_at: Some(at(80)), ..open },
                task(Completed, done, Some(100), Some(80)),
            ),
            ("later", open, Progress { completed_at: Some(at(120)), ..open }, task(Open, started, Some(40), Some(120))),
            (
                "state and a later moment",
                open,
                task(Completed, started, None, Some(120)),
                task(Completed, done, Some(100), Some(100)),
            ),
            (
                "opened again",
                closed,
                Progress { state: Open, ..closed },
                task(Open, Some(TaskStatus::NotStarted), None, None),
            ),
            ("status back", closed, Progress { status: started, ..closed }, task(Open, started, None, None)),
            (
                "percentage back",
                closed,
                Progress { percent: Some(50), ..closed },
                task(Open, Some(TaskStatus::NotStarted), Some(50), None),
            ),
            (
                "moment cleared",
                closed,
                Progress { completed_at: None, ..closed },
                task(Open, Some(TaskStatus::NotStarted), None, None),
            ),
            ("called off", open, Progress { state: Canceled, ..open }, Progress { state: Canceled, ..open }),
            (
                "state against status",
                closed,
                Progress { state: Open, status: done, ..closed },
                task(Open, Some(TaskStatus::NotStarted), None, None),
            ),
        ];
        for (what, before, after, expected) in cases {
            let settled = settle(&before, after, now);
            assert_eq!(settled, expected, "{what}");
            assert_eq!(settle(&settled, settled, now), settled, "{what}: settled stays so");
        }
    }
}
