//! Bytes to types and back. Knows RFC 1939, 2449, 2595, 3206 and 5034; knows no socket, waits for nothing.

pub mod capa;
pub mod command;
pub mod dots;
pub mod header;
pub mod listing;
pub mod response;
