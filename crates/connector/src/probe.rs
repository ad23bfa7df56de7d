//! A look at a server without an account: whether it is there, protected as wanted, and speaks the protocol.

use std::time::Duration;

use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    profile::{Endpoint, TlsMode},
    text,
};
use tokio::time::Instant;

use crate::{
    deadline::Deadline,
    net::{address::AddressRules, stream::Stream, tls::TlsTrust},
};

/// Longest record of what a server said in one step, in bytes.
const MAX_SAID: usize = 500;

/// One step of a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeStep {
    /// `resolve`, `connect`, `tls`, `greeting`, or what a protocol adds.
    pub name: &'static str,
    /// What was asked, where something was. Never a secret: nobody logs in.
    pub asked: String,
    /// What was answered, sanitised and cut.
    pub said: String,
    /// How long it took.
    pub took: Duration,
}

/// A look, as far as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probe {
    /// The steps that were taken, in order; the last one may have failed.
    pub steps: Vec<ProbeStep>,
    /// What ended it early.
    pub fault: Option<Fault>,
}

impl Probe {
    /// Takes a step and notes it; what it said is its result's, by `words`, or its fault's.
    ///
    /// # Errors
    /// The step's fault, for whoever goes on to note it with [`Probe::ended`].
    pub async fn step<T>(
        &mut self,
        name: &'static str,
        asked: &str,
        work: impl Future<Output = Result<T, Fault>>,
        words: impl FnOnce(&T) -> String,
    ) -> Result<T, Fault> {
        let begun = Instant::now();
        let done = work.await;
        let said = match &done {
            Ok(done) => words(done),
            Err(fault) => fault.message.clone(),
        };
        let (asked, said) = (text::line(asked, MAX_SAID), text::line(&said, MAX_SAID));
        self.steps.push(ProbeStep { name, asked, said, took: begun.elapsed() });
        done
    }

    /// The look, with what ended it.
    #[must_use]
    pub fn ended(self, done: Result<(), Fault>) -> Self {
        Self { fault: done.err(), ..self }
    }

    /// Resolves the name, connects, and protects the connection where TLS begins with the first byte.
    ///
    /// # Errors
    /// What the network or the certificate is at fault for.
    pub async fn reach(
        &mut self,
        trust: &TlsTrust,
        rules: AddressRules,
        endpoint: &Endpoint,
        patience: Duration,
        deadline: &Deadline,
    ) -> Result<Stream, Fault> {
        let (host, port) = (endpoint.host.as_str(), endpoint.port);
        let asked = format!("{host}:{port}");
        let resolved = async {
            let found = deadline.run(patience, tokio::net::lookup_host((host, port))).await?;
            let found = found.map_err(|error| {
                let message = format!("{asked}: {error}");
                Fault::new(FaultScope::Profile, FaultClass::Unreachable, "HostNotFound", message)
            })?;
            Ok(found.map(|address| address.ip().to_string()).collect::<Vec<_>>())
        };
        self.step("resolve", host, resolved, |addresses| addresses.join(" ")).await?;
        let connected = async { deadline.run(patience, Stream::connect(rules, host, port)).await? };
        let stream = self.step("connect", &asked, connected, |_| "connected".to_owned()).await?;
        if endpoint.tls != TlsMode::Implicit {
            return Ok(stream);
        }
        self.protect(stream, trust, host, patience, deadline).await
    }

    /// Protects a connection.
    ///
    /// # Errors
    /// `SecureConnectionFailed`, or the deadline's.
    pub async fn protect(
        &mut self,
        stream: Stream,
        trust: &TlsTrust,
        host: &str,
        patience: Duration,
        deadline: &Deadline,
    ) -> Result<Stream, Fault> {
        let protected = async { deadline.run(patience, stream.protect(trust, host)).await? };
        self.step("tls", host, protected, |_| "protected; the certificate is valid for this name".to_owned()).await
    }
}
