//! A simulated Exchange, for demonstrations and tests: Exchange Web Services over one mail universe that lives in memory.
//! It knows folders, items, sync states, meetings and faults to switch on; it knows no other crate of this workspace, and
//! shares no codec with them, so that a mistake made on both sides cannot hide.

pub mod auth;
pub mod autodiscover;
pub mod clock;
pub mod ews;
pub mod http;
pub mod icalendar;
pub mod mime;
pub mod moods;
pub mod server;
pub mod tls;
pub mod world;
