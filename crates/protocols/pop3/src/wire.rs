//! One socket and where its conversation stands: lines out, status lines and multi-line answers in.

use std::{io, time::Duration};

use lockstep_connector::{Deadline, net::stream::Stream};
use lockstep_model::fault::Fault;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    time::Instant,
};

use crate::{
    body::{Body, Step},
    codec::{
        command::Command,
        dots::Unstuffer,
        header::HeaderBlock,
        response::{MAX_REPLY, Reply},
    },
    fault,
};

/// What is kept of the server's bytes before somebody takes them.
const BUFFER: usize = 32 * 1024;

/// Most bytes of an abandoned message that are read to get back in step.
const MAX_DRAIN: usize = 256 * 1024;

/// A connection and its place in the conversation. Whoever stops in the middle of an answer, by an error or by being
/// dropped, leaves it out of step; it then refuses to say anything more.
pub(crate) struct Wire {
    reader: BufReader<Stream>,
    step: Step,
    timeout: Duration,
    /// Answers that are still to come. Only whoever waits for them may find this above zero.
    owed: usize,
    bare_lf: bool,
}

impl Wire {
    /// A conversation that begins with `owed` answers: one where the server greets, none after an upgrade.
    pub(crate) fn new(stream: Stream, timeout: Duration, owed: usize) -> Self {
        let step = Step { body: None, sound: true };
        Self { reader: BufReader::with_capacity(BUFFER, stream), step, timeout, owed, bare_lf: false }
    }

    /// The socket. What was received and not yet read is dropped: before an upgrade to TLS anybody could have put it
    /// there.
    pub(crate) fn into_stream(self) -> Stream {
        self.reader.into_inner()
    }

    pub(crate) fn is_protected(&self) -> bool {
        self.reader.get_ref().is_protected()
    }

    /// One command, one status line.
    pub(crate) async fn ask(&mut self, command: Command<'_>, deadline: &Deadline) -> Result<Reply, Fault> {
        self.say(&command.line(), 1, deadline).await?;
        self.reply(deadline).await
    }

    /// Sends lines that will be answered by so many replies. Before that, reads what is left of an abandoned message,
    /// if that is little.
    pub(crate) async fn say(&mut self, lines: &[u8], answers: usize, deadline: &Deadline) -> Result<(), Fault> {
        if !self.step.sound || self.owed > 0 {
            return Err(fault::out_of_step());
        }
        if self.step.body.is_some() {
            let mut body = Body::new(&mut self.reader, &mut self.step, self.timeout, deadline);
            let mut chunk = vec![0; 16 * 1024];
            let mut drained = 0;
            while !body.is_over() && drained <= MAX_DRAIN {
                drained += body.read(&mut chunk).await.map_err(fault::of_body)?;
            }
        }
        if self.step.body.is_some() {
            self.step.sound = false;
            return Err(fault::out_of_step());
        }
        self.owed = answers;
        let stream = self.reader.get_mut();
        let sending = async {
            stream.write_all(lines).await?;
            stream.flush().await
        };
        deadline.run(self.timeout, sending).await?.map_err(|error| fault::lost(&error))
    }

    /// The next status line.
    pub(crate) async fn reply(&mut self, deadline: &Deadline) -> Result<Reply, Fault> {
        let line = self.line(MAX_REPLY, deadline).await?;
        let reply = Reply::parse(&line);
        let reply = reply.ok_or_else(|| fault::violation("the server's answer is neither +OK nor -ERR"))?;
        self.owed = self.owed.saturating_sub(1);
        Ok(reply)
    }

    /// Hands each line of a multi-line answer to `take`, without its line break, until the lone dot.
    pub(crate) async fn lines(
        &mut self,
        longest: usize,
        deadline: &Deadline,
        mut take: impl FnMut(&[u8]) -> Result<(), Fault> + Send,
    ) -> Result<(), Fault> {
        self.owed += 1;
        loop {
            let line = self.line(longest, deadline).await?;
            match line.strip_prefix(b".") {
                Some(b"") => break,
                Some(unstuffed) => take(unstuffed)?,
                None => take(&line)?,
            }
        }
        self.owed -= 1;
        Ok(())
    }

    /// The message that follows a `+OK`.
    pub(crate) fn body(&mut self, deadline: &Deadline) -> Body<'_, BufReader<Stream>> {
        self.step.body = Some(Unstuffer::new(self.bare_lf));
        Body::new(&mut self.reader, &mut self.step, self.timeout, deadline)
    }

    /// The header of the message that follows a `+OK`; the rest is read and dropped.
    pub(crate) async fn header(&mut self, deadline: &Deadline) -> Result<Vec<u8>, Fault> {
        let mut block = HeaderBlock::default();
        let mut body = self.body(deadline);
        let mut chunk = vec![0; 8 * 1024];
        loop {
            let read = body.read(&mut chunk).await.map_err(fault::of_body)?;
            if read == 0 {
                return Ok(block.finish());
            }
            block.feed(&chunk[..read]);
        }
    }

    /// Waits until the server has closed, at most `at_most`, and closes.
    pub(crate) async fn close(mut self, at_most: Duration, deadline: &Deadline) {
        let ending = async {
            let mut rest = [0; 512];
            // Whatever still comes is of no interest; the end of the stream or of the time is.
            while matches!(self.reader.read(&mut rest).await, Ok(read) if read > 0) {}
            self.reader.get_mut().shutdown().await
        };
        if !matches!(deadline.run(at_most.min(self.timeout), ending).await, Ok(Ok(()))) {
            tracing::debug!("the server did not close the connection in time, or had closed it already");
        }
    }

    /// The next line without its line break; what exceeds `max` bytes is dropped. The whole line has to arrive
    /// within the time-out. What is in the buffer is taken without setting up a timer: listings have many lines.
    async fn line(&mut self, max: usize, deadline: &Deadline) -> Result<Vec<u8>, Fault> {
        let mut line = Vec::new();
        let mut before = 0;
        let mut until = None;
        loop {
            if self.reader.buffer().is_empty() {
                let until = *until.get_or_insert_with(|| Instant::now() + self.timeout);
                let left = until.saturating_duration_since(Instant::now());
                // A server that always has something to say never lets the timer have its turn.
                deadline.check(fault::SOME_TIME)?;
                if left.is_zero() {
                    return Err(fault::timed_out(self.timeout));
                }
                let filled = deadline.run(left, self.reader.fill_buf()).await?;
                let filled = filled.map_err(|error| fault::lost(&error))?;
                if filled.is_empty() {
                    let error = io::Error::new(io::ErrorKind::UnexpectedEof, "closed by the server");
                    return Err(fault::lost(&error));
                }
            }
            let available = self.reader.buffer();
            let end = available.iter().position(|b| *b == b'\n');
            let text = &available[..end.unwrap_or(available.len())];
            line.extend_from_slice(&text[..text.len().min((max + 1).saturating_sub(line.len()))]);
            before = text.last().copied().unwrap_or(before);
            let consumed = end.map_or(text.len(), |at| at + 1);
            self.reader.consume(consumed);
            if end.is_some() {
                break;
            }
        }
        self.bare_lf = before != b'\r';
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        line.truncate(max);
        Ok(line)
    }
}
