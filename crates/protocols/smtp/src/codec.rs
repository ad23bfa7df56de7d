//! What goes over the wire: commands, replies, the EHLO answer and the escaping of a message's lines. No sockets here.

pub mod command;
pub mod dot;
pub mod ehlo;
pub mod reply;
