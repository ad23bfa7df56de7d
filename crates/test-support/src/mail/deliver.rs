//! Putting messages into mailboxes: by SMTP, by LMTP, or as a file.

use std::{
    error, fmt, fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};
use uuid::Uuid;

use super::MailAccount;
use crate::Services;

const ANSWER_WITHIN: Duration = Duration::from_secs(60);
const LONGEST_LINE: u64 = 64 * 1024;
const MOST_LINES: usize = 1000;

/// An answer of an SMTP or LMTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpReply {
    /// The three digits.
    pub code: u16,
    /// The text, lines joined by line feeds.
    pub text: String,
}

/// Why a message was not handed over.
#[derive(Debug)]
pub enum DeliveryError {
    /// The server refused a command, a recipient or the message.
    Refused(SmtpReply),
    /// The conversation broke.
    Io(io::Error),
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(reply) => write!(out, "{} {}", reply.code, reply.text),
            Self::Io(error) => error.fmt(out),
        }
    }
}

impl error::Error for DeliveryError {}

impl From<io::Error> for DeliveryError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Hands raw bytes to the relay port for these recipients, all or none. The bytes go out as they are, but for
/// dot-stuffing and a final CRLF; 8-bit content needs no encoding. For bytes a mail server would not pass (NUL, bare
/// line ends) use [`deliver_maildir`].
///
/// # Errors
/// The first refusal, or a broken connection.
pub async fn deliver_smtp(services: &Services, raw: &[u8], from: &str, to: &[&str]) -> Result<(), DeliveryError> {
    let mut session = Session::open(services.smtp_port()).await?;
    session.command("EHLO client.test", 250).await?;
    session.envelope(from, to).await?;
    session.content(raw).await?;
    session.reply(250).await?;
    session.command("QUIT", 221).await.map(drop)
}

/// Hands raw bytes to Dovecot's LMTP port; when this returns, they are in every mailbox.
///
/// # Errors
/// The first refusal, or a broken connection.
pub async fn deliver_lmtp(services: &Services, raw: &[u8], from: &str, to: &[&str]) -> Result<(), DeliveryError> {
    let mut session = Session::open(services.lmtp_port()).await?;
    session.command("LHLO client.test", 250).await?;
    session.envelope(from, to).await?;
    session.content(raw).await?;
    for _ in to {
        session.reply(250).await?;
    }
    session.command("QUIT", 221).await.map(drop)
}

/// Drops a file straight into the mailbox, exactly these bytes (Dovecot shows bare line feeds as CRLF).
///
/// # Panics
/// When the Maildir cannot be written.
pub fn deliver_maildir(services: &Services, account: &MailAccount, raw: &[u8]) {
    let boxes = services.mail_dir();
    if let Err(error) = write_maildir(&boxes, account.address(), raw) {
        panic!("{}/{}: {error}", boxes.display(), account.address());
    }
}

fn write_maildir(boxes: &Path, address: &str, raw: &[u8]) -> io::Result<()> {
    let home = boxes.join(address);
    let name = format!("{}.lockstep.test", Uuid::now_v7().simple());
    let (owner, path) = (fs::metadata(boxes)?, home.join("tmp").join(&name));
    for folder in [home.clone(), home.join("tmp"), home.join("new"), home.join("cur")] {
        if !folder.is_dir() {
            fs::create_dir_all(&folder)?;
            give(&folder, &owner)?;
        }
    }
    fs::write(&path, raw)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    give(&path, &owner)?;
    fs::rename(&path, home.join("new").join(&name))
}

/// Makes root's file the mail user's.
fn give(path: &Path, owner: &fs::Metadata) -> io::Result<()> {
    if fs::metadata(path)?.uid() == owner.uid() {
        return Ok(());
    }
    chown(path, Some(owner.uid()), Some(owner.gid()))
}

struct Session {
    stream: BufReader<TcpStream>,
}

impl Session {
    async fn open(port: u16) -> Result<Self, DeliveryError> {
        let stream =
            timeout(ANSWER_WITHIN, TcpStream::connect(("127.0.0.1", port))).await.map_err(io::Error::from)??;
        stream.set_nodelay(true)?;
        let mut this = Self { stream: BufReader::new(stream) };
        this.reply(220).await?;
        Ok(this)
    }

    async fn command(&mut self, line: &str, wanted: u16) -> Result<SmtpReply, DeliveryError> {
        self.send(format!("{line}\r\n").as_bytes()).await?;
        self.reply(wanted).await
    }

    async fn envelope(&mut self, from: &str, to: &[&str]) -> Result<(), DeliveryError> {
        self.command(&format!("MAIL FROM:<{from}> BODY=8BITMIME"), 250).await?;
        for recipient in to {
            self.command(&format!("RCPT TO:<{recipient}>"), 250).await?;
        }
        self.command("DATA", 354).await.map(drop)
    }

    async fn content(&mut self, raw: &[u8]) -> Result<(), DeliveryError> {
        self.send(&dot_stuffed(raw)).await
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), DeliveryError> {
        timeout(ANSWER_WITHIN, self.stream.get_mut().write_all(bytes)).await.map_err(io::Error::from)??;
        Ok(())
    }

    async fn reply(&mut self, wanted: u16) -> Result<SmtpReply, DeliveryError> {
        let mut text = String::new();
        for _ in 0..MOST_LINES {
            let mut line = Vec::new();
            timeout(ANSWER_WITHIN, (&mut self.stream).take(LONGEST_LINE).read_until(b'\n', &mut line))
                .await
                .map_err(io::Error::from)??;
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end();
            let (Some(digits), more) = (line.get(..3), line.get(3..4) == Some("-")) else {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            };
            text.push_str(line.get(4..).unwrap_or_default());
            if more {
                text.push('\n');
                continue;
            }
            let code = digits.parse().map_err(|_| io::Error::other(format!("not a reply: {line}")))?;
            let reply = SmtpReply { code, text };
            return if code == wanted { Ok(reply) } else { Err(DeliveryError::Refused(reply)) };
        }
        Err(io::Error::other("an endless reply").into())
    }
}

/// RFC 5321 section 4.5.2: a line that starts with a dot gets another; the end is a dot alone.
fn dot_stuffed(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len() + raw.len() / 64 + 5);
    let mut line_start = true;
    for &byte in raw {
        if line_start && byte == b'.' {
            out.push(b'.');
        }
        out.push(byte);
        line_start = out.ends_with(b"\r\n");
    }
    if !line_start {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::dot_stuffed;

    #[test]
    fn leading_dots_are_doubled_and_the_end_is_marked() {
        assert_eq!(dot_stuffed(b".a\r\n..b\r\nc.\r\n"), b"..a\r\n...b\r\nc.\r\n.\r\n");
        assert_eq!(dot_stuffed(b"no end of line"), b"no end of line\r\n.\r\n");
        assert_eq!(dot_stuffed(b"bare\n.\n"), b"bare\n.\n\r\n.\r\n");
        assert_eq!(dot_stuffed(b""), b".\r\n");
    }
}
