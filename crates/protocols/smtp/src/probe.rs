//! A look at a submission server without an account.

use std::time::Duration;

use lockstep_connector::{AddressRules, Deadline, Probe, TlsTrust};
use lockstep_model::{
    fault::Fault,
    profile::{Endpoint, TlsMode},
};

use crate::{
    codec::{command, ehlo::Extensions, reply::Reply},
    fault::{self, Stage},
    link::Link,
};

/// Connects, protects, hears the greeting and the extensions, and leaves.
pub(crate) async fn look(
    trust: &TlsTrust,
    addresses: AddressRules,
    ehlo_name: &str,
    endpoint: &Endpoint,
    patience: Duration,
    deadline: &Deadline,
) -> Probe {
    let mut probe = Probe::default();
    let done = steps(&mut probe, trust, addresses, ehlo_name, endpoint, patience, deadline).await;
    probe.ended(done.map_err(fault::before_greeting))
}

async fn steps(
    probe: &mut Probe,
    trust: &TlsTrust,
    addresses: AddressRules,
    ehlo_name: &str,
    endpoint: &Endpoint,
    patience: Duration,
    deadline: &Deadline,
) -> Result<(), Fault> {
    let stream = probe.reach(trust, addresses, endpoint, patience, deadline).await?;
    let mut link = Link::new(stream, patience);
    let greeted = async {
        let greeting = link.reply(deadline).await?;
        if greeting.code == 220 { Ok(greeting) } else { Err(fault::of_reply(Stage::Greeting, &greeting)) }
    };
    probe.step("greeting", "", greeted, all).await?;
    let offered = ehlo(probe, &mut link, ehlo_name, deadline).await?;
    if endpoint.tls == TlsMode::StartTls {
        if !offered.starttls {
            return Err(fault::no_starttls("the server does not offer STARTTLS"));
        }
        let upgrade = async {
            let reply = link.command(b"STARTTLS\r\n", deadline).await?;
            if reply.code == 220 { Ok(reply) } else { Err(fault::no_starttls(&reply.words())) }
        };
        probe.step("start-tls", "STARTTLS", upgrade, all).await?;
        let protected = link.protect(trust, &endpoint.host, deadline);
        link = probe.step("tls", &endpoint.host, protected, |_| "protected".to_owned()).await?;
        ehlo(probe, &mut link, ehlo_name, deadline).await?;
    }
    let left = link.command(b"QUIT\r\n", deadline);
    probe.step("quit", "QUIT", left, all).await?;
    Ok(())
}

async fn ehlo(probe: &mut Probe, link: &mut Link, name: &str, deadline: &Deadline) -> Result<Extensions, Fault> {
    let line = command::ehlo(name);
    let asked = async {
        let reply = link.command(line.as_bytes(), deadline).await?;
        if reply.code == 250 { Ok(reply) } else { Err(fault::of_reply(Stage::Greeting, &reply)) }
    };
    let reply = probe.step("capabilities", line.trim_end(), asked, all).await?;
    Ok(Extensions::of(&reply))
}

/// Every line of a reply.
fn all(reply: &Reply) -> String {
    format!("{} {}", reply.code, reply.lines.join(", "))
}
