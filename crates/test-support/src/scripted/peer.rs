//! The client of a scripted server, seen from a conversation.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{Record, ScriptOptions, Step};

const READ_WITHIN: Duration = Duration::from_secs(30);
const LONGEST_LINE: u64 = 1024 * 1024;

/// The client, seen from a conversation.
pub struct Peer {
    /// Empty only while TLS is being started.
    stream: Option<BufReader<Stream>>,
    number: usize,
    record: Arc<Mutex<Record>>,
    options: ScriptOptions,
}

impl Peer {
    pub(super) fn new(stream: TcpStream, number: usize, record: Arc<Mutex<Record>>, options: ScriptOptions) -> Self {
        Self { stream: Some(BufReader::new(Stream::Plain(stream))), number, record, options }
    }

    fn stream(&mut self) -> io::Result<&mut BufReader<Stream>> {
        self.stream.as_mut().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))
    }

    /// Reads a line, without its end.
    ///
    /// # Errors
    /// The client went away, or says nothing for long.
    pub async fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        let reader = self.stream()?;
        let length = timeout(READ_WITHIN, reader.take(LONGEST_LINE).read_until(b'\n', &mut line)).await??;
        if length == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the client closed where a line was expected"));
        }
        let line = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lines) = record.received.get_mut(self.number) {
            lines.push(line.clone());
        }
        Ok(line)
    }

    /// Reads a line that must start with `text`.
    ///
    /// # Errors
    /// Another line came, or none.
    pub async fn expect(&mut self, text: &str) -> io::Result<String> {
        let line = self.line().await?;
        if line.starts_with(text) {
            Ok(line)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, format!("expected {text:?}, got {line:?}")))
        }
    }

    /// Sends bytes, in one piece or one at a time as the server's options say.
    ///
    /// # Errors
    /// The client went away.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        if self.options.one_byte_chunks {
            return self.trickle(bytes).await;
        }
        let stream = self.stream()?.get_mut();
        stream.write_all(bytes.as_ref()).await?;
        stream.flush().await
    }

    /// Sends bytes one at a time.
    ///
    /// # Errors
    /// The client went away.
    pub async fn trickle(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let stream = self.stream()?.get_mut();
        for byte in bytes.as_ref() {
            stream.write_all(&[*byte]).await?;
            stream.flush().await?;
            // Lets the client read what there is before the next byte comes.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Starts TLS. What the client sent in the clear after the last line read is thrown away, and its presence is
    /// an error, since nobody may speak between the command and the handshake.
    ///
    /// # Errors
    /// The handshake failed.
    pub async fn start_tls(&mut self) -> io::Result<()> {
        let config = self.options.tls.clone().ok_or_else(|| io::Error::other("the server has no identity for TLS"))?;
        let reader = self.stream.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?;
        if !reader.buffer().is_empty() {
            return Err(io::Error::other("the client spoke before the handshake"));
        }
        let Stream::Plain(plain) = reader.into_inner() else { return Err(io::Error::other("TLS is on already")) };
        let secure = timeout(READ_WITHIN, TlsAcceptor::from(config).accept(plain)).await??;
        self.stream = Some(BufReader::new(Stream::Tls(Box::new(secure))));
        Ok(())
    }

    /// Says nothing until the client goes away; what it sends is read and forgotten.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn stall(&mut self) -> io::Result<()> {
        let stream = self.stream()?;
        loop {
            let length = stream.fill_buf().await?.len();
            if length == 0 {
                return Ok(());
            }
            Pin::new(&mut *stream).consume(length);
        }
    }

    /// Resets the connection; nothing more can be said.
    pub fn reset(&mut self) {
        if let Some(reader) = self.stream.take() {
            match reader.get_ref() {
                Stream::Plain(stream) => drop(stream.set_zero_linger()),
                Stream::Tls(stream) => drop(stream.get_ref().0.set_zero_linger()),
            }
        }
    }

    /// Does one step of a script.
    ///
    /// # Errors
    /// The client did something else, or went away.
    pub async fn perform(&mut self, step: &Step) -> io::Result<()> {
        match step {
            Step::Expect(text) => self.expect(text).await.map(drop),
            Step::ReadUntil(last) => {
                while self.line().await? != *last {}
                Ok(())
            }
            Step::Send(bytes) => self.send(bytes).await,
            Step::Trickle(bytes) => self.trickle(bytes).await,
            Step::Flood(bytes) => loop {
                self.send(bytes).await?;
            },
            Step::StartTls => self.start_tls().await,
            Step::Stall => self.stall().await,
            Step::Reset => {
                self.reset();
                Ok(())
            }
        }
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
