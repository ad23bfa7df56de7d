//! One connection with one account: opening it, sending over it message after message, and ending it.

use std::time::Duration;

use async_trait::async_trait;
use lockstep_connector::{
    AddressRules, BodyReader, Deadline, Delta, Envelope, HeaderBlocks, Known, Limits, PointOfNoReturn, RemoteHead,
    SendReceipt, Session, TlsTrust,
    net::stream::Stream,
    session::{Target, unsupported},
};
use lockstep_model::{
    fault::Fault,
    profile::TlsMode,
    remote::{Cursor, RemoteKey},
};
use tracing::debug;

use crate::{
    auth,
    codec::{command, ehlo::Extensions},
    fault::{self, Stage},
    link::Link,
    transaction::{self, Ending},
};

/// Longest wait for the server to close after QUIT: nothing depends on it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

const ONLY_SENDS: &str = "SMTP sends email and does nothing else";

/// An open SMTP session. The link is taken out while it is used and put back when the conversation is in step again,
/// so that a message broken off for whatever reason is never followed by anything on the same connection.
pub(crate) struct SmtpSession {
    link: Option<Link>,
    offered: Extensions,
    patience: Duration,
}

/// Connects, protects, greets and authenticates.
pub(crate) async fn open(
    trust: &TlsTrust,
    addresses: AddressRules,
    ehlo_name: &str,
    target: &Target,
    deadline: &Deadline,
) -> Result<SmtpSession, Fault> {
    let endpoint = &target.endpoint;
    let patience = target.request_timeout;
    let connected = deadline.run(patience, Stream::connect(addresses, &endpoint.host, endpoint.port)).await;
    let mut link = Link::new(connected.map_err(fault::before_greeting)??, patience);
    if endpoint.tls == TlsMode::Implicit {
        link = link.protect(trust, &endpoint.host, deadline).await?;
    }
    let greeting = link.reply(deadline).await?;
    if greeting.code != 220 {
        return Err(fault::of_reply(Stage::Greeting, &greeting));
    }
    let mut offered = ehlo(&mut link, ehlo_name, deadline).await?;
    if endpoint.tls == TlsMode::StartTls {
        link = upgrade(link, offered, trust, &endpoint.host, deadline).await?;
        offered = ehlo(&mut link, ehlo_name, deadline).await?;
    }
    link.greeted();
    auth::authenticate(&mut link, endpoint.auth, offered.auth, &target.credentials, deadline).await?;
    debug!(host = %endpoint.host, port = endpoint.port, ?offered, "SMTP session is open");
    Ok(SmtpSession { link: Some(link), offered, patience })
}

async fn ehlo(link: &mut Link, name: &str, deadline: &Deadline) -> Result<Extensions, Fault> {
    let reply = link.command(command::ehlo(name).as_bytes(), deadline).await?;
    if reply.code == 250 { Ok(Extensions::of(&reply)) } else { Err(fault::of_reply(Stage::Greeting, &reply)) }
}

async fn upgrade(
    mut link: Link,
    offered: Extensions,
    trust: &TlsTrust,
    host: &str,
    deadline: &Deadline,
) -> Result<Link, Fault> {
    if !offered.starttls {
        return Err(fault::no_starttls("the server does not offer STARTTLS; nothing was said unprotected"));
    }
    let reply = link.command(b"STARTTLS\r\n", deadline).await?;
    if reply.code != 220 {
        return Err(fault::no_starttls(&reply.words()));
    }
    link.protect(trust, host, deadline).await
}

#[async_trait]
impl Session for SmtpSession {
    async fn pull(&mut self, _: &Cursor, _: &dyn Known, _: Limits, _: &Deadline) -> Result<Delta, Fault> {
        Err(unsupported(ONLY_SENDS))
    }

    async fn headers(&mut self, _: &[RemoteHead], _: &Deadline) -> Result<HeaderBlocks, Fault> {
        Err(unsupported(ONLY_SENDS))
    }

    async fn fetch(&mut self, _: &RemoteHead, _: &Deadline) -> Result<BodyReader<'_>, Fault> {
        Err(unsupported(ONLY_SENDS))
    }

    async fn delete(&mut self, _: &[RemoteKey], _: &Deadline) -> Result<(), Fault> {
        Err(unsupported(ONLY_SENDS))
    }

    async fn send(
        &mut self,
        envelope: &Envelope,
        body: BodyReader<'_>,
        gate: &mut dyn PointOfNoReturn,
        deadline: &Deadline,
    ) -> Result<SendReceipt, Fault> {
        let mut link = self.link.take().ok_or_else(fault::conversation_over)?;
        let (result, ending) = transaction::run(&mut link, &self.offered, envelope, body, gate, deadline).await;
        let in_step = match ending {
            Ending::Complete => true,
            Ending::Open => link.command(b"RSET\r\n", deadline).await.is_ok_and(|reply| reply.is_done()),
            Ending::Broken => false,
        };
        if in_step {
            self.link = Some(link);
        }
        result
    }

    async fn close(self: Box<Self>, deadline: &Deadline) -> Result<(), Fault> {
        let Some(mut link) = self.link else { return Ok(()) };
        // The server is responsible for every message it has accepted, whether or not it answers to QUIT.
        let ended = match link.command(b"QUIT\r\n", deadline).await {
            Ok(_) => link.until_closed(self.patience.min(CLOSE_TIMEOUT), deadline).await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = ended {
            debug!(%fault, "the SMTP session did not end in order");
        }
        Ok(())
    }
}
