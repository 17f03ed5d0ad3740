//! Keys in DER, as other programs keep them.

use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use pkcs8::der::asn1::{AnyRef, ObjectIdentifier};
use pkcs8::spki::SubjectPublicKeyInfoRef;

use crate::algorithm::{Curve, KeyType};
use crate::key_pair::{KeyPair, UNCOMPRESSED, ecdsa};
use crate::members::Members;
use crate::{Algorithm, Error, SigningAlgorithm, encoding};

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const CURVES: [(ObjectIdentifier, Curve); 3] = [
    (ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"), Curve::P256),
    (ObjectIdentifier::new_unwrap("1.3.132.0.34"), Curve::P384),
    (ObjectIdentifier::new_unwrap("1.3.132.0.35"), Curve::P521),
];

/// A key in DER, and how it is written.
#[derive(Clone, Copy)]
pub enum KeyDer<'a> {
    /// A private key (RFC 5208): `PRIVATE KEY` in PEM.
    Pkcs8(&'a [u8]),
    /// A private RSA key (RFC 8017 A.1.2): `RSA PRIVATE KEY` in PEM.
    Pkcs1(&'a [u8]),
    /// A private EC key (RFC 5915): `EC PRIVATE KEY` in PEM.
    Sec1(&'a [u8]),
    /// A public key (RFC 5280 §4.1): `PUBLIC KEY` in PEM.
    Spki(&'a [u8]),
}

/// Its members as a JWK has them, `alg` among them: `algorithm`, or what the kind of key suggests.
pub(crate) fn members(der: KeyDer<'_>, algorithm: Option<Algorithm>) -> Result<Members, Error> {
    let (mut members, key_type) = match der {
        KeyDer::Spki(der) => public(der)?,
        KeyDer::Pkcs8(der) => private(pkcs8_pair(der))?,
        KeyDer::Pkcs1(der) => private(RsaKeyPair::from_der(der).ok().map(KeyPair::Rsa))?,
        KeyDer::Sec1(der) => {
            private(any_curve(|curve| EcdsaKeyPair::from_private_key_der(ecdsa(curve), der).ok()))?
        }
    };
    members.alg = Some(algorithm.unwrap_or_else(|| usual(key_type)));
    Ok(members)
}

fn private(pair: Option<KeyPair>) -> Result<(Members, KeyType), Error> {
    let pair = pair.ok_or(Error::InvalidKey("not a private key of a supported kind in DER"))?;
    let key_type = match &pair {
        KeyPair::Rsa(_) => KeyType::Rsa,
        KeyPair::Ec(_, curve) => KeyType::Ec(*curve),
        KeyPair::Ed25519(_) => KeyType::Ed25519,
    };
    Ok((pair.to_members()?, key_type))
}

fn pkcs8_pair(der: &[u8]) -> Option<KeyPair> {
    let rsa = || RsaKeyPair::from_pkcs8(der).ok().map(KeyPair::Rsa);
    let ec = || any_curve(|curve| EcdsaKeyPair::from_pkcs8(ecdsa(curve), der).ok());
    // Many programs write no public half beside the private one.
    let ed25519 = || Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok().map(KeyPair::Ed25519);
    rsa().or_else(ec).or_else(ed25519)
}

fn any_curve(read: impl Fn(Curve) -> Option<EcdsaKeyPair>) -> Option<KeyPair> {
    CURVES.iter().find_map(|(_, curve)| Some(KeyPair::Ec(read(*curve)?, *curve)))
}

fn public(der: &[u8]) -> Result<(Members, KeyType), Error> {
    const UNUSABLE: Error = Error::InvalidKey("not a public key of a supported kind in DER");
    let info = SubjectPublicKeyInfoRef::try_from(der).map_err(|_| UNUSABLE)?;
    let key = info.subject_public_key.as_bytes().ok_or(UNUSABLE)?;
    let mut members = Members::default();
    let key_type = match info.algorithm.oid {
        RSA => {
            let key = pkcs1::RsaPublicKey::try_from(key).map_err(|_| UNUSABLE)?;
            "RSA".clone_into(&mut members.kty);
            members.n = Some(encoding::encode(key.modulus.as_bytes()));
            members.e = Some(encoding::encode(key.public_exponent.as_bytes()));
            KeyType::Rsa
        }
        EC => {
            let named = info.algorithm.parameters.map(AnyRef::decode_as::<ObjectIdentifier>);
            let curve = CURVES.iter().find(|(oid, _)| named == Some(Ok(*oid))).ok_or(UNUSABLE)?.1;
            let point = key.strip_prefix(&[UNCOMPRESSED]).ok_or(UNUSABLE)?;
            let (x, y) = point.split_at_checked(curve.field_len()).ok_or(UNUSABLE)?;
            "EC".clone_into(&mut members.kty);
            members.crv = Some(curve.to_string());
            (members.x, members.y) = (Some(encoding::encode(x)), Some(encoding::encode(y)));
            KeyType::Ec(curve)
        }
        ED25519 => {
            "OKP".clone_into(&mut members.kty);
            members.crv = Some("Ed25519".to_owned());
            members.x = Some(encoding::encode(key));
            KeyType::Ed25519
        }
        _ => return Err(UNUSABLE),
    };
    Ok((members, key_type))
}

/// What such a key commonly signs with.
fn usual(key_type: KeyType) -> Algorithm {
    Algorithm::Signing(match key_type {
        KeyType::Rsa => SigningAlgorithm::Rs256,
        KeyType::Ec(Curve::P256) => SigningAlgorithm::Es256,
        KeyType::Ec(Curve::P384) => SigningAlgorithm::Es384,
        KeyType::Ec(Curve::P521) => SigningAlgorithm::Es512,
        KeyType::Ed25519 => SigningAlgorithm::EdDsa,
    })
}
