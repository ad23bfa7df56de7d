//! XML as Exchange Web Services use it: tokens out of a stream, small trees, and writing. No DTD, no entity of
//! anybody's making, nothing deep, nothing without a bound.

mod element;
mod token;
mod writer;

pub use element::{Builder, Element};
pub use token::{MAX_DEPTH, MAX_MARKUP, Malformed, Token, Tokenizer};
pub use writer::Writer;
