//! A connected socket, plain or protected.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use lockstep_model::fault::{Fault, FaultClass, FaultScope};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use crate::net::tls::TlsTrust;

/// A connection to a mail server.
#[derive(Debug)]
pub enum Stream {
    /// Not protected.
    Plain(TcpStream),
    /// Protected by TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Connects, without TLS. Small writes are sent at once (`TCP_NODELAY`): line protocols wait for each answer.
    ///
    /// # Errors
    /// A profile fault `HostNotFound` or `ConnectFailure`.
    pub async fn connect(host: &str, port: u16) -> Result<Self, Fault> {
        let unreachable = |code: &str, why: String| {
            Fault::new(FaultScope::Profile, FaultClass::Unreachable, code, format!("{host}:{port}: {why}"))
        };
        let addresses: Vec<_> = tokio::net::lookup_host((host, port))
            .await
            .map_err(|error| unreachable("HostNotFound", error.to_string()))?
            .take(8)
            .collect();
        let mut last = unreachable("HostNotFound", "the name has no address".to_owned());
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(socket) => {
                    socket.set_nodelay(true).map_err(|error| unreachable("ConnectFailure", error.to_string()))?;
                    return Ok(Self::Plain(socket));
                }
                Err(error) => last = unreachable("ConnectFailure", error.to_string()),
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
