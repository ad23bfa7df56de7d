//! Tests of lockstep-mime against the corpus, generated input and hostile input.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod bounds;
mod compose;
mod corpus;
mod hostile;
mod recorder;
mod splitting;
