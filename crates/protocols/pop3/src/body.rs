//! A message as it comes off the wire: unstuffed, streamed, ending at the lone dot.

use std::{
    convert::Infallible,
    future::{Future, pending},
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use lockstep_connector::Deadline;
use lockstep_model::fault::Fault;
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

use crate::{codec::dots::Unstuffer, fault};

/// Whether a conversation is inside a body, and whether the last one was read without an error.
#[derive(Debug, Default)]
pub(crate) struct Step {
    /// The body whose end has not been seen yet.
    pub(crate) body: Option<Unstuffer>,
    /// False after an error inside a body, for good.
    pub(crate) sound: bool,
}

/// Reads one body. Keeps nothing but the reader's own buffer. Every wait is bounded by the time-out and the deadline;
/// an error carries the [`Fault`].
pub(crate) struct Body<'w, R> {
    reader: &'w mut R,
    step: &'w mut Step,
    timeout: Duration,
    deadline: Deadline,
    watchdog: Option<Pin<Box<dyn Future<Output = Fault> + Send>>>,
}

impl<'w, R> Body<'w, R> {
    pub(crate) fn new(reader: &'w mut R, step: &'w mut Step, timeout: Duration, deadline: &Deadline) -> Self {
        Self { reader, step, timeout, deadline: deadline.clone(), watchdog: None }
    }

    /// Whether the end has been seen.
    pub(crate) fn is_over(&self) -> bool {
        self.step.body.is_none()
    }

    fn fail(&mut self, kind: io::ErrorKind, fault: Fault) -> Poll<io::Result<()>> {
        self.step.sound = false;
        Poll::Ready(Err(io::Error::new(kind, fault)))
    }

    fn poll_watchdog(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (deadline, timeout) = (self.deadline.clone(), self.timeout);
        let watchdog = self.watchdog.get_or_insert_with(|| {
            Box::pin(async move {
                match deadline.run(timeout, pending::<Infallible>()).await {
                    Err(fault) => fault,
                    Ok(never) => match never {},
                }
            })
        });
        let fault = ready!(watchdog.as_mut().poll(cx));
        self.watchdog = None;
        self.fail(io::ErrorKind::TimedOut, fault)
    }
}

impl<R: AsyncBufRead + Unpin> AsyncRead for Body<'_, R> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.step.sound {
            return this.fail(io::ErrorKind::BrokenPipe, fault::out_of_step());
        }
        // A server that always has more to say never lets the watchdog have its turn.
        if let Err(fault) = this.deadline.check(fault::SOME_TIME) {
            return this.fail(io::ErrorKind::TimedOut, fault);
        }
        loop {
            if out.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            let Some(unstuffer) = this.step.body.as_mut() else { return Poll::Ready(Ok(())) };
            let available = match Pin::new(&mut *this.reader).poll_fill_buf(cx) {
                Poll::Ready(Ok(available)) => available,
                Poll::Ready(Err(error)) => return this.fail(error.kind(), fault::lost(&error)),
                Poll::Pending => return this.poll_watchdog(cx),
            };
            this.watchdog = None;
            if available.is_empty() {
                let error = io::Error::new(io::ErrorKind::UnexpectedEof, "closed in the middle of a message");
                return this.fail(error.kind(), fault::lost(&error));
            }
            let step = unstuffer.decode(available, out.initialize_unfilled());
            Pin::new(&mut *this.reader).consume(step.read);
            out.advance(step.written);
            if step.ended {
                this.step.body = None;
            }
            if step.written > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    /// A server with a message of any size, made on the fly and handed out in pieces.
    struct Endless {
        piece: Vec<u8>,
        at: usize,
        left: usize,
        /// Most bytes that were handed out and had not come out of the reader.
        held: usize,
    }

    impl AsyncRead for Endless {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
        }
    }

    impl AsyncBufRead for Endless {
        fn poll_fill_buf(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
            let this = self.get_mut();
            if this.at == this.piece.len() && this.left > 0 {
                this.left -= 1;
                this.at = 0;
                if this.left == 0 {
                    this.piece = b".\r\n+OK next".to_vec();
                }
            }
            Poll::Ready(Ok(&this.piece[this.at..]))
        }

        fn consume(self: Pin<&mut Self>, read: usize) {
            let this = self.get_mut();
            this.at += read;
            this.held += read;
        }
    }

    #[tokio::test]
    async fn a_message_of_150_mb_is_never_held() {
        let piece = b"..a line that begins with a dot, of the usual seventy-eight bytes or so....\r\n".repeat(400);
        let decoded_piece = piece.len() - 400;
        let pieces = 150 * 1024 * 1024 / decoded_piece;
        let mut server = Endless { at: piece.len(), piece, left: pieces + 1, held: 0 };
        let mut step = Step { body: Some(Unstuffer::new(false)), sound: true };
        let deadline = Deadline::within(Duration::from_secs(600));
        let mut total = 0;
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let mut body = Body::new(&mut server, &mut step, Duration::from_secs(5), &deadline);
            let read = body.read(&mut chunk).await.unwrap();
            if read == 0 {
                break;
            }
            total += read;
            assert!(server.held <= read + read / 10 + 16, "took {} to give {read}", server.held);
            server.held = 0;
        }
        assert_eq!(total, pieces * decoded_piece);
        assert_eq!(&server.piece[server.at..], b"+OK next", "the next answer stays where it is");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_is_given_up_and_the_step_is_lost() {
        let (client, _server) = tokio::io::duplex(16);
        let mut reader = tokio::io::BufReader::new(client);
        let mut step = Step { body: Some(Unstuffer::new(false)), sound: true };
        let deadline = Deadline::within(Duration::from_secs(600));
        let mut body = Body::new(&mut reader, &mut step, Duration::from_secs(5), &deadline);
        let error = body.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(fault::of_body(error).code, "TimedOut");
        assert!(!step.sound);
    }
}
