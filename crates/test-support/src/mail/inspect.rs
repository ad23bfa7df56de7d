//! Looking into mailboxes without the code under test.

use std::{fs, io, path::PathBuf, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

use super::MailAccount;
use crate::Services;

const ANSWER_WITHIN: Duration = Duration::from_secs(60);
const LONGEST_LINE: u64 = 512;

/// The messages in the inbox as they lie in the Maildir, oldest first. Line ends are those of the file: Dovecot
/// stores what comes by LMTP with bare line feeds.
///
/// # Panics
/// When the Maildir cannot be read. A mailbox that never received anything is empty.
pub fn maildir_messages(services: &Services, account: &MailAccount) -> Vec<Vec<u8>> {
    let home = services.mail_dir().join(account.address());
    match read_maildir(&home) {
        Ok(messages) => messages,
        Err(error) => panic!("{}: {error}", home.display()),
    }
}

fn read_maildir(home: &std::path::Path) -> io::Result<Vec<Vec<u8>>> {
    let mut messages: Vec<(std::time::SystemTime, PathBuf, Vec<u8>)> = Vec::new();
    for folder in ["new", "cur"] {
        let entries = match fs::read_dir(home.join(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            // A reader may move or expunge the file between listing and reading.
            match fs::read(entry.path()) {
                Ok(bytes) => messages.push((entry.metadata()?.modified()?, entry.path(), bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    messages.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
    Ok(messages.into_iter().map(|(_, _, bytes)| bytes).collect())
}

/// How many messages POP3 shows to the owner of the account.
///
/// # Panics
/// When the server cannot be reached or refuses the login.
pub async fn pop3_count(services: &Services, account: &MailAccount) -> usize {
    match timeout(ANSWER_WITHIN, stat(services.pop3_port(), account)).await {
        Ok(Ok(count)) => count,
        Ok(Err(error)) => panic!("POP3 as {}: {error}", account.address()),
        Err(_) => panic!("POP3 as {}: no answer", account.address()),
    }
}

async fn stat(port: u16, account: &MailAccount) -> io::Result<usize> {
    let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await?);
    stream.get_ref().set_nodelay(true)?;
    let user = format!("USER {}", account.address());
    let password = format!("PASS {}", account.password());
    line(&mut stream).await?;
    for command in [user.as_str(), password.as_str()] {
        ask(&mut stream, command).await?;
    }
    let answer = ask(&mut stream, "STAT").await?;
    ask(&mut stream, "QUIT").await?;
    let count = answer.split(' ').nth(1).and_then(|number| number.parse().ok());
    count.ok_or_else(|| io::Error::other(format!("not an answer to STAT: {answer}")))
}

async fn ask(stream: &mut BufReader<TcpStream>, command: &str) -> io::Result<String> {
    stream.get_mut().write_all(format!("{command}\r\n").as_bytes()).await?;
    line(stream).await
}

async fn line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    stream.take(LONGEST_LINE).read_line(&mut line).await?;
    if line.starts_with("+OK") { Ok(line.trim_end().to_owned()) } else { Err(io::Error::other(line)) }
}
