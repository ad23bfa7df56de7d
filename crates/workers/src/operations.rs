//! Asynchronous operations: one file each, and the one list of them.

mod deliver_webhooks;
mod handler;
mod test_mailbox;
mod test_webhook;

pub use handler::Handler;
