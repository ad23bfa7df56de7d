//! Which certificates are trusted, and the upgrade of a socket to TLS.

use std::{path::Path, sync::Arc};

use lockstep_model::fault::{Fault, FaultClass, FaultScope};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// The certificates a server's certificate may descend from: the machine's own and the deployment's additional CAs.
#[derive(Clone)]
pub struct TlsTrust {
    config: Arc<ClientConfig>,
}

impl TlsTrust {
    /// The machine's trust plus the CAs in this PEM file.
    ///
    /// # Errors
    /// A sentence for the administrator when the file cannot be read or holds no certificate.
    pub fn load(additional_ca: Option<&Path>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        let native = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(native.certs);
        if let Some(path) = additional_ca {
            let certificates = CertificateDer::pem_file_iter(path)
                .and_then(|found| found.collect::<Result<Vec<_>, _>>())
                .map_err(|error| format!("{}: {error}; expected a file of PEM certificates", path.display()))?;
            let (added, _) = roots.add_parsable_certificates(certificates);
            if added == 0 {
                return Err(format!("{}: holds no certificate; expected PEM CERTIFICATE blocks", path.display()));
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { config: Arc::new(config) })
    }

    /// The same trust for a client that makes its own connections.
    pub fn client_config(&self) -> ClientConfig {
        ClientConfig::clone(&self.config)
    }

    /// Protects a connected socket. The certificate must be valid for `host`.
    ///
    /// # Errors
    /// A profile fault `SecureConnectionFailed` with the reason.
    pub async fn protect(&self, socket: TcpStream, host: &str) -> Result<TlsStream<TcpStream>, Fault> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| failed(host, "the server location is not a host name or address"))?;
        TlsConnector::from(Arc::clone(&self.config))
            .connect(name, socket)
            .await
            .map_err(|error| failed(host, &error.to_string()))
    }
}

fn failed(host: &str, why: &str) -> Fault {
    let message = format!("no secure connection to {host}: {why}");
    Fault::new(FaultScope::Profile, FaultClass::Unreachable, "SecureConnectionFailed", message)
}
