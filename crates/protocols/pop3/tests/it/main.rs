//! The POP3 connector against scripted servers, a fake maildrop and a real Dovecot.
#![allow(clippy::unwrap_used, clippy::panic)]

mod codec;
mod contract;
mod deleting;
mod dovecot;
mod known;
mod large;
mod listing;
mod login;
mod maildrop;
mod reading;
