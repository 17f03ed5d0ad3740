//! The certificates of the listeners, and where they come from.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use server::{Tls, TlsIdentity, TlsIdentityError};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::config::{self, Pem};

/// The TLS of one listener.
pub struct Certificate {
    /// The key of the configuration: `serve.public.tls`.
    key: &'static str,
    cert: Pem,
    private: Pem,
    /// The PEM files that are in use.
    digest: [u8; 32],
    tls: Tls,
}

impl Certificate {
    /// The TLS that `settings` ask for, which stand below `key`; `None` where the listener has none.
    ///
    /// # Errors
    /// Naming the key at fault, and what is wrong with the file that it names.
    pub fn load(settings: &config::Tls, key: &'static str) -> Result<Option<Self>> {
        let (Some(cert), Some(private)) = (&settings.cert, &settings.key) else { return Ok(None) };
        if !settings.enabled || !settings.allow_termination_from.is_empty() {
            return Ok(None);
        }
        let (identity, digest) = read(cert, private, key)?;
        let (cert, private) = (cert.clone(), private.clone());
        Ok(Some(Self { key, cert, private, digest, tls: Tls::new(&identity) }))
    }

    /// The TLS for the listener.
    pub fn tls(&self) -> &Tls {
        &self.tls
    }

    /// The files that it is read from.
    pub fn files(&self) -> Vec<PathBuf> {
        let path = |pem: &Pem| match pem {
            Pem::Path(path) => Some(path.clone()),
            Pem::Inline(_) => None,
        };
        [path(&self.cert), path(&self.private)].into_iter().flatten().collect()
    }

    /// Reads the files again; says whether they were others. What is wrong leaves the former certificate in use.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn reload(&mut self) -> Result<bool> {
        let (identity, digest) = read(&self.cert, &self.private, self.key)?;
        if digest == self.digest {
            return Ok(false);
        }
        self.tls.replace(&identity);
        self.digest = digest;
        Ok(true)
    }
}

fn read(cert: &Pem, private: &Pem, key: &str) -> Result<(TlsIdentity, [u8; 32])> {
    let (cert_name, private_name) = (named(key, "cert", cert), named(key, "key", private));
    let (cert, private) = (bytes(cert, &cert_name)?, bytes(private, &private_name)?);
    let identity = match TlsIdentity::from_pem(&cert, &private) {
        Ok(identity) => identity,
        Err(error @ TlsIdentityError::Certificate(_)) => bail!("{cert_name}: {error}"),
        Err(error @ (TlsIdentityError::Key(_) | TlsIdentityError::Mismatch)) => {
            bail!("{private_name}: {error}")
        }
    };
    let digest = Sha256::new().chain_update(Sha256::digest(&cert)).chain_update(Sha256::digest(&private));
    Ok((identity, digest.finalize().into()))
}

fn named(key: &str, part: &str, pem: &Pem) -> String {
    match pem {
        Pem::Path(path) => format!("{key}.{part}.path: {}", path.display()),
        Pem::Inline(_) => format!("{key}.{part}.base64"),
    }
}

fn bytes(pem: &Pem, name: &str) -> Result<Zeroizing<Vec<u8>>> {
    match pem {
        Pem::Path(path) => std::fs::read(path).map(Zeroizing::new).with_context(|| name.to_owned()),
        Pem::Inline(bytes) => Ok(bytes.clone()),
    }
}
