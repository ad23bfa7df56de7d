//! How far a task is, told four times over: its state, its status, its percentage and the moment it was done. Whichever
//! of them is written, the others follow.

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

/// What a task is at after a write. `after` is what was written over `before`; with several members written that
/// contradict each other the state leads, then the status, then the rest.
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
