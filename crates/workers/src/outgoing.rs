//! Sending: one attempt at one email, with the point of no return committed before it is crossed.

mod authority;
mod compose;
mod gate;
mod handler;
mod health;
mod send;
mod told;

pub use handler::Handler;
