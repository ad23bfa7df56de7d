//! A brake for when one side is suddenly empty, or suddenly full: what looks like ten thousand deletions is more often
//! a broken server, a restored backup or the wrong account.

/// From how much on a person is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// So few items are always let through.
    pub always: u64,
    /// More than this share of what is known, in percent, is held back.
    pub percent: u8,
}

impl Limits {
    /// For deletions: ten at a time, or a fifth of what is known.
    pub const DELETES: Self = Self { always: 10, percent: 20 };
    /// For new items in a mailbox that has been read before: a thousand at a time, or twice what is known.
    pub const IMPORTS: Self = Self { always: 1_000, percent: 200 };
}

/// What becomes of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is carried out.
    Go,
    /// Nothing of its kind is carried out until a person has agreed.
    Hold,
}

/// Judges how many items would change in one go, of so many that are known.
pub fn judge(changing: u64, known: u64, limits: Limits) -> Verdict {
    let share = u128::from(known) * u128::from(limits.percent) / 100;
    if changing <= limits.always || u128::from(changing) <= share { Verdict::Go } else { Verdict::Hold }
}
