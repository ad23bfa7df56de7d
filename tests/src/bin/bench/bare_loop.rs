//! The least a program can do to look into a mailbox: connect, log in, list, quit. Runs as a process of its own, so that
//! its processor time is its alone. Same TLS library, same server, same accounts as the worker it is compared with.

use std::{
    io::{Read, Write},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use lockstep_test_support::mail::MailAccount;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::Command,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::cpu;

/// The argument that makes this program the loop.
pub(crate) const COMMAND: &str = "bare-loop";
const ENDS_WITHIN: Duration = Duration::from_secs(300);
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Runs the loop `times` times, over the accounts in turn; tells its processor time for one, in seconds.
pub(crate) async fn measure(port: u16, ca: &str, accounts: &[MailAccount], times: usize) -> Result<f64> {
    let mut child = Command::new(std::env::current_exe()?)
        .args([COMMAND, &port.to_string(), ca, &times.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let lines: String = accounts.iter().map(|a| format!("{} {}\n", a.address(), a.password())).collect();
    child.stdin.take().context("no input")?.write_all(lines.as_bytes()).await?;
    let output = timeout(ENDS_WITHIN, child.wait_with_output()).await.context("the loop does not end")??;
    ensure!(output.status.success(), "the loop ended with {}", output.status);
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// The child: accounts come in on standard input, the figure goes out.
pub(crate) async fn run(arguments: &[String]) -> Result<()> {
    let [port, ca, times] = arguments else { anyhow::bail!("needs port, CA file and number of times") };
    let (port, times): (u16, u32) = (port.parse()?, times.parse()?);
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input)?;
    let accounts: Vec<(&str, &str)> = input.lines().filter_map(|line| line.split_once(' ')).collect();
    ensure!(!accounts.is_empty(), "no account came in");
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca)? {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let before = cpu::seconds("self")?;
    for ((user, password), _) in accounts.iter().cycle().zip(0..times) {
        timeout(ANSWER_WITHIN, look(&connector, port, user, password)).await.context("no answer in time")??;
    }
    let each = (cpu::seconds("self")? - before) / f64::from(times);
    Ok(writeln!(std::io::stdout(), "{each}")?)
}

async fn look(connector: &TlsConnector, port: u16, user: &str, password: &str) -> Result<usize> {
    let socket = TcpStream::connect(("127.0.0.1", port)).await?;
    socket.set_nodelay(true)?;
    let mut stream = BufReader::new(connector.connect(ServerName::try_from("127.0.0.1")?, socket).await?);
    let mut line = String::new();
    ok(&mut stream, &mut line).await?;
    for command in [format!("USER {user}\r\n"), format!("PASS {password}\r\n"), "UIDL\r\n".to_owned()] {
        stream.get_mut().write_all(command.as_bytes()).await?;
        ok(&mut stream, &mut line).await?;
    }
    let mut messages = 0;
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        if line.trim_end() == "." {
            break;
        }
        ensure!(!line.is_empty(), "the listing has no end");
        messages += 1;
    }
    stream.get_mut().write_all(b"QUIT\r\n").await?;
    ok(&mut stream, &mut line).await?;
    Ok(messages)
}

async fn ok(stream: &mut BufReader<TlsStream<TcpStream>>, line: &mut String) -> Result<()> {
    line.clear();
    stream.read_line(line).await?;
    ensure!(line.starts_with("+OK"), "the server says {line:?}");
    Ok(())
}
