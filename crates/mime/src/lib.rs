//! Messages as they arrive and as they leave: a streaming MIME splitter with bounded memory, a
//! view of the header fields, charset decoding, and a deterministic writer. It knows RFC 5322,
//! RFC 2045–2049, RFC 2231, RFC 3462/3464 and RFC 3798; it knows no socket, no database, no
//! clock and no record of the CRM.
//!
//! Reading: [`splitter::Splitter`] cuts any byte stream into parts and hands them to a
//! [`part::PartSink`]; [`message::Collector`] is the sink that makes a
//! [`message::ParsedMessage`] and streams attachments to the caller. Nothing here fails: odd
//! input gives [`anomaly::Anomaly`] values, and where no sensible view exists
//! [`anomaly::Unparsable`].
//!
//! Writing: [`compose::plan`] lays a message out as segments; attachments are encoded by
//! [`compose::Base64Lines`] while they stream.

pub mod address;
pub mod anomaly;
pub mod compose;
pub mod encoded_word;
pub mod field;
pub mod header;
pub mod limits;
pub mod message;
pub mod message_id;
pub mod parameter;
pub mod part;
pub mod report;
pub mod splitter;
pub mod text;
pub mod transfer;
mod utf7;

pub use anomaly::{Anomaly, Unparsable};
pub use limits::Limits;
