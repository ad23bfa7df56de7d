//! When a test that has failed is made again by itself: by what its alert promises, as long as a lane would be tried.

use std::time::Duration;

use lockstep_engine::retry::{self, Schedule};
use lockstep_model::{
    catalogue::{self, Level},
    fault::{Fault, FaultClass},
    mailbox::Lane,
    settings::Settings,
};

/// Pause after the first attempt; it doubles up to the pause that a lane makes after a transient error. Somebody waits
/// for the outcome.
const FIRST_PAUSE: Duration = Duration::from_secs(30);

/// So many messages at most are sent of which nobody knows what became of them.
const MOST_LOST: u32 = 3;

/// Whether a direction that fails so is tested again: a fault that may heal, whose alert is a warning.
pub(super) fn heals(fault: &Fault) -> bool {
    let may = !matches!(fault.class, FaultClass::Auth | FaultClass::Refused | FaultClass::Gone);
    may && catalogue::find(&fault.code).is_none_or(|entry| entry.level == Level::Warning)
}

/// Whether, after the point of no return, the server may have taken the message all the same. Any other fault is the
/// server's own answer that it has not.
pub(super) fn is_unclear(fault: &Fault) -> bool {
    matches!(fault.class, FaultClass::Unreachable | FaultClass::Unclear | FaultClass::Bug) || fault.local
}

/// Whether another message may be sent when so many were lost.
pub(super) fn may_send_again(lost: u32) -> bool {
    lost < MOST_LOST
}

/// The pause after so many failed attempts, as many as disable a lane; `None` after the last one. A server that asks to
/// be left alone is, for as long.
pub(super) fn pause(attempts: u32, faults: &[&Fault], settings: &Settings, jitter: f64) -> Option<Duration> {
    let cap = settings.backoffs(Lane::Incoming).on_transient_error;
    let schedule = Schedule { base: FIRST_PAUSE.min(cap), cap, max_attempts: settings.max_transient_failures() };
    let pause = retry::backoff(attempts, &schedule, jitter)?;
    let asked = faults.iter().filter(|fault| fault.class == FaultClass::Throttled || fault.retry_after.is_some());
    let asked = asked.map(|fault| retry::throttled_wait(fault, jitter)).max();
    Some(asked.map_or(pause, |asked| pause.max(asked)))
}

#[cfg(test)]
mod tests {
    use lockstep_model::fault::FaultScope;

    use super::*;

    fn fault(class: FaultClass, code: &str) -> Fault {
        Fault::new(FaultScope::Mailbox, class, code, "words")
    }

    /// C15: what the alert says is tried again by itself is, and what waits for a person is not.
    #[test]
    fn c15_a_warning_is_tried_again_and_an_error_is_not() {
        for (class, code, again) in [
            (FaultClass::Unreachable, "ConnectFailure", true),
            (FaultClass::Transient, "ServiceUnavailable", true),
            (FaultClass::Transient, "MailboxInUse", true),
            (FaultClass::Throttled, "LoginDelay", true),
            (FaultClass::Unclear, "TimedOut", true),
            (FaultClass::Transient, "SomethingNobodyHasHeardOf", true),
            (FaultClass::Auth, "Unauthorized", false),
            (FaultClass::Refused, "RecipientRefused", false),
            (FaultClass::Transient, "TestMessageNotFound", false),
            (FaultClass::Transient, "ServerPermanentFailure", false),
        ] {
            assert_eq!(heals(&fault(class, code)), again, "{code}");
        }
        for entry in catalogue::entries().filter(|entry| entry.remedy.contains("tried again by itself")) {
            let promised = entry.level == Level::Warning || entry.code.ends_with("ServerUnreachable");
            let item = entry.scopes == [FaultScope::Item];
            assert!(promised || item, "{}: its alert promises what is not done", entry.code);
        }
    }

    /// C15: pauses double from half a minute to what lanes wait, and end with the attempts a lane has.
    #[test]
    fn c15_pauses_grow_and_end() {
        let settings = Settings::default();
        let gone = fault(FaultClass::Unreachable, "ConnectFailure");
        let pauses: Vec<_> = (1..20).map_while(|n| pause(n, &[&gone], &settings, 0.0)).map(|p| p.as_secs()).collect();
        let cap = settings.backoffs(Lane::Incoming).on_transient_error.as_secs();
        assert_eq!(pauses.len() + 1, settings.max_transient_failures() as usize);
        assert_eq!(pauses[..3], [30, 60, 120]);
        assert!(pauses.iter().all(|pause| *pause <= cap) && pauses.contains(&cap), "{pauses:?}");
        let jittered = pause(1, &[&gone], &settings, 1.0).unwrap();
        assert!(jittered < FIRST_PAUSE && jittered >= FIRST_PAUSE.mul_f64(0.9), "{jittered:?}");
        let asks = fault(FaultClass::Throttled, "LoginDelay").after(Duration::from_secs(900));
        assert_eq!(pause(1, &[&gone, &asks], &settings, 0.5).unwrap().as_secs(), 900);
    }
}
