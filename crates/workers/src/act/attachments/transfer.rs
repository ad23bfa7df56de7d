//! One content, from one side to the other: a piece at a time.

use std::io;

use futures::{StreamExt, TryStreamExt};
use lockstep_connector::{BodyReader, items::Items};
use lockstep_model::fault::{Fault, FaultScope};
use lockstep_store::{
    Store,
    contents::{self, Content, ContentDigest, Writer},
};
use tokio::io::AsyncReadExt;
use tokio_util::io::StreamReader;

use crate::{
    act::Act,
    mailbox::{Stopped, broken},
};

/// How much is read at a time.
const PIECE: usize = 64 * 1024;

/// What came of reading a content from the server.
pub(super) enum Fetched {
    /// It is stored.
    Here(Content),
    /// It is longer than is kept; the rest was not read.
    TooLarge,
    /// The server does not give this one.
    Not(Fault),
}

/// Reads a content from the server into storage, no further than `limit` bytes.
pub(super) async fn fetch(act: &Act<'_>, items: &mut dyn Items, id: &str, limit: u64) -> Result<Fetched, Stopped> {
    let item = |fault: Fault| match fault.scope {
        FaultScope::Item => Ok(Fetched::Not(fault)),
        _ => Err(Stopped::Remote(fault)),
    };
    let mut reader = match items.attachment(id, act.deadline).await {
        Ok(reader) => reader,
        Err(fault) => return item(fault),
    };
    let (mut writer, mut piece) = (Writer::new(&act.context.store), vec![0; PIECE]);
    loop {
        let read = match reader.read(&mut piece).await {
            Ok(0) => return Ok(Fetched::Here(writer.finish().await?)),
            Ok(read) => read,
            Err(error) => return item(broken(&error)),
        };
        if writer.size_bytes() + read as u64 > limit {
            return Ok(Fetched::TooLarge);
        }
        writer.write(&piece[..read]).await?;
    }
}

/// A content from storage, as it is read.
pub(super) fn stored(store: &Store, digest: ContentDigest) -> BodyReader<'static> {
    let chunks = contents::read(store, digest).map_err(|error| io::Error::other(error.to_string()));
    Box::pin(StreamReader::new(chunks.boxed()))
}
