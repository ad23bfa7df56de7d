//! A look at a POP3 server without an account.

use std::time::Duration;

use lockstep_connector::{AddressRules, Deadline, Probe, TlsTrust};
use lockstep_model::{
    fault::Fault,
    profile::{Endpoint, TlsMode},
};

use crate::{
    codec::{capa::MAX_LINES, command::Command},
    establish::not_secure,
    fault,
    wire::Wire,
};

/// Longest wait for the server to close.
const CLOSING: Duration = Duration::from_secs(2);

/// Connects, protects, hears the greeting and the capabilities, and leaves.
pub(crate) async fn look(
    trust: &TlsTrust,
    addresses: AddressRules,
    endpoint: &Endpoint,
    patience: Duration,
    deadline: &Deadline,
) -> Probe {
    let mut probe = Probe::default();
    let done = steps(&mut probe, trust, addresses, endpoint, patience, deadline).await;
    probe.ended(done.map_err(fault::before_greeting))
}

async fn steps(
    probe: &mut Probe,
    trust: &TlsTrust,
    addresses: AddressRules,
    endpoint: &Endpoint,
    patience: Duration,
    deadline: &Deadline,
) -> Result<(), Fault> {
    let stream = probe.reach(trust, addresses, endpoint, patience, deadline).await?;
    let mut wire = Wire::new(stream, patience, 1);
    let greeted = async {
        let greeting = wire.reply(deadline).await?;
        if greeting.is_ok() { Ok(greeting.words()) } else { Err(fault::greeting(&greeting)) }
    };
    probe.step("greeting", "", greeted, String::clone).await?;
    let mut offered = capabilities(probe, &mut wire, deadline).await?;
    if endpoint.tls == TlsMode::StartTls {
        if offered.as_ref().is_some_and(|lines| !lines.iter().any(|line| line.eq_ignore_ascii_case("STLS"))) {
            return Err(not_secure("the server does not offer STLS"));
        }
        let upgrade = async {
            let reply = wire.ask(Command::Stls, deadline).await?;
            if reply.is_ok() {
                Ok(reply.words())
            } else {
                Err(not_secure(&format!("the server refused STLS: {}", reply.words())))
            }
        };
        probe.step("start-tls", "STLS", upgrade, String::clone).await?;
        let stream = probe.protect(wire.into_stream(), trust, &endpoint.host, patience, deadline).await?;
        wire = Wire::new(stream, patience, 0);
        offered = capabilities(probe, &mut wire, deadline).await?;
    }
    drop(offered);
    let left = async { Ok(wire.ask(Command::Quit, deadline).await?.words()) };
    probe.step("quit", "QUIT", left, String::clone).await?;
    wire.close(CLOSING, deadline).await;
    Ok(())
}

/// What the server announces; `None` where it does not know the question.
async fn capabilities(probe: &mut Probe, wire: &mut Wire, deadline: &Deadline) -> Result<Option<Vec<String>>, Fault> {
    let asked = async {
        if !wire.ask(Command::Capa, deadline).await?.is_ok() {
            return Ok(None);
        }
        let mut lines: Vec<String> = Vec::new();
        wire.lines(512, deadline, |line| {
            if lines.len() >= MAX_LINES {
                return Err(fault::violation("the server announces capabilities without end"));
            }
            lines.push(String::from_utf8_lossy(line).trim().to_owned());
            Ok(())
        })
        .await?;
        Ok(Some(lines))
    };
    let words = |lines: &Option<Vec<String>>| {
        lines.as_ref().map_or_else(|| "the server does not tell".to_owned(), |lines| lines.join(", "))
    };
    probe.step("capabilities", "CAPA", asked, words).await
}
