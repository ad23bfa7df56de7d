//! A TCP server that follows a script, for conversations no honest server would hold.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, ReadBuf},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

const READ_WITHIN: Duration = Duration::from_secs(30);
const LONGEST_LINE: u64 = 1024 * 1024;

/// One step of a conversation, seen from the server.
#[derive(Debug, Clone)]
pub enum Step {
    /// Reads a line that must start with this text (case counts).
    Expect(String),
    /// Reads lines up to and including this one.
    ReadUntil(String),
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends these bytes one at a time, each in a packet of its own.
    Trickle(Vec<u8>),
    /// Sends these bytes again and again until the client goes away.
    Flood(Vec<u8>),
    /// Starts TLS with the server's identity.
    StartTls,
    /// Says nothing more until the client goes away.
    Stall,
    /// Resets the connection.
    Reset,
}

impl Step {
    /// Reads a line that must start with `text`.
    pub fn expect(text: &str) -> Self {
        Self::Expect(text.to_owned())
    }

    /// Sends these bytes.
    pub fn send(bytes: impl AsRef<[u8]>) -> Self {
        Self::Send(bytes.as_ref().to_vec())
    }
}

/// How a [`ScriptedServer`] treats its connections.
#[derive(Clone, Default)]
pub struct ScriptOptions {
    /// The identity for TLS, see [`crate::tls::ServerIdentity::server`].
    pub tls: Option<Arc<ServerConfig>>,
    /// TLS from the first byte.
    pub implicit_tls: bool,
    /// Sends everything one byte at a time.
    pub one_byte_chunks: bool,
}

#[derive(Debug, Default)]
struct Record {
    accepted: usize,
    open: usize,
    received: Vec<Vec<String>>,
    failures: Vec<String>,
}

/// A server on a free loopback port; it ends when dropped.
#[derive(Debug)]
pub struct ScriptedServer {
    address: SocketAddr,
    record: Arc<Mutex<Record>>,
    task: JoinHandle<()>,
}

impl ScriptedServer {
    /// Plays one script for each connection in turn; the last serves all further ones. After the last step the
    /// connection is closed.
    pub async fn play(options: ScriptOptions, scripts: Vec<Vec<Step>>) -> Self {
        assert!(!scripts.is_empty(), "a server without a script");
        let scripts = Arc::new(scripts);
        Self::start(options, move |number, mut peer| {
            let scripts = scripts.clone();
            async move {
                for step in &scripts[number.min(scripts.len() - 1)] {
                    peer.perform(step).await?;
                }
                Ok(())
            }
        })
        .await
    }

    /// Holds every conversation by a function of the connection's number (from 0) and its peer. An error it returns
    /// is kept as a failure, unless it is the client going away.
    pub async fn start<F, C>(options: ScriptOptions, converse: F) -> Self
    where
        F: Fn(usize, Peer) -> C + Send + Sync + 'static,
        C: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.and_then(|bound| Ok((bound.local_addr()?, bound)));
        let (address, listener) = listener.unwrap_or_else(|error| panic!("no port for the scripted server: {error}"));
        let record = Arc::new(Mutex::new(Record::default()));
        let task = tokio::spawn(accept(listener, options, record.clone(), Arc::new(converse)));
        Self { address, record, task }
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.record().accepted
    }

    /// Connections that are open now.
    pub fn open(&self) -> usize {
        self.record().open
    }

    /// The lines received, without line ends, for each connection.
    pub fn received(&self) -> Vec<Vec<String>> {
        self.record().received.clone()
    }

    /// What did not go by the script.
    pub fn failures(&self) -> Vec<String> {
        self.record().failures.clone()
    }

    /// # Panics
    /// When a conversation did not go by its script.
    pub fn assert_followed(&self) {
        let failures = self.failures();
        assert!(failures.is_empty(), "the script was not followed: {failures:#?}");
    }

    fn record(&self) -> std::sync::MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept<F, C>(listener: TcpListener, options: ScriptOptions, record: Arc<Mutex<Record>>, converse: Arc<F>)
where
    F: Fn(usize, Peer) -> C + Send + Sync + 'static,
    C: Future<Output = io::Result<()>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => continue,
            },
            Some(_) = connections.join_next() => continue,
        };
        let _ = stream.set_nodelay(true);
        let number = {
            let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
            record.accepted += 1;
            record.open += 1;
            record.received.push(Vec::new());
            record.accepted - 1
        };
        let (options, record, converse) = (options.clone(), record.clone(), converse.clone());
        connections.spawn(async move {
            let mut peer = Peer {
                stream: Some(BufReader::new(Stream::Plain(stream))),
                number,
                record: record.clone(),
                options: options.clone(),
            };
            let greeted = if options.implicit_tls { peer.start_tls().await } else { Ok(()) };
            let outcome = match greeted {
                Ok(()) => converse(number, peer).await,
                Err(error) => Err(error),
            };
            let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
            record.open -= 1;
            if let Err(error) = outcome
                && !gone(&error)
            {
                record.failures.push(format!("connection {number}: {error}"));
            }
        });
    }
}

/// The client went away while we were talking: its right.
fn gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted
    )
}

/// The client, seen from a conversation.
pub struct Peer {
    /// Empty only while TLS is being started.
    stream: Option<BufReader<Stream>>,
    number: usize,
    record: Arc<Mutex<Record>>,
    options: ScriptOptions,
}

impl Peer {
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
