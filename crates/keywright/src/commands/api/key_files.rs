//! Keys in files, as JWKs.

use anyhow::{Context, Result, bail};
use jose::{Algorithm, ImportedKey, KeyDer};
use rustls::pki_types::pem::{PemObject, SectionKind};
use serde_json::{Value, json};

/// The keys of a file: a JWK, an array or a set of them, PEM with any number of keys, or one key in DER. `alg` and `use`
/// are for those that say neither. Each has a `kid`.
///
/// # Errors
/// Where there is no key that can be used; no message holds any of its bytes.
pub(super) fn read(bytes: &[u8], alg: Option<&str>, key_use: Option<&str>) -> Result<Vec<Value>> {
    if let Ok(json) = serde_json::from_slice::<Value>(bytes) {
        return jwks(json).into_iter().map(|jwk| completed(jwk, alg, key_use)).collect();
    }
    let algorithm = alg.map(str::parse::<Algorithm>).transpose().context("--alg")?;
    let keys = if bytes.windows(11).any(|window| window == b"-----BEGIN ") {
        pem(bytes, algorithm)?
    } else {
        vec![der(bytes, algorithm)?]
    };
    keys.iter().map(jwk).collect()
}

fn jwks(json: Value) -> Vec<Value> {
    match (json["keys"].is_array(), json) {
        (true, mut set) => set["keys"].as_array_mut().map(std::mem::take).unwrap_or_default(),
        (false, Value::Array(keys)) => keys,
        (false, jwk) => vec![jwk],
    }
}

/// The JWK with what it lacks, once it was found sound.
fn completed(mut jwk: Value, alg: Option<&str>, key_use: Option<&str>) -> Result<Value> {
    let members = jwk.as_object_mut().context("it is JSON, but no JWK and no set of JWKs")?;
    for (member, given) in [("alg", alg), ("use", key_use)] {
        if let Some(given) = given {
            members.entry(member).or_insert_with(|| json!(given));
        }
    }
    let key = ImportedKey::from_jwk(&jwk.to_string())?;
    if jwk["kid"].is_null() {
        jwk["kid"] = json!(key.key_id().as_str());
    }
    Ok(jwk)
}

fn pem(bytes: &[u8], algorithm: Option<Algorithm>) -> Result<Vec<ImportedKey>> {
    let mut keys = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes) {
        let (kind, der) = section.ok().context("it is no PEM file")?;
        let der = match kind {
            SectionKind::PrivateKey => KeyDer::Pkcs8(&der),
            SectionKind::RsaPrivateKey => KeyDer::Pkcs1(&der),
            SectionKind::EcPrivateKey => KeyDer::Sec1(&der),
            SectionKind::PublicKey => KeyDer::Spki(&der),
            _ => continue,
        };
        keys.push(ImportedKey::from_der(der, algorithm)?);
    }
    if keys.is_empty() {
        bail!(
            "it is PEM without a key: PRIVATE KEY, RSA PRIVATE KEY, EC PRIVATE KEY and PUBLIC KEY are read"
        );
    }
    Ok(keys)
}

/// DER does not say what it is; what it is not does not parse.
fn der(bytes: &[u8], algorithm: Option<Algorithm>) -> Result<ImportedKey> {
    let kinds = [KeyDer::Pkcs8(bytes), KeyDer::Pkcs1(bytes), KeyDer::Sec1(bytes), KeyDer::Spki(bytes)];
    let found = kinds.into_iter().find_map(|der| ImportedKey::from_der(der, algorithm).ok());
    found.context("it is none of a JWK, a JWK set, a key in PEM, a key in DER")
}

fn jwk(key: &ImportedKey) -> Result<Value> {
    Ok(match key.private() {
        Some(pair) => serde_json::from_str(&pair.to_jwk()?)?,
        None => serde_json::to_value(key.public_jwk())?,
    })
}

#[cfg(test)]
mod tests {
    use rcgen::KeyPair;

    use super::*;

    #[test]
    fn jwks_come_alone_in_sets_and_in_pem() {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let both = format!("a comment\n{}{}", pair.serialize_pem(), pair.public_key_pem());
        let [private, public] = &read(both.as_bytes(), None, None).unwrap()[..] else { panic!("{both}") };
        assert_eq!((&private["alg"], &private["kid"]), (&json!("ES256"), &public["kid"]));
        assert!(private["d"].is_string() && public["d"].is_null());
        assert_eq!(read(&pair.serialize_der(), None, None).unwrap(), std::slice::from_ref(private));
        for json in [private.clone(), json!([private]), json!({"keys": [private]})] {
            assert_eq!(read(json.to_string().as_bytes(), None, None).unwrap(), std::slice::from_ref(private));
        }
        let mut bare = public.clone();
        for member in ["alg", "kid", "use"] {
            bare.as_object_mut().unwrap().remove(member);
        }
        let text = bare.to_string();
        assert_eq!(&read(text.as_bytes(), Some("ES256"), Some("sig")).unwrap()[0], public);
        assert!(read(text.as_bytes(), None, None).unwrap_err().to_string().contains("no `alg`"));
    }

    #[test]
    fn what_holds_no_key_is_refused_and_not_repeated() {
        for (bytes, why) in [
            ("hush-hush", "it is none of"),
            ("\"hush-hush\"", "no JWK"),
            ("{\"kty\": \"oct\", \"k\": \"hush-hush\", \"alg\": \"HS256\"}", "symmetric"),
            ("-----BEGIN CERTIFICATE-----\naHVzaC1odXNo\n-----END CERTIFICATE-----\n", "PEM without a key"),
            ("-----BEGIN PRIVATE KEY-----\naHVzaC1odXNo\n-----END PRIVATE KEY-----\n", "unusable key"),
        ] {
            let error = format!("{:#}", read(bytes.as_bytes(), None, None).unwrap_err());
            assert!(error.contains(why) && !error.contains("hush"), "{bytes}: {error}");
        }
        assert!(read(b"x", Some("none"), None).unwrap_err().to_string().contains("--alg"));
    }
}
