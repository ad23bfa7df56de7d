//! The house's own rules, checked.
#![allow(clippy::unwrap_used, clippy::panic)]

mod layering;
