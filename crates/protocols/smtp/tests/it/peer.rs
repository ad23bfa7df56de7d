//! A server that follows a script and writes down what it hears, and the client side the tests use.

use std::{
    future::Future,
    path::PathBuf,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use lockstep_connector::{
    BodyReader, Connector, Credentials, Deadline, Envelope, PointOfNoReturn, RecipientReply, SendReceipt, Session,
    TlsTrust, session::Target,
};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    profile::{AuthMethod, Endpoint, TlsMode},
};
use lockstep_smtp::Smtp;
use lockstep_test_support::tls::ServerIdentity;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// What the client's password is in every test; it must turn up nowhere else.
pub(crate) const SECRET: &str = "s3cret-hunter2";

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// The server's end of one connection.
pub(crate) struct Peer {
    io: BufReader<Box<dyn Wire>>,
    /// Every line heard.
    pub(crate) heard: Vec<String>,
}

impl Peer {
    /// Sends these lines as they are, each with CR LF.
    pub(crate) async fn say(&mut self, lines: &str) {
        for line in lines.lines() {
            // A client that has gone is what some scripts are about.
            let _ = self.io.write_all(format!("{line}\r\n").as_bytes()).await;
        }
        let _ = self.io.flush().await;
    }

    /// The next line, or none when the client has gone.
    pub(crate) async fn hear(&mut self) -> Option<String> {
        let mut line = Vec::new();
        let read = self.io.read_until(b'\n', &mut line).await.unwrap_or(0);
        if read == 0 {
            return None;
        }
        let line = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
        self.heard.push(line.clone());
        Some(line)
    }

    /// Expects a line that begins so, then answers.
    pub(crate) async fn expect(&mut self, begin: &str, answer: &str) -> String {
        let line = self.hear().await.unwrap_or_else(|| panic!("the client hung up instead of {begin:?}"));
        assert!(line.starts_with(begin), "heard {line:?} instead of {begin:?}");
        self.say(answer).await;
        line
    }

    /// Greets, and accepts any credentials; `offers` are further EHLO lines.
    pub(crate) async fn admit(&mut self, offers: &[&str]) {
        self.say("220 script.test ESMTP").await;
        self.expect("EHLO ", &ehlo(offers)).await;
        self.expect("AUTH PLAIN ", "235 2.7.0 welcome").await;
    }

    /// Hears a message up to its dot; `false` when the client hung up before it.
    pub(crate) async fn hear_message(&mut self) -> (Vec<String>, bool) {
        let mut message = Vec::new();
        while let Some(line) = self.hear().await {
            if line == "." {
                return (message, true);
            }
            message.push(line);
        }
        (message, false)
    }

    /// Hears whatever comes until the client hangs up.
    pub(crate) async fn hear_out(&mut self) {
        let mut rest = Vec::new();
        let _ = self.io.read_to_end(&mut rest).await;
        self.heard.push(String::from_utf8_lossy(&rest).into_owned());
    }

    /// Continues under TLS, as the server of `tls`.
    ///
    /// # Errors
    /// When the client did not want to.
    pub(crate) async fn protect(self, tls: &Tls) -> std::io::Result<Self> {
        let stream = tls.acceptor.accept(self.io.into_inner()).await?;
        Ok(Self { io: BufReader::new(Box::new(stream)), heard: self.heard })
    }
}

/// The answer to EHLO with AUTH and these extensions.
pub(crate) fn ehlo(offers: &[&str]) -> String {
    let mut lines = vec!["250-script.test", "250-AUTH PLAIN LOGIN XOAUTH2"];
    let offers: Vec<_> = offers.iter().map(|offer| format!("250-{offer}")).collect();
    lines.extend(offers.iter().map(String::as_str));
    lines.push("250 HELP");
    lines.join("\n")
}

/// A certificate for `localhost` and a file that makes it trusted.
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    ca_file: PathBuf,
    _dir: tempfile::TempDir,
}

impl Tls {
    pub(crate) fn new() -> Arc<Self> {
        let identity = ServerIdentity::new(&["localhost"]);
        let dir = tempfile::tempdir().unwrap();
        let ca_file = dir.path().join("ca.pem");
        std::fs::write(&ca_file, identity.authority_pem()).unwrap();
        Arc::new(Self { acceptor: TlsAcceptor::from(identity.server()), ca_file, _dir: dir })
    }

    pub(crate) fn trust(&self) -> TlsTrust {
        TlsTrust::load(Some(&self.ca_file)).unwrap()
    }
}

/// A running script for one connection. Its result is joined, so that a failed expectation fails the test.
pub(crate) struct Script<T> {
    pub(crate) port: u16,
    task: JoinHandle<T>,
}

impl<T: Send + 'static> Script<T> {
    /// Listens and plays the script to the first caller.
    pub(crate) async fn play<F, R>(script: F) -> Self
    where
        F: FnOnce(Peer) -> R + Send + 'static,
        R: Future<Output = T> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let (socket, _): (TcpStream, _) = listener.accept().await.unwrap();
            script(Peer { io: BufReader::new(Box::new(socket)), heard: Vec::new() }).await
        });
        Self { port, task }
    }

    /// What the script came to.
    pub(crate) async fn end(self) -> T {
        tokio::time::timeout(Duration::from_secs(20), self.task).await.expect("the script ends").unwrap()
    }

    /// A target at this script, without TLS.
    pub(crate) fn target(&self) -> Target {
        target(self.port, TlsMode::Plain, AuthMethod::Auto)
    }
}

pub(crate) fn target(port: u16, tls: TlsMode, auth: AuthMethod) -> Target {
    let endpoint =
        Endpoint { protocol: "smtp".parse().unwrap(), host: "localhost".to_owned(), port, tls, auth, path: None };
    let credentials = Credentials::new("ann@example.test", SECRET.to_owned().into());
    Target {
        endpoint,
        credentials,
        request_timeout: Duration::from_secs(5),
        search: None,
        application: None,
        mailbox: None,
    }
}

pub(crate) fn minute() -> Deadline {
    Deadline::within(Duration::from_secs(60))
}

static MACHINE_TRUST: LazyLock<TlsTrust> = LazyLock::new(|| TlsTrust::load(None).unwrap());

pub(crate) fn smtp(trust: TlsTrust) -> Smtp {
    Smtp::new(trust, "client.test".to_owned())
}

pub(crate) async fn open(target: &Target) -> Result<Box<dyn Session>, Fault> {
    smtp(MACHINE_TRUST.clone()).open(target, &minute()).await
}

pub(crate) fn envelope(to: &[&str]) -> Envelope {
    Envelope {
        from: "ann@example.test".to_owned(),
        to: to.iter().map(|address| (*address).to_owned()).collect(),
        size: None,
        save_copy: true,
    }
}

pub(crate) fn body(bytes: &[u8]) -> BodyReader<'_> {
    Box::pin(bytes)
}

pub(crate) const MESSAGE: &[u8] = b"Subject: hello\r\n\r\nbody\r\n";

/// A gate that counts how often it was asked, and with what.
#[derive(Clone, Default)]
pub(crate) struct Gate {
    asked: Arc<Mutex<Vec<Vec<RecipientReply>>>>,
    refuses: bool,
}

impl Gate {
    pub(crate) fn closed() -> Self {
        Self { refuses: true, ..Self::default() }
    }

    pub(crate) fn asked(&self) -> Vec<Vec<RecipientReply>> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl PointOfNoReturn for Gate {
    async fn cross(&mut self, recipients: &[RecipientReply]) -> Result<(), Fault> {
        self.asked.lock().unwrap().push(recipients.to_vec());
        if self.refuses {
            return Err(Fault::new(FaultScope::Mailbox, FaultClass::Transient, "LeaseLost", "the lease is gone"));
        }
        Ok(())
    }
}

/// Opens a session at the script and sends [`MESSAGE`] to these.
pub(crate) async fn send_to<T: Send + 'static>(
    script: &Script<T>,
    to: &[&str],
    gate: &mut Gate,
) -> Result<SendReceipt, Fault> {
    let mut session = open(&script.target()).await.unwrap();
    session.send(&envelope(to), body(MESSAGE), gate, &minute()).await
}

/// Scope, class and code, the parts rules look at.
pub(crate) fn kind(fault: &Fault) -> (FaultScope, FaultClass, &str) {
    assert!(!fault.message.contains(SECRET), "a fault holds no secret");
    (fault.scope, fault.class, &fault.code)
}
