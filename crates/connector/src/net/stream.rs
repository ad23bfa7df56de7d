//! A connected socket, plain or protected.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use lockstep_model::fault::{Fault, FaultClass, FaultScope};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use crate::net::{address::AddressRules, tls::TlsTrust};

/// Most addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;

/// A connection to a mail server.
#[derive(Debug)]
pub enum Stream {
    /// Not protected.
    Plain(TcpStream),
    /// Protected by TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Connects, without TLS, to the first address of `host` that answers. Its name is resolved once, each address is
    /// judged, and the connection goes to that very address: a name that means something else a moment later changes
    /// nothing. Small writes are sent at once (`TCP_NODELAY`): line protocols wait for each answer.
    ///
    /// # Errors
    /// A profile fault `HostNotFound`, `AddressNotAllowed` or `ConnectFailure`.
    pub async fn connect(rules: AddressRules, host: &str, port: u16) -> Result<Self, Fault> {
        let resolved: Vec<_> = tokio::net::lookup_host((host, port))
            .await
            .map_err(|error| unreachable("HostNotFound", host, port, &error.to_string()))?
            .collect();
        Self::connect_to(resolved, rules, host, port).await
    }

    async fn connect_to(resolved: Vec<SocketAddr>, rules: AddressRules, host: &str, port: u16) -> Result<Self, Fault> {
        let mut last = unreachable("HostNotFound", host, port, "the name has no address");
        let mut tried = 0;
        for address in resolved {
            if let Some(why) = rules.refuse(address.ip()) {
                if tried == 0 {
                    let message = format!("{host}:{port}: {} is {why}", address.ip());
                    last = Fault::new(FaultScope::Profile, FaultClass::Refused, "AddressNotAllowed", message);
                }
                continue;
            }
            tried += 1;
            if tried > MAX_ADDRESSES {
                break;
            }
            match TcpStream::connect(address).await {
                Ok(socket) => {
                    let nodelay = socket.set_nodelay(true);
                    nodelay.map_err(|error| unreachable("ConnectFailure", host, port, &error.to_string()))?;
                    return Ok(Self::Plain(socket));
                }
                Err(error) => last = unreachable("ConnectFailure", host, port, &error.to_string()),
            }
        }
        Err(last)
    }

    /// The same connection, protected. A protected one stays as it is.
    ///
    /// # Errors
    /// A profile fault `SecureConnectionFailed`.
    pub async fn protect(self, trust: &TlsTrust, host: &str) -> Result<Self, Fault> {
        match self {
            Self::Plain(socket) => Ok(Self::Tls(Box::new(trust.protect(socket, host).await?))),
            protected @ Self::Tls(_) => Ok(protected),
        }
    }

    /// Whether TLS protects it.
    pub fn is_protected(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

fn unreachable(code: &str, host: &str, port: u16, why: &str) -> Fault {
    Fault::new(FaultScope::Profile, FaultClass::Unreachable, code, format!("{host}:{port}: {why}"))
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(socket) => Pin::new(socket).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::Tls(socket) => Pin::new(socket).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(socket) => Pin::new(socket).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const OPEN: AddressRules = AddressRules { allow_private: true };
    const CLOSED: AddressRules = AddressRules { allow_private: false };

    fn kind(result: Result<Stream, Fault>) -> Result<(), (String, FaultScope)> {
        result.map(|_| ()).map_err(|fault| (fault.code, fault.scope))
    }

    fn refused() -> Result<(), (String, FaultScope)> {
        Err(("AddressNotAllowed".to_owned(), FaultScope::Profile))
    }

    /// The text of a name says nothing: what it resolves to is judged.
    #[tokio::test]
    async fn a_name_is_judged_by_what_it_resolves_to() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(kind(Stream::connect(CLOSED, "localhost", port).await), refused());
        assert_eq!(kind(Stream::connect(OPEN, "localhost", port).await), Ok(()));
        assert_eq!(kind(Stream::connect(CLOSED, "127.0.0.1", port).await), refused());
        // Resolvers read these as 169.254.169.254.
        for host in ["169.254.169.254", "0xa9fea9fe", "2852039166"] {
            assert_eq!(kind(Stream::connect(OPEN, host, port).await), refused(), "{host}");
        }
    }

    /// Of several addresses only those that may be are tried.
    #[tokio::test]
    async fn refused_addresses_are_never_connected_to() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let allowed = listener.local_addr().unwrap();
        let inner: SocketAddr = "169.254.169.254:1".parse().unwrap();
        let connected = Stream::connect_to(vec![inner, allowed], OPEN, "mail.example", allowed.port()).await.unwrap();
        let Stream::Plain(socket) = connected else { return };
        assert_eq!(socket.peer_addr().unwrap(), allowed);
        assert_eq!(kind(Stream::connect_to(vec![inner, allowed], CLOSED, "mail.example", 1).await), refused());
        let fault = Stream::connect_to(vec![], OPEN, "mail.example", 1).await.unwrap_err();
        assert_eq!(fault.code, "HostNotFound");
        drop(listener);
        let fault = Stream::connect_to(vec![allowed, inner], OPEN, "mail.example", 1).await.unwrap_err();
        assert_eq!(fault.code, "ConnectFailure", "what was tried tells more than what was not");
    }
}
