//! TLS on a listener: its certificate, which may be replaced while it listens.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::TlsAcceptor;

/// A certificate with the chain above it, and its private key.
#[derive(Clone)]
pub struct TlsIdentity(Arc<CertifiedKey>);

/// Why there is no identity. No text holds anything of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsIdentityError {
    /// There is no certificate that can be used.
    #[error("{0}")]
    Certificate(String),
    /// There is no private key that can be used.
    #[error("{0}")]
    Key(String),
    /// The private key is another certificate's.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
}

impl TlsIdentity {
    /// Reads the certificate, the chain above it behind it, and the private key (PKCS#8, PKCS#1 or SEC1), all in PEM.
    ///
    /// # Errors
    /// [`TlsIdentityError`]
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, TlsIdentityError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
        let chain = chain.map_err(|_| TlsIdentityError::Certificate("it is no PEM".to_owned()))?;
        if chain.is_empty() {
            return Err(TlsIdentityError::Certificate("it holds no certificate in PEM".to_owned()));
        }
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| TlsIdentityError::Key("it holds no private key in PEM".to_owned()))?;
        let provider = aws_lc_rs::default_provider();
        let certified = CertifiedKey::from_der(chain, key, &provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => TlsIdentityError::Mismatch,
            rustls::Error::InvalidCertificate(_) => {
                TlsIdentityError::Certificate("its first certificate cannot be read".to_owned())
            }
            _ => TlsIdentityError::Key("its key is of no supported kind: RSA, ECDSA or Ed25519".to_owned()),
        })?;
        Ok(Self(Arc::new(certified)))
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity").field("certificates", &self.0.cert.len()).finish_non_exhaustive()
    }
}

/// TLS 1.2 and 1.3 of one listener, with HTTP/2 where the client knows it (ALPN). Clones are one.
#[derive(Clone)]
pub struct Tls(Arc<ArcSwap<ServerConfig>>);

impl Tls {
    /// TLS with an identity.
    pub fn new(identity: &TlsIdentity) -> Self {
        Self(Arc::new(ArcSwap::from(config(identity))))
    }

    /// Presents another identity from the next handshake on, also to clients that would resume a former session.
    /// Connections that are open are not disturbed.
    pub fn replace(&self, identity: &TlsIdentity) {
        self.0.store(config(identity));
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.load_full())
    }
}

fn config(identity: &TlsIdentity) -> Arc<ServerConfig> {
    #[expect(clippy::expect_used, reason = "the provider is fixed, and every test uses it")]
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs has suites for TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&identity.0))));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}
