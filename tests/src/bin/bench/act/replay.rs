//! The least a program can do to look for changes on Exchange: connect, ask what a cycle has asked, byte for byte, read the
//! answers, and leave. Runs as a process of its own, so that its processor time is its alone.

use std::{io::Read, io::Write, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::Command,
    time::timeout,
};

use crate::cpu;

/// The argument that makes this program the replay.
pub(crate) const COMMAND: &str = "replay";
const ENDS_WITHIN: Duration = Duration::from_secs(300);
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Replays these requests `times` times; tells the processor time for one pass, in seconds.
pub(crate) async fn measure(port: u16, requests: &[u8], times: usize) -> Result<f64> {
    let mut child = Command::new(std::env::current_exe()?)
        .args([COMMAND, &port.to_string(), &times.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    child.stdin.take().context("no input")?.write_all(requests).await?;
    let output = timeout(ENDS_WITHIN, child.wait_with_output()).await.context("the replay does not end")??;
    ensure!(output.status.success(), "the replay ended with {}", output.status);
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// The child: the requests come in on standard input, the figure goes out.
pub(crate) async fn run(arguments: &[String]) -> Result<()> {
    let [port, times] = arguments else { bail!("needs port and number of times") };
    let (port, times): (u16, u32) = (port.parse()?, times.parse()?);
    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input)?;
    let requests = apart(&input)?;
    let before = cpu::seconds("self")?;
    for _ in 0..times {
        timeout(ANSWER_WITHIN, pass(port, &requests)).await.context("no answer in time")??;
    }
    let each = (cpu::seconds("self")? - before) / f64::from(times);
    Ok(writeln!(std::io::stdout(), "{each}")?)
}

/// Cuts a stream into its requests.
pub(crate) fn apart(mut stream: &[u8]) -> Result<Vec<&[u8]>> {
    let mut requests = Vec::new();
    while !stream.is_empty() {
        let head = stream.windows(4).position(|window| window == b"\r\n\r\n").context("a request without end")? + 4;
        let length = content_length(std::str::from_utf8(&stream[..head])?).context("a request without length")?;
        let (request, rest) = stream.split_at_checked(head + length).context("a request that breaks off")?;
        requests.push(request);
        stream = rest;
    }
    ensure!(!requests.is_empty(), "no request");
    Ok(requests)
}

fn content_length(head: &str) -> Option<usize> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?.1.trim().parse().ok()
}

async fn pass(port: u16, requests: &[&[u8]]) -> Result<()> {
    let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await?);
    stream.get_ref().set_nodelay(true)?;
    for request in requests {
        stream.get_mut().write_all(request).await?;
        answer(&mut stream).await?;
    }
    Ok(())
}

/// Reads one answer: of a told length, or in chunks.
async fn answer(stream: &mut BufReader<TcpStream>) -> Result<()> {
    let (mut line, mut head) = (String::new(), String::new());
    while stream.read_line(&mut line).await? > 2 {
        head.push_str(&line);
        line.clear();
    }
    if let Some(length) = content_length(&head) {
        return skip(stream, length).await;
    }
    ensure!(head.to_ascii_lowercase().contains("transfer-encoding: chunked"), "an answer without length: {head:?}");
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let length = usize::from_str_radix(line.trim(), 16).with_context(|| format!("not a chunk: {line:?}"))?;
        skip(stream, length + 2).await?;
        if length == 0 {
            return Ok(());
        }
    }
}

async fn skip(stream: &mut BufReader<TcpStream>, length: usize) -> Result<()> {
    let mut rest = stream.take(length as u64);
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
    ensure!(rest.limit() == 0, "an answer that breaks off");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::apart;

    #[test]
    fn requests_are_told_apart() {
        let stream = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcPOST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n";
        let requests = apart(stream).unwrap();
        assert_eq!(requests.len(), 2);
        assert!(requests[0].ends_with(b"abc"));
        assert!(apart(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab").is_err());
        assert!(apart(b"").is_err());
    }
}
