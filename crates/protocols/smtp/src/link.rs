//! The conversation's two directions: bytes out, replies in, each within its time.

use std::{future::poll_fn, io, pin::Pin, task::Poll, time::Duration};

use lockstep_connector::{Deadline, TlsTrust, net::stream::Stream};
use lockstep_model::fault::{Fault, FaultScope};
use tokio::io::{AsyncBufRead, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::{
    codec::reply::{self, Reply},
    fault,
};

/// A connection on which the last command has been answered. Whoever leaves it in another state drops it.
pub(crate) struct Link {
    io: BufReader<Stream>,
    patience: Duration,
    scope: FaultScope,
}

impl Link {
    /// A conversation over this connection. One answer or one write takes at most `patience`. Until
    /// [`Link::greeted`], faults concern the server as a whole.
    pub(crate) fn new(stream: Stream, patience: Duration) -> Self {
        Self { io: BufReader::with_capacity(4 * 1024, stream), patience, scope: FaultScope::Profile }
    }

    /// From here on, faults concern the account.
    pub(crate) fn greeted(&mut self) {
        self.scope = FaultScope::Mailbox;
    }

    /// How long one answer, or one write, may take.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// The same conversation under TLS. What the server sent before is forgotten: it was not protected
    /// (RFC 3207 §4.2).
    pub(crate) async fn protect(self, trust: &TlsTrust, host: &str, deadline: &Deadline) -> Result<Self, Fault> {
        let plain = self.io.into_inner();
        let stream =
            deadline.run(self.patience, plain.protect(trust, host)).await.map_err(fault::before_greeting)??;
        Ok(Self::new(stream, self.patience))
    }

    /// The next reply, waited for as long as one answer may take.
    pub(crate) async fn reply(&mut self, deadline: &Deadline) -> Result<Reply, Fault> {
        self.reply_within(self.patience, deadline).await
    }

    /// The next reply, waited for at most this long.
    pub(crate) async fn reply_within(&mut self, at_most: Duration, deadline: &Deadline) -> Result<Reply, Fault> {
        let answer = deadline.run(at_most, reply::read(&mut self.io)).await;
        self.judged(answer)
    }

    /// Writes these bytes and sends them off.
    pub(crate) async fn write(&mut self, bytes: &[u8], deadline: &Deadline) -> Result<(), Fault> {
        let io = &mut self.io;
        let written = async {
            io.write_all(bytes).await?;
            io.flush().await
        };
        let done = deadline.run(self.patience, written).await;
        self.judged(done)
    }

    /// Sends a command, CR LF included, and waits for its reply.
    pub(crate) async fn command(&mut self, line: &[u8], deadline: &Deadline) -> Result<Reply, Fault> {
        self.write(line, deadline).await?;
        self.reply(deadline).await
    }

    /// What the server has said without being asked, where it has said something or gone. Does not wait for a first
    /// byte.
    pub(crate) async fn unasked(&mut self, deadline: &Deadline) -> Option<Result<Reply, Fault>> {
        let io = &mut self.io;
        let there =
            tokio::task::unconstrained(poll_fn(|cx| Poll::Ready(Pin::new(&mut *io).poll_fill_buf(cx).is_ready())))
                .await;
        if there { Some(self.reply(deadline).await) } else { None }
    }

    /// Reads until the server has closed, after which nothing is left to say.
    pub(crate) async fn until_closed(mut self, at_most: Duration, deadline: &Deadline) -> Result<(), Fault> {
        let io = &mut self.io;
        let closed = async {
            io.shutdown().await?;
            let mut rest = [0; 512];
            while io.read(&mut rest).await? > 0 {}
            Ok(())
        };
        let done = deadline.run(at_most, closed).await;
        self.judged(done)
    }

    fn judged<T>(&self, done: Result<io::Result<T>, Fault>) -> Result<T, Fault> {
        match done {
            Ok(result) => result.map_err(|error| fault::of_io(self.scope, &error)),
            Err(late) if self.scope == FaultScope::Profile => Err(fault::before_greeting(late)),
            Err(late) => Err(late),
        }
    }
}
