//! TLS for tests: a client that trusts one authority, and a server identity made on the spot.

use std::{path::Path, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::aws_lc_rs::default_provider};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};

/// A client that trusts the authority in a PEM file (see [`crate::Services::ca_file`]) and nobody else.
pub fn client_trusting(ca_file: &Path) -> Arc<ClientConfig> {
    match CertificateDer::from_pem_file(ca_file) {
        Ok(authority) => client(authority),
        Err(error) => panic!("{}: {error}", ca_file.display()),
    }
}

fn client(authority: CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    if let Err(error) = roots.add(authority) {
        panic!("not an authority: {error}");
    }
    match ClientConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions() {
        Ok(builder) => Arc::new(builder.with_root_certificates(roots).with_no_client_auth()),
        Err(error) => panic!("TLS client: {error}"),
    }
}

/// A certificate with its key, and the authority that signed it.
///
/// An authority and a leaf, since rustls refuses a CA certificate shown by a server.
pub struct ServerIdentity {
    authority_pem: String,
    authority: CertificateDer<'static>,
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl ServerIdentity {
    /// Makes an identity for these names and addresses (`localhost`, `127.0.0.1`).
    pub fn new(names: &[&str]) -> Self {
        Self::build(names).unwrap_or_else(|error| panic!("certificate: {error}"))
    }

    fn build(names: &[&str]) -> Result<Self, rcgen::Error> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut leaf = CertificateParams::new(names)?;
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = leaf.signed_by(&key, &authority)?;
        Ok(Self {
            authority_pem: authority.pem(),
            authority: authority.der().clone(),
            certificate: certificate.der().clone(),
            key,
        })
    }

    /// The authority in PEM, to hand to a client under test.
    pub fn authority_pem(&self) -> &str {
        &self.authority_pem
    }

    /// A client that trusts this authority and nobody else.
    pub fn client(&self) -> Arc<ClientConfig> {
        client(self.authority.clone())
    }

    /// A server that shows this certificate.
    pub fn server(&self) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![self.certificate.clone()], key));
        match config {
            Ok(config) => Arc::new(config),
            Err(error) => panic!("TLS server: {error}"),
        }
    }
}
