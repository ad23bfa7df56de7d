//! Who owns the record of a received email.

use lockstep_model::id::UserId;

/// The lists of a message, each with the users its addresses stand for: a user, or the one who owns an addressed
/// queue. Users who may not change emails, disabled ones above all, are left out by the caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// To.
    pub to: Vec<UserId>,
    /// Cc.
    pub cc: Vec<UserId>,
    /// Bcc.
    pub bcc: Vec<UserId>,
}

/// The owner of a received email, in four steps:
///
/// 1. Of To, Cc and Bcc, the first list with anybody who may own it.
/// 2. In it, whoever owns the email that is answered.
/// 3. Else whoever owns the contact, account or lead the sender is.
/// 4. Else the first.
///
/// `None` when no list has anybody: a hidden copy, a distribution list.
pub fn owner(lists: &Lists, of_answered: Option<UserId>, of_sender: Option<UserId>) -> Option<UserId> {
    let list = [&lists.to, &lists.cc, &lists.bcc].into_iter().find(|list| !list.is_empty())?;
    let present = |wanted: Option<UserId>| wanted.filter(|user| list.contains(user));
    present(of_answered).or_else(|| present(of_sender)).or_else(|| list.first().copied())
}
