//! TLS with a certificate made at the start, by an authority made at the start.

use std::{net::IpAddr, sync::Arc};

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs::default_provider,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;

use crate::auth::ntlm;

/// What is needed to accept connections.
#[derive(Clone)]
pub struct Tls {
    /// Makes a stream of a socket.
    pub acceptor: TlsAcceptor,
    /// What binds NTLM to connections with this certificate.
    pub binding: [u8; 16],
    /// The authority, for clients to trust.
    pub authority_pem: String,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// Makes a certificate for an address and for `localhost`.
    ///
    /// # Errors
    /// When a certificate cannot be made.
    pub fn new(address: IpAddr) -> anyhow::Result<Self> {
        let mut authority = CertificateParams::new(Vec::new())?;
        // Two names, or clients take the one for signed by itself.
        authority.distinguished_name.push(DnType::CommonName, "exchange-sim authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let mut leaf = CertificateParams::new(vec!["localhost".to_owned(), address.to_string()])?;
        leaf.distinguished_name.push(DnType::CommonName, "exchange-sim");
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = leaf.signed_by(&key, &authority)?;
        let der = certificate.der().clone();
        let binding = ntlm::binding(&Sha256::digest(&der));
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![der], key)
            .context("the certificate does not fit its key")?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), binding, authority_pem: authority.pem() })
    }
}
