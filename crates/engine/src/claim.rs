//! Whose a mailbox is, of several organisations that want it (D8, D9): what follows from what the mailbox says.

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_model::id::OrganisationId;

/// An organisation at work says so again after this long.
pub const SAID_AGAIN_AFTER: TimeDelta = TimeDelta::hours(1);

/// What an organisation does about a mailbox that it wants to write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is its own, and says when it was there last.
    Own,
    /// It is its own, and it says that it is there.
    OwnAndSaysSo,
    /// It claims it.
    Claim,
    /// It keeps away: the mailbox is this one's.
    KeepAway(OrganisationId),
}

/// Decides for the organisation `us`. `there`: whose the mailbox says it is, and when that one was last there.
/// `take_over`: a person has said that the mailbox is ours, whosever it was.
pub fn judge(
    there: Option<(OrganisationId, Option<DateTime<Utc>>)>,
    us: OrganisationId,
    take_over: bool,
    now: DateTime<Utc>,
) -> Verdict {
    match there {
        None => Verdict::Claim,
        Some((whose, at)) if whose == us => match at {
            Some(at) if at <= now && now - at < SAID_AGAIN_AFTER => Verdict::Own,
            _ => Verdict::OwnAndSaysSo,
        },
        Some(_) if take_over => Verdict::Claim,
        Some((whose, _)) => Verdict::KeepAway(whose),
    }
}

#[cfg(test)]
mod tests {
    use lockstep_model::id::OrganisationId;
    use uuid::Uuid;

    use super::*;

    /// D8, D9: nobody's is claimed, one's own is kept, another's is left alone unless a person says otherwise.
    #[test]
    fn d8_d9_whose_a_mailbox_is() {
        let (us, other) = (OrganisationId(Uuid::from_u128(1)), OrganisationId(Uuid::from_u128(2)));
        let now: DateTime<Utc> = "2027-01-02T12:00:00Z".parse().unwrap();
        let ago = |minutes| Some(now - TimeDelta::minutes(minutes));
        for (there, without, with) in [
            (None, Verdict::Claim, Verdict::Claim),
            (Some((us, ago(0))), Verdict::Own, Verdict::Own),
            (Some((us, ago(59))), Verdict::Own, Verdict::Own),
            (Some((us, ago(60))), Verdict::OwnAndSaysSo, Verdict::OwnAndSaysSo),
            // A clock that was wrong once is not believed for ever.
            (Some((us, ago(-1))), Verdict::OwnAndSaysSo, Verdict::OwnAndSaysSo),
            (Some((us, None)), Verdict::OwnAndSaysSo, Verdict::OwnAndSaysSo),
            // Also one that was not there for long: it may only have nothing to write.
            (Some((other, ago(100_000))), Verdict::KeepAway(other), Verdict::Claim),
            (Some((other, None)), Verdict::KeepAway(other), Verdict::Claim),
        ] {
            assert_eq!(judge(there, us, false, now), without, "{there:?}");
            assert_eq!(judge(there, us, true, now), with, "{there:?} with takeover");
        }
    }
}
