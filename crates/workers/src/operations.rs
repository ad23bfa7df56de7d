//! Asynchronous operations: one file each, and the one list of them.

mod deliver_webhooks;
mod erase_person;
mod handler;
mod listing;
mod test_mailbox;
mod test_profile;
mod test_webhook;

pub use handler::Handler;
pub(crate) use test_mailbox::is_test;
