//! What things are: plain data shared by every crate of Lockstep.
//!
//! Knows ids, instants, addresses, mailboxes, profiles, emails and faults. Does not know sockets, databases, async
//! runtimes or serialisation formats (serde is used on ids, small enums and secret addresses only, because they cross the
//! queue, the API and the settings).

pub mod address;
pub mod catalogue;
pub mod clock;
pub mod crashpoint;
pub mod email;
pub mod fault;
pub mod filter;
pub mod id;
pub mod mailbox;
pub mod profile;
pub mod protocol;
pub mod record;
pub mod remote;
pub mod secret;
pub mod settings;
pub mod text;
