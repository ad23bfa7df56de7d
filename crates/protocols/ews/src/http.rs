//! One HTTP/1.1 connection with a server: requests one after the other, bodies in pieces both ways. Logins such as NTLM
//! belong to the connection, so nothing here opens a second one by itself, nor follows a redirect.

mod body;
mod certificate;

use std::time::Duration;

use hyper::{
    Method, Request, Response, Uri,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header::{HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use lockstep_connector::{AddressRules, Deadline, TlsTrust, net::stream::Stream};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    profile::{Endpoint, TlsMode},
};
use tokio::task::JoinHandle;

pub(crate) use body::{Outgoing, Pieces};

use crate::{PATH, fault, ntlm};

/// Longest wait for the connection to end when it is closed in order.
const CLOSING: Duration = Duration::from_secs(2);
/// Largest head of an answer.
const MAX_HEAD: usize = 64 * 1024;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Protection; anything but plain is TLS from the first byte.
    pub tls: TlsMode,
    /// Path of the endpoint.
    pub path: String,
}

impl Place {
    /// An endpoint's.
    pub fn of(endpoint: &Endpoint) -> Self {
        Self {
            host: endpoint.host.clone(),
            port: endpoint.port,
            tls: endpoint.tls,
            path: endpoint.path.clone().unwrap_or_else(|| PATH.to_owned()),
        }
    }

    /// The value of the `Host` header.
    pub(crate) fn authority(&self) -> String {
        let usual = if self.tls == TlsMode::Plain { 80 } else { 443 };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Link {
    sender: SendRequest<Outgoing>,
    driver: Option<JoinHandle<()>>,
    /// The hash of the channel's bindings, where there is TLS.
    pub(crate) binding: Option<[u8; 16]>,
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.abort();
        }
    }
}

impl Link {
    /// Connects and protects.
    pub(crate) async fn open(
        trust: &TlsTrust,
        addresses: AddressRules,
        place: &Place,
        patience: Duration,
        deadline: &Deadline,
    ) -> Result<Self, Fault> {
        let connected = deadline.run(patience, Stream::connect(addresses, &place.host, place.port)).await;
        let mut stream = connected.map_err(fault::before_first_answer)??;
        if place.tls != TlsMode::Plain {
            let protected = deadline.run(patience, stream.protect(trust, &place.host)).await;
            stream = protected.map_err(fault::before_first_answer)??;
        }
        Self::over(stream).await
    }

    /// Speaks HTTP over a connected stream.
    pub(crate) async fn over(stream: Stream) -> Result<Self, Fault> {
        let binding = match &stream {
            Stream::Plain(_) => None,
            Stream::Tls(tls) => {
                let certificates = tls.get_ref().1.peer_certificates().unwrap_or_default();
                certificates.first().map(|certificate| ntlm::binding(&certificate::hash(certificate)))
            }
        };
        let mut builder = http1::Builder::new();
        builder.max_buf_size(MAX_HEAD).max_headers(200);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(|error| {
            Fault::new(FaultScope::Profile, FaultClass::Unreachable, "ConnectionLost", error.to_string())
        })?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an HTTP connection ended");
            }
        });
        Ok(Self { sender, driver: Some(driver), binding })
    }

    /// Whether another request can be sent. Waits for the answer before to be read to its end.
    pub(crate) async fn is_ready(&mut self) -> bool {
        !self.sender.is_closed() && self.sender.ready().await.is_ok()
    }

    /// Begins a request; the future ends with the head of the answer.
    pub(crate) fn send(
        &mut self,
        place: &Place,
        headers: &[(HeaderName, HeaderValue)],
        body: Outgoing,
    ) -> Result<impl Future<Output = Result<Response<Incoming>, hyper::Error>> + Send + use<>, Fault> {
        let unsayable = |what: &str| fault::mailbox(FaultClass::Refused, "UnusableCredentials", what).local();
        let uri: Uri = place.path.parse().map_err(|_| unsayable("the path of the endpoint cannot be asked for"))?;
        let host = HeaderValue::from_str(&place.authority()).map_err(|_| unsayable("the host is no host name"))?;
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        let fields = request.headers_mut();
        fields.insert(hyper::header::HOST, host);
        for (name, value) in headers {
            fields.append(name, value.clone());
        }
        Ok(self.sender.send_request(request))
    }

    /// Ends the connection and waits, within a bound, until it has ended.
    pub(crate) async fn close(mut self) {
        let Some(driver) = self.driver.take() else { return };
        let abort = driver.abort_handle();
        // Without a sender there is nothing left to drive.
        drop(self);
        if tokio::time::timeout(CLOSING, driver).await.is_err() {
            abort.abort();
        }
    }
}
