//! `serve.….tls`: TLS on a listener.

use std::fmt;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use serde_json::Value;
use zeroize::Zeroizing;

use super::reader::{Expected, Reader, plain, text};

/// `tls` of a listener, or of all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Whether it is to be used.
    pub enabled: bool,
    /// The networks of proxies that end TLS; where there are any, the listener itself has none.
    pub allow_termination_from: Vec<IpNet>,
    /// The certificate, and the chain above it.
    pub cert: Option<Pem>,
    /// The private key.
    pub key: Option<Pem>,
}

/// A PEM file.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// Where it is.
    Path(PathBuf),
    /// What it holds.
    Inline(Zeroizing<Vec<u8>>),
}

/// What it holds is not shown.
impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Self::Inline(_) => f.write_str("Inline"),
        }
    }
}

/// Reads the keys below `key`.
pub(super) fn read(r: &mut Reader<'_>, key: &str) -> Tls {
    let tls = Tls {
        enabled: r.setting(&format!("{key}.enabled"), plain),
        allow_termination_from: r
            .optional(&format!("{key}.allow_termination_from"), networks)
            .unwrap_or_default(),
        cert: pem(r, &format!("{key}.cert")),
        key: pem(r, &format!("{key}.key")),
    };
    if tls.enabled && tls.allow_termination_from.is_empty() {
        for (part, missing) in [("cert", tls.cert.is_none()), ("key", tls.key.is_none())] {
            let name = format!("{key}.{part}");
            if missing && !r.has_problem(&name) {
                let message = format!(
                    "missing; {key}.enabled needs {name}.path or {name}.base64, unless {key}.allow_termination_from \
                     names the proxies that end TLS"
                );
                r.problem(&name, message);
            }
        }
    }
    tls
}

fn pem(r: &mut Reader<'_>, key: &str) -> Option<Pem> {
    let path = r.optional(&format!("{key}.path"), plain).map(Pem::Path);
    let inline = r.optional(&format!("{key}.base64"), inline);
    path.or(inline)
}

fn inline(value: &Value) -> Result<Pem, Expected> {
    let text: String = text(value)?.split_whitespace().collect();
    let bytes = STANDARD.decode(text).map_err(|_| Expected::from("a PEM file in base64"))?;
    Ok(Pem::Inline(Zeroizing::new(bytes)))
}

fn networks(value: &Value) -> Result<Vec<IpNet>, Expected> {
    let texts: Vec<String> = plain(value)?;
    let networks = texts.iter().map(|text| text.parse()).collect::<Result<_, _>>();
    networks.map_err(|_| "a list of address ranges, such as 10.0.0.0/8 or fd00::/8".into())
}
