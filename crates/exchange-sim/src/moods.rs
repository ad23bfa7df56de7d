//! Faults to switch on. Each says what goes wrong, for whom, in which operation, and how often.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mood", rename_all = "snake_case", deny_unknown_fields)]
pub enum Mood {
    /// `ErrorServerBusy`; without `back_off_ms` the answer does not say for how long.
    Busy {
        /// `BackOffMilliseconds`.
        back_off_ms: Option<u64>,
    },
    /// A budget: more requests than this within so many seconds are answered `ErrorServerBusy`, saying when the next is free.
    Budget {
        /// How many requests.
        requests: usize,
        /// Within how many seconds.
        seconds: u64,
    },
    /// HTTP 503, with `Retry-After` where `retry_after` is given.
    Unavailable {
        /// Seconds.
        retry_after: Option<u64>,
    },
    /// HTTP 403, as a tenant that does not allow the protocol answers.
    Blocked,
    /// No answer for so many seconds; then the usual one.
    Hang {
        /// Seconds.
        seconds: u64,
    },
    /// The request is carried out, and the connection ends after so many octets of the answer.
    Cut {
        /// Octets of the body that still arrive.
        after: usize,
    },
    /// An update finds that somebody else was faster: `ErrorIrresolvableConflict`.
    Conflict,
    /// One item of each batch is gone though it was listed: `ErrorItemNotFound` for the first id of the request.
    Gone,
    /// `ErrorInternalServerError`.
    Internal,
    /// Autodiscover sends everybody round in a circle.
    RedirectLoop,
}

/// A mood, and whom it strikes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// What goes wrong.
    #[serde(flatten)]
    pub mood: Mood,
    /// Only in this operation, such as `GetItem`.
    #[serde(default)]
    pub operation: Option<String>,
    /// Only for this mailbox's address.
    #[serde(default)]
    pub mailbox: Option<String>,
    /// How often; without it until it is switched off.
    #[serde(default)]
    pub times: Option<u32>,
}

/// The moods the server is in.
#[derive(Debug, Default)]
pub struct Moods {
    rules: Vec<Rule>,
    recent: BTreeMap<String, VecDeque<Instant>>,
}

/// How many there may be at once.
pub const LIMIT: usize = 100;

impl Moods {
    /// Those that are on.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Puts these in place of those before.
    pub fn set(&mut self, rules: Vec<Rule>) {
        self.rules = rules;
        self.rules.truncate(LIMIT);
        self.recent.clear();
    }

    /// What strikes a request, if anything does.
    pub fn strike(&mut self, operation: &str, mailbox: &str, now: Instant) -> Option<Mood> {
        let hits = |rule: &Rule| {
            rule.operation.as_deref().is_none_or(|only| only == operation)
                && rule.mailbox.as_deref().is_none_or(|only| only.eq_ignore_ascii_case(mailbox))
        };
        for place in 0..self.rules.len() {
            let rule = self.rules[place].clone();
            if !hits(&rule) {
                continue;
            }
            let struck = match rule.mood {
                Mood::Budget { requests, seconds } => self.over(mailbox, requests, seconds, now),
                mood => Some(mood),
            };
            if struck.is_some() {
                self.used(place);
                return struck;
            }
        }
        None
    }

    fn used(&mut self, place: usize) {
        if let Some(times) = &mut self.rules[place].times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.rules.remove(place);
            }
        }
    }

    fn over(&mut self, mailbox: &str, requests: usize, seconds: u64, now: Instant) -> Option<Mood> {
        let window = Duration::from_secs(seconds);
        let recent = self.recent.entry(mailbox.to_ascii_lowercase()).or_default();
        while recent.front().is_some_and(|at| now.duration_since(*at) >= window) {
            recent.pop_front();
        }
        match recent.front() {
            Some(first) if recent.len() >= requests => {
                let wait = window.saturating_sub(now.duration_since(*first));
                Some(Mood::Busy { back_off_ms: u64::try_from(wait.as_millis()).ok() })
            }
            _ => {
                recent.push_back(now);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn rules(text: &str) -> Moods {
        let mut moods = Moods::default();
        moods.set(serde_json::from_str(text).unwrap());
        moods
    }

    #[test]
    fn a_mood_strikes_whom_it_is_meant_for_and_as_often_as_it_says() {
        let text = r#"[{"mood":"busy","back_off_ms":5,"operation":"GetItem","mailbox":"A@x","times":2}]"#;
        let (mut moods, now) = (rules(text), Instant::now());
        let busy = Some(Mood::Busy { back_off_ms: Some(5) });
        assert_eq!(moods.strike("FindItem", "a@x", now), None);
        assert_eq!(moods.strike("GetItem", "b@x", now), None);
        assert_eq!(moods.strike("GetItem", "a@x", now), busy);
        assert_eq!(moods.strike("GetItem", "a@x", now), busy);
        assert_eq!(moods.strike("GetItem", "a@x", now), None);
    }

    #[test]
    fn a_budget_is_used_up_and_comes_back() {
        let (mut moods, now) = (rules(r#"[{"mood":"budget","requests":2,"seconds":10}]"#), Instant::now());
        assert_eq!((moods.strike("A", "a", now), moods.strike("A", "a", now)), (None, None));
        let later = now + Duration::from_secs(4);
        assert_eq!(moods.strike("A", "a", later), Some(Mood::Busy { back_off_ms: Some(6_000) }));
        assert_eq!(moods.strike("A", "b", later), None);
        assert_eq!(moods.strike("A", "a", now + Duration::from_secs(10)), None);
    }

    #[test]
    fn unknown_words_are_refused() {
        assert!(serde_json::from_str::<Vec<Rule>>(r#"[{"mood":"sulky"}]"#).is_err());
    }
}
