//! A POP3 server with a maildrop of its own, that keeps to the rules except where a test says otherwise.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use lockstep_connector::{Connector, Credentials, Deadline, Session, Target, TlsTrust};
use lockstep_model::{
    fault::Fault,
    profile::{AuthMethod, Endpoint, TlsMode},
};
use lockstep_pop3::Pop3;
use lockstep_test_support::scripted::{Peer, ScriptOptions, ScriptedServer};

pub(crate) const USER: &str = "anna@mail.test";
pub(crate) const SECRET: &str = "corr3ct-horse";

/// What a hook is asked for the greeting.
pub(crate) const GREETING: &str = "(greeting)";

/// What the server does with a line instead of what the rules say.
#[derive(Clone)]
pub(crate) enum Act {
    Say(Vec<u8>),
    SayAndClose(Vec<u8>),
    SayAndStall(Vec<u8>),
}

impl Act {
    pub(crate) fn say(text: &str) -> Option<Self> {
        Some(Self::Say(text.as_bytes().to_vec()))
    }
}

type Hook = Arc<dyn Fn(&str) -> Option<Act> + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) raw: Vec<u8>,
}

/// How a server behaves, and what it holds.
#[derive(Clone)]
pub(crate) struct Maildrop {
    pub(crate) capabilities: Option<Vec<&'static str>>,
    pub(crate) messages: Arc<Mutex<Vec<Message>>>,
    pub(crate) hook: Hook,
    pub(crate) options: ScriptOptions,
}

impl Maildrop {
    pub(crate) fn of<'a>(messages: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let messages = messages
            .into_iter()
            .map(|(id, raw)| Message { id: id.to_owned(), raw: raw.replace('\n', "\r\n").into_bytes() })
            .collect();
        Self {
            capabilities: Some(vec!["TOP", "UIDL", "USER", "PIPELINING", "SASL PLAIN", "RESP-CODES"]),
            messages: Arc::new(Mutex::new(messages)),
            hook: Arc::new(|_| None),
            options: ScriptOptions::default(),
        }
    }

    /// `count` messages with ids `prefix-1` and so on; the messages differ by their number.
    pub(crate) fn numbered(prefix: &str, count: usize) -> Self {
        let this = Self::of([]);
        let message = |n: usize| Message { id: format!("{prefix}-{n}"), raw: raw(n) };
        *this.messages.lock().unwrap() = (1..=count).map(message).collect();
        this
    }

    pub(crate) fn capabilities(mut self, lines: &[&'static str]) -> Self {
        self.capabilities = Some(lines.to_vec());
        self
    }

    pub(crate) fn no_capabilities(mut self) -> Self {
        self.capabilities = None;
        self
    }

    pub(crate) fn but(mut self, hook: impl Fn(&str) -> Option<Act> + Send + Sync + 'static) -> Self {
        self.hook = Arc::new(hook);
        self
    }

    pub(crate) async fn serve(self) -> ScriptedServer {
        let options = self.options.clone();
        ScriptedServer::start(options, move |_, peer| self.clone().converse(peer)).await
    }

    async fn converse(self, mut peer: Peer) -> io::Result<()> {
        let mut marked: Vec<usize> = Vec::new();
        if self.act(&mut peer, GREETING).await? {
            peer.send("+OK ready\r\n").await?;
        }
        loop {
            let Ok(line) = peer.line().await else { return Ok(()) };
            if !self.act(&mut peer, &line).await? {
                continue;
            }
            let mut words = line.split(' ');
            let verb = words.next().unwrap_or_default().to_owned();
            let number = words.next().and_then(|word| word.parse::<usize>().ok());
            let messages = self.messages.lock().unwrap().clone();
            let there = |number: Option<usize>| {
                let number = number.filter(|n| !marked.contains(n))?;
                Some((number, messages.get(number.checked_sub(1)?)?))
            };
            let shown = (1..).zip(&messages).filter(|(n, _)| !marked.contains(n));
            match verb.as_str() {
                "CAPA" => match &self.capabilities {
                    Some(lines) => peer.send(format!("+OK\r\n{}\r\n.\r\n", lines.join("\r\n"))).await?,
                    None => peer.send("-ERR unknown command\r\n").await?,
                },
                "STLS" => {
                    peer.send("+OK begin TLS\r\n").await?;
                    peer.start_tls().await?;
                }
                "USER" | "PASS" | "AUTH" => peer.send("+OK\r\n").await?,
                "LIST" => {
                    let lines: String = shown.map(|(n, m)| format!("{n} {}\r\n", m.raw.len())).collect();
                    peer.send(format!("+OK\r\n{lines}.\r\n")).await?;
                }
                "UIDL" => {
                    let lines: String = shown.map(|(n, m)| format!("{n} {}\r\n", m.id)).collect();
                    peer.send(format!("+OK\r\n{lines}.\r\n")).await?;
                }
                "TOP" | "RETR" => match there(number) {
                    Some((_, message)) => {
                        let end = message.raw.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4);
                        let shown = if verb == "TOP" { end.unwrap_or(message.raw.len()) } else { message.raw.len() };
                        peer.send(stuffed(&message.raw[..shown])).await?;
                    }
                    None => peer.send("-ERR no such message\r\n").await?,
                },
                "DELE" => match there(number) {
                    Some((number, _)) => {
                        marked.push(number);
                        peer.send("+OK\r\n").await?;
                    }
                    None => peer.send("-ERR no such message\r\n").await?,
                },
                "QUIT" => {
                    let mut n = 0;
                    self.messages.lock().unwrap().retain(|_| {
                        n += 1;
                        !marked.contains(&n)
                    });
                    return peer.send("+OK bye\r\n").await;
                }
                _ => peer.send("-ERR unknown command\r\n").await?,
            }
        }
    }

    /// Whether the rules apply.
    async fn act(&self, peer: &mut Peer, line: &str) -> io::Result<bool> {
        match (self.hook)(line) {
            None => Ok(true),
            Some(Act::Say(bytes)) => peer.send(bytes).await.map(|()| false),
            Some(Act::SayAndClose(bytes)) => {
                peer.send(bytes).await?;
                Err(io::ErrorKind::BrokenPipe.into())
            }
            Some(Act::SayAndStall(bytes)) => {
                peer.send(bytes).await?;
                peer.stall().await?;
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }
    }
}

/// A message that differs from others by its number.
pub(crate) fn raw(n: usize) -> Vec<u8> {
    format!("Message-ID: <{n}@mail.test>\r\nSubject: number {n}\r\n\r\n.body {n}\r\n..\r\n").into_bytes()
}

/// The header of [`raw`].
pub(crate) fn header(n: usize) -> Vec<u8> {
    format!("Message-ID: <{n}@mail.test>\r\nSubject: number {n}\r\n\r\n").into_bytes()
}

/// A message as it goes over the wire, with its status line and its end.
pub(crate) fn stuffed(raw: &[u8]) -> Vec<u8> {
    let mut out = b"+OK\r\n".to_vec();
    for line in raw.split_inclusive(|b| *b == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !out.ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

/// A target on this machine; change what a test is about.
pub(crate) fn target(port: u16) -> Target {
    Target {
        endpoint: Endpoint {
            protocol: "pop3".parse().unwrap(),
            host: "localhost".to_owned(),
            port,
            tls: TlsMode::Plain,
            auth: AuthMethod::Auto,
            path: None,
        },
        credentials: Credentials::new(USER, SECRET.to_owned().into()),
        request_timeout: Duration::from_secs(10),
        search: None,
        application: None,
        mailbox: None,
    }
}

pub(crate) fn deadline() -> Deadline {
    Deadline::within(Duration::from_secs(60))
}

/// Opens a session that trusts nobody but the machine's own authorities.
pub(crate) async fn open(target: &Target) -> Result<Box<dyn Session>, Fault> {
    Pop3::new(TlsTrust::load(None).unwrap()).open(target, &deadline()).await
}

/// Opens a session in the clear with a server that is expected to let us in.
pub(crate) async fn session(server: &ScriptedServer) -> Box<dyn Session> {
    open(&target(server.port())).await.unwrap()
}
