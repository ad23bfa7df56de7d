//! One way to open a socket, one way to protect it, one way to read lines from it.

pub mod address;
pub mod line;
pub mod stream;
pub mod tls;
