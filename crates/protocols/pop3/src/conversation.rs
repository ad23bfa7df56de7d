//! What can be asked of a server that has let us in: listings, headers, messages, deletions, the end.

use std::time::Duration;

use lockstep_connector::{Deadline, net::stream::Stream};
use lockstep_model::{
    fault::{Fault, FaultClass},
    remote::RemoteKey,
};
use tokio::io::BufReader;

use crate::{
    body::Body,
    codec::{
        capa::Capabilities,
        command::Command,
        listing::{self, MAX_ENTRIES, MAX_LINE},
        response::Reply,
    },
    fault,
    wire::Wire,
};

/// Most commands under way at a time where the server takes several (RFC 2449 §6.6). All of them together are far
/// smaller than any socket's buffer, so neither side can wait for the other.
const WINDOW: usize = 64;

/// Most bytes of unique ids in one listing.
const MAX_KEYS: usize = 128 * 1024 * 1024;

/// Longest wait for the server to close after `QUIT`.
const CLOSING: Duration = Duration::from_secs(2);

/// A logged-in connection.
pub(crate) struct Conversation {
    wire: Wire,
    capabilities: Capabilities,
    /// The server does not know `TOP`.
    no_top: bool,
}

impl Conversation {
    pub(crate) fn new(wire: Wire, capabilities: Capabilities) -> Self {
        Self { wire, capabilities, no_top: false }
    }

    /// Number and size of every message.
    pub(crate) async fn sizes(&mut self, deadline: &Deadline) -> Result<Vec<(u64, u64)>, Fault> {
        let reply = self.wire.ask(Command::List, deadline).await?;
        if !reply.is_ok() {
            return Err(self.listing_refused(&reply));
        }
        let mut found = Vec::new();
        let mut bound = Bound::default();
        self.wire
            .lines(MAX_LINE, deadline, |line| {
                bound.count(line)?;
                found.extend(listing::size(line));
                Ok(())
            })
            .await?;
        Ok(found)
    }

    /// Number and unique id of every message. `None` when the server has no such ids. A server that announces them
    /// and refuses to list them has a bad moment: its messages must not change their identity for that.
    pub(crate) async fn unique_ids(
        &mut self,
        deadline: &Deadline,
    ) -> Result<Option<Vec<(u64, Option<RemoteKey>)>>, Fault> {
        let reply = self.wire.ask(Command::Uidl, deadline).await?;
        if !reply.is_ok() {
            let known = self.by_code(&reply);
            return if known.is_none() && !self.capabilities.uidl {
                Ok(None)
            } else {
                Err(self.listing_refused(&reply))
            };
        }
        let mut found = Vec::new();
        let mut bound = Bound::default();
        self.wire
            .lines(MAX_LINE, deadline, |line| {
                bound.count(line)?;
                found.extend(listing::unique_id(line));
                Ok(())
            })
            .await?;
        Ok(Some(found))
    }

    /// Hands the header of each message to `take`, with its place in `numbers`, or why the server will not show it.
    /// Not always in order.
    pub(crate) async fn headers(
        &mut self,
        numbers: &[u64],
        deadline: &Deadline,
        mut take: impl FnMut(usize, Result<Vec<u8>, Fault>) + Send,
    ) -> Result<(), Fault> {
        let size = if self.capabilities.pipelining { WINDOW } else { 1 };
        for (window, numbers) in numbers.chunks(size).enumerate() {
            let first = window * size;
            let mut refused = Vec::new();
            if self.no_top {
                refused.extend(0..numbers.len());
            } else {
                let mut fatal = None;
                self.say_all(numbers, Command::Top, deadline).await?;
                for at in 0..numbers.len() {
                    let reply = self.wire.reply(deadline).await?;
                    if reply.is_ok() {
                        take(first + at, Ok(self.wire.header(deadline).await?));
                    } else {
                        fatal = fatal.or_else(|| self.by_code(&reply));
                        refused.push(at);
                    }
                }
                if let Some(fault) = fatal {
                    return Err(fault);
                }
                // A server that never announced it and does not do it now will not do it for the others.
                self.no_top = !self.capabilities.top && refused.len() == numbers.len();
            }
            for at in refused {
                take(first + at, self.header_of_whole(numbers[at], deadline).await?);
            }
        }
        Ok(())
    }

    /// The header by way of the whole message, for servers without `TOP`.
    async fn header_of_whole(&mut self, number: u64, deadline: &Deadline) -> Result<Result<Vec<u8>, Fault>, Fault> {
        let reply = self.wire.ask(Command::Retr(number), deadline).await?;
        if reply.is_ok() {
            return self.wire.header(deadline).await.map(Ok);
        }
        self.by_code(&reply).map_or_else(|| Ok(Err(unavailable(&reply))), Err)
    }

    /// The whole message, streamed.
    pub(crate) async fn message(
        &mut self,
        number: u64,
        deadline: &Deadline,
    ) -> Result<Body<'_, BufReader<Stream>>, Fault> {
        let reply = self.wire.ask(Command::Retr(number), deadline).await?;
        if reply.is_ok() {
            return Ok(self.wire.body(deadline));
        }
        // Whatever its code says: it was this message that was asked for, and the others may be had.
        Err(unavailable(&reply))
    }

    /// Marks messages deleted. Answers with those that the server refused, and what it said to the last of them.
    pub(crate) async fn delete(
        &mut self,
        numbers: &[u64],
        deadline: &Deadline,
    ) -> Result<(Vec<u64>, Option<String>), Fault> {
        let size = if self.capabilities.pipelining { WINDOW } else { 1 };
        let (mut refused, mut words) = (Vec::new(), None);
        for window in numbers.chunks(size) {
            let mut fatal = None;
            self.say_all(window, Command::Dele, deadline).await?;
            for number in window {
                let reply = self.wire.reply(deadline).await?;
                if !reply.is_ok() {
                    fatal = fatal.or_else(|| self.by_code(&reply));
                    refused.push(*number);
                    words = Some(reply.words());
                }
            }
            if let Some(fault) = fatal {
                return Err(fault);
            }
        }
        Ok((refused, words))
    }

    /// Ends the session. Success means that the server has said so, and with it that its deletions took effect.
    pub(crate) async fn quit(mut self, deadline: &Deadline) -> Result<(), Fault> {
        let reply = self.wire.ask(Command::Quit, deadline).await?;
        if !reply.is_ok() {
            let message = format!("the server did not carry out all deletions: {}", reply.words());
            let plain = || fault::mailbox(FaultClass::Transient, "QuitRefused", message);
            return Err(self.by_code(&reply).unwrap_or_else(plain));
        }
        self.wire.close(CLOSING, deadline).await;
        Ok(())
    }

    async fn say_all(
        &mut self,
        numbers: &[u64],
        command: impl Fn(u64) -> Command<'static>,
        deadline: &Deadline,
    ) -> Result<(), Fault> {
        let mut lines = Vec::with_capacity(numbers.len() * 16);
        for number in numbers {
            command(*number).encode(&mut lines);
        }
        self.wire.say(&lines, numbers.len(), deadline).await
    }

    fn by_code(&self, reply: &Reply) -> Option<Fault> {
        fault::by_code(reply, self.capabilities.login_delay, &reply.words())
    }

    fn listing_refused(&self, reply: &Reply) -> Fault {
        self.by_code(reply).unwrap_or_else(|| {
            let message = format!("the server will not list the mailbox: {}", reply.words());
            fault::mailbox(FaultClass::Transient, "ListingRefused", message)
        })
    }
}

/// The server lists a message and refuses to hand it over. That it is gone, only a listing tells.
fn unavailable(reply: &Reply) -> Fault {
    let message = format!("the server refused to hand over a message that it lists: {}", reply.words());
    fault::item(FaultClass::Transient, "ItemUnavailable", message)
}

/// How much of a listing has been seen.
#[derive(Default)]
struct Bound {
    lines: usize,
    bytes: usize,
}

impl Bound {
    fn count(&mut self, line: &[u8]) -> Result<(), Fault> {
        self.lines += 1;
        self.bytes += line.len();
        if line.get(..4).is_some_and(|head| head.eq_ignore_ascii_case(b"-ERR")) {
            let message = "the server broke its listing off with an error";
            return Err(fault::mailbox(FaultClass::Transient, "ListingInterrupted", message));
        }
        if self.lines > MAX_ENTRIES || self.bytes > MAX_KEYS {
            let message = format!("the mailbox lists more than {MAX_ENTRIES} messages or {MAX_KEYS} bytes");
            return Err(fault::mailbox(FaultClass::Refused, "ListingTooLarge", message));
        }
        Ok(())
    }
}
