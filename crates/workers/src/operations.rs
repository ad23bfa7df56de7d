//! Asynchronous operations: one file each, and the one list of them.

mod handler;
mod test_mailbox;

pub use handler::Handler;
