//! A key pair inside the cryptographic library, and the way between it and JWK members.

use aws_lc_rs::{
    encoding::{AsBigEndian, AsDer, Curve25519SeedBin, EcPrivateKeyBin, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::{KeyPairComponents, KeySize, PublicKeyComponents},
    signature::{
        self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaEncoding, RsaKeyPair,
    },
};

use crate::{
    Error, RsaBits, SigningAlgorithm,
    algorithm::{Curve, KeyType},
    encoding,
    members::{self, Members, Secret},
};

/// The library owns the private numbers and wipes them when it frees them.
pub(crate) enum KeyPair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair, Curve),
    Ed25519(Ed25519KeyPair),
}

impl KeyPair {
    pub(crate) fn generate(key_type: KeyType, bits: RsaBits) -> Result<Self, Error> {
        const FAILED: Error = Error::Crypto("key generation");
        match key_type {
            KeyType::Rsa => RsaKeyPair::generate(key_size(bits)).map(Self::Rsa).map_err(|_| FAILED),
            KeyType::Ec(curve) => {
                EcdsaKeyPair::generate(ecdsa(curve)).map(|pair| Self::Ec(pair, curve)).map_err(|_| FAILED)
            }
            KeyType::Ed25519 => Ed25519KeyPair::generate().map(Self::Ed25519).map_err(|_| FAILED),
        }
    }

    /// Reads the private members; the library checks that the halves belong together.
    pub(crate) fn from_members(key_type: KeyType, members: &Members) -> Result<Self, Error> {
        let d = Secret::decode(members.d.as_ref())?;
        match key_type {
            KeyType::Rsa => rsa_from_members(members, &d).map(Self::Rsa),
            KeyType::Ec(curve) => {
                let mut point = vec![UNCOMPRESSED];
                point.extend(members::bytes(members.x.as_ref())?);
                point.extend(members::bytes(members.y.as_ref())?);
                EcdsaKeyPair::from_private_key_and_public_key(ecdsa(curve), &d, &point)
                    .map(|pair| Self::Ec(pair, curve))
                    .map_err(|_| Error::InvalidKey("not an EC key pair"))
            }
            KeyType::Ed25519 => {
                Ed25519KeyPair::from_seed_and_public_key(&d, &members::bytes(members.x.as_ref())?)
                    .map(Self::Ed25519)
                    .map_err(|_| Error::InvalidKey("not an Ed25519 key pair"))
            }
        }
    }

    /// `kty` and the key's own members, public and private.
    pub(crate) fn to_members(&self) -> Result<Members, Error> {
        match self {
            Self::Rsa(pair) => rsa_to_members(pair),
            Self::Ec(pair, curve) => {
                let d: EcPrivateKeyBin<'_> =
                    pair.private_key().as_be_bytes().map_err(|_| Error::Crypto("exporting an EC key"))?;
                let (x, y) = pair.public_key().as_ref()[1..].split_at(curve.field_len());
                Ok(Members {
                    kty: "EC".to_owned(),
                    crv: Some(curve.to_string()),
                    x: Some(encoding::encode(x)),
                    y: Some(encoding::encode(y)),
                    d: Some(Secret::encode(d.as_ref())),
                    ..Members::default()
                })
            }
            Self::Ed25519(pair) => {
                const FAILED: Error = Error::Crypto("exporting an Ed25519 key");
                let seed = pair.seed().map_err(|_| FAILED)?;
                let d: Curve25519SeedBin<'_> = seed.as_be_bytes().map_err(|_| FAILED)?;
                Ok(Members {
                    kty: "OKP".to_owned(),
                    crv: Some("Ed25519".to_owned()),
                    x: Some(encoding::encode(pair.public_key())),
                    d: Some(Secret::encode(d.as_ref())),
                    ..Members::default()
                })
            }
        }
    }

    /// The JWS signature of `message`; `algorithm` is one that this kind of key can do.
    pub(crate) fn sign(&self, algorithm: SigningAlgorithm, message: &[u8]) -> Result<Vec<u8>, Error> {
        const FAILED: Error = Error::Crypto("signing");
        // The library asks for a source of randomness for compatibility and uses its own.
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let padding = rsa_padding(algorithm).ok_or(FAILED)?;
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature).map_err(|_| FAILED)?;
                Ok(signature)
            }
            Self::Ec(pair, _) => Ok(pair.sign(&random, message).map_err(|_| FAILED)?.as_ref().to_vec()),
            Self::Ed25519(pair) => Ok(pair.try_sign(message).map_err(|_| FAILED)?.as_ref().to_vec()),
        }
    }
}

/// The first byte of an uncompressed point (SEC 1 §2.3.3), followed by x and y.
pub(crate) const UNCOMPRESSED: u8 = 4;

fn key_size(bits: RsaBits) -> KeySize {
    match bits {
        RsaBits::B2048 => KeySize::Rsa2048,
        RsaBits::B3072 => KeySize::Rsa3072,
        RsaBits::B4096 => KeySize::Rsa4096,
    }
}

/// JWS wants the fixed-length form r ‖ s (RFC 7518 §3.4). ECDH keys are kept in the same type: it is the
/// same kind of point, and only [`PrivateKey::signer`](crate::PrivateKey::signer) leads to a signature.
pub(crate) fn ecdsa(curve: Curve) -> &'static EcdsaSigningAlgorithm {
    match curve {
        Curve::P256 => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        Curve::P384 => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
        Curve::P521 => &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
    }
}

fn rsa_padding(algorithm: SigningAlgorithm) -> Option<&'static dyn RsaEncoding> {
    Some(match algorithm {
        SigningAlgorithm::Rs256 => &signature::RSA_PKCS1_SHA256,
        SigningAlgorithm::Rs384 => &signature::RSA_PKCS1_SHA384,
        SigningAlgorithm::Rs512 => &signature::RSA_PKCS1_SHA512,
        SigningAlgorithm::Ps256 => &signature::RSA_PSS_SHA256,
        SigningAlgorithm::Ps384 => &signature::RSA_PSS_SHA384,
        SigningAlgorithm::Ps512 => &signature::RSA_PSS_SHA512,
        _ => return None,
    })
}

#[expect(clippy::many_single_char_names, reason = "the names that RFC 7518 §6.3 gives them")]
fn rsa_from_members(members: &Members, d: &[u8]) -> Result<RsaKeyPair, Error> {
    let (p, q) = (Secret::decode(members.p.as_ref())?, Secret::decode(members.q.as_ref())?);
    let (dp, dq) = (Secret::decode(members.dp.as_ref())?, Secret::decode(members.dq.as_ref())?);
    let qi = Secret::decode(members.qi.as_ref())?;
    let (n, e) = (members::integer(members.n.as_ref())?, members::integer(members.e.as_ref())?);
    let components = KeyPairComponents {
        public_key: PublicKeyComponents { n: n.as_slice(), e: e.as_slice() },
        d,
        p: p.as_slice(),
        q: q.as_slice(),
        dP: dp.as_slice(),
        dQ: dq.as_slice(),
        qInv: qi.as_slice(),
    };
    RsaKeyPair::from_components(&components)
        .map_err(|_| Error::InvalidKey("not an RSA key pair of 2048 to 8192 bits"))
}

fn rsa_to_members(pair: &RsaKeyPair) -> Result<Members, Error> {
    const FAILED: Error = Error::Crypto("exporting an RSA key");
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| FAILED)?;
    let pkcs8 = pkcs8::PrivateKeyInfo::try_from(der.as_ref()).map_err(|_| FAILED)?;
    let key = pkcs1::RsaPrivateKey::try_from(pkcs8.private_key).map_err(|_| FAILED)?;
    let public = |integer: pkcs1::UintRef<'_>| Some(encoding::encode(integer.as_bytes()));
    let secret = |integer: pkcs1::UintRef<'_>| Some(Secret::encode(integer.as_bytes()));
    Ok(Members {
        kty: "RSA".to_owned(),
        n: public(key.modulus),
        e: public(key.public_exponent),
        d: secret(key.private_exponent),
        p: secret(key.prime1),
        q: secret(key.prime2),
        dp: secret(key.exponent1),
        dq: secret(key.exponent2),
        qi: secret(key.coefficient),
        ..Members::default()
    })
}
