//! Mailboxes on the real mail servers: making accounts, putting mail in, looking at what is there.

mod account;
mod deliver;
mod inspect;

pub use account::MailAccount;
pub use deliver::{DeliveryError, SmtpReply, deliver_lmtp, deliver_maildir, deliver_smtp};
pub use inspect::{maildir_messages, pop3_count};
