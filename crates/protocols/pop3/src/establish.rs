//! From a target to a session that is logged in: connect, protect, greet, learn what the server can do, log in.

use lockstep_connector::{AddressRules, Deadline, Target, TlsTrust, net::stream::Stream};
use lockstep_model::{
    fault::{Fault, FaultClass},
    profile::TlsMode,
};

use crate::{
    auth,
    codec::{
        capa::{Capabilities, MAX_LINES},
        command::Command,
    },
    conversation::Conversation,
    fault,
    wire::Wire,
};

/// Opens the conversation.
pub(crate) async fn establish(
    trust: &TlsTrust,
    addresses: AddressRules,
    target: &Target,
    deadline: &Deadline,
) -> Result<Conversation, Fault> {
    auth::check(&target.credentials)?;
    let mut wire = connect(trust, addresses, target, deadline).await.map_err(fault::before_greeting)?;
    let capabilities = capa(&mut wire, deadline).await?;
    if target.endpoint.tls != TlsMode::Plain && !wire.is_protected() {
        return Err(not_secure("the connection is not protected; nothing secret was said"));
    }
    auth::login(&mut wire, &capabilities, target.endpoint.auth, &target.credentials, deadline).await?;
    // Some servers offer more to those who are logged in. One that does not know CAPA is not asked again.
    let capabilities = if capabilities.announced {
        let now = capa(&mut wire, deadline).await?;
        if now.announced { now } else { capabilities }
    } else {
        capabilities
    };
    tracing::debug!(
        host = target.endpoint.host,
        port = target.endpoint.port,
        protected = wire.is_protected(),
        pipelining = capabilities.pipelining,
        "POP3 session opened"
    );
    Ok(Conversation::new(wire, capabilities))
}

/// Up to the point where the server has greeted over the wanted protection. What it announced before an upgrade to
/// TLS is forgotten: anybody could have said it.
async fn connect(
    trust: &TlsTrust,
    addresses: AddressRules,
    target: &Target,
    deadline: &Deadline,
) -> Result<Wire, Fault> {
    let endpoint = &target.endpoint;
    let at_most = target.request_timeout;
    let mut stream = deadline.run(at_most, Stream::connect(addresses, &endpoint.host, endpoint.port)).await??;
    if endpoint.tls == TlsMode::Implicit {
        stream = deadline.run(at_most, stream.protect(trust, &endpoint.host)).await??;
    }
    let mut wire = Wire::new(stream, at_most, 1);
    let greeting = wire.reply(deadline).await?;
    if !greeting.is_ok() {
        return Err(fault::greeting(&greeting));
    }
    if endpoint.tls != TlsMode::StartTls {
        return Ok(wire);
    }
    let offered = capa(&mut wire, deadline).await?;
    if offered.announced && !offered.stls {
        return Err(not_secure("the server does not offer STLS"));
    }
    let reply = wire.ask(Command::Stls, deadline).await?;
    if !reply.is_ok() {
        return Err(not_secure(&format!("the server refused STLS: {}", reply.words())));
    }
    let stream = deadline.run(at_most, wire.into_stream().protect(trust, &endpoint.host)).await??;
    Ok(Wire::new(stream, at_most, 0))
}

async fn capa(wire: &mut Wire, deadline: &Deadline) -> Result<Capabilities, Fault> {
    let mut capabilities = Capabilities::default();
    if !wire.ask(Command::Capa, deadline).await?.is_ok() {
        return Ok(capabilities);
    }
    capabilities.announced = true;
    let mut lines = 0;
    wire.lines(512, deadline, |line| {
        lines += 1;
        if lines > MAX_LINES {
            return Err(fault::violation("the server announces capabilities without end"));
        }
        capabilities.add(line);
        Ok(())
    })
    .await?;
    Ok(capabilities)
}

pub(crate) fn not_secure(why: &str) -> Fault {
    fault::profile(FaultClass::Unreachable, "SecureConnectionFailed", why)
}
