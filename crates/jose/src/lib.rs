//! The cryptography of Keywright: keys, tokens and sealed data. Pure but for its two sources of randomness,
//! [`Entropy`] and the making of keys; it knows no database, no clock and no network.
//!
//! ```text
//!  SystemSecret ──unwraps──▶ RootKey ──HKDF, once per purpose──▶ KeyRing
//!                                                                  │ seal, open, mac, verify_mac
//!                                                                  │ seal_jwk, open_jwk
//!                                                                  ▼
//!  PrivateKey::generate ──to_jwk──▶ private JWK ◀──at rest──▶ sealed JWK
//!        │  │
//!        │  └─ public_jwk ─▶ PublicJwk ─▶ JwkSet (jwks.json)
//!        │                       └──────▶ Verifier ─ verify ─▶ claims
//!        └─ signer ─▶ Signer ─ sign ─▶ compact JWS
//! ```
//!
//! * [`Algorithm`], [`RsaBits`]: what keys there are (RFC 7518, RFC 8037).
//! * [`PrivateKey`], [`Signer`]: making keys and signing with them; a signing key is parsed once.
//! * [`ImportedKey`]: keys that were made elsewhere.
//! * [`PublicJwk`], [`KeyId`], [`JwkSet`]: what is published of them (RFC 7517, RFC 7638).
//! * [`Verifier`], [`JwsHeader`]: checking tokens, ours and other parties' (RFC 7515).
//! * [`SystemSecret`], [`RootKey`], [`KeyRing`]: sealing and authenticating our own data.
//! * [`HydraSecret`]: what an Ory Hydra sealed and signed.
//! * [`schedule`]: when each key of a set is published, signs, retires and goes.

mod algorithm;
mod encoding;
mod entropy;
mod error;
mod hydra_secret;
mod imported_key;
mod jwk;
mod jws;
mod key_der;
mod key_pair;
mod key_ring;
mod members;
mod private_key;
mod root;
pub mod schedule;
mod signer;
mod verifier;

pub use algorithm::{Algorithm, EncryptionAlgorithm, KeyUse, RsaBits, SigningAlgorithm};
pub use entropy::Entropy;
pub use error::Error;
pub use hydra_secret::HydraSecret;
pub use imported_key::ImportedKey;
pub use jwk::{JwkSet, KeyId, PublicJwk};
pub use jws::{JwsHeader, unsecured_claims, unverified_claims};
pub use key_der::KeyDer;
pub use key_ring::{KeyRing, Mac, MacPurpose, SealPurpose};
pub use private_key::PrivateKey;
pub use root::{RootKey, SystemSecret};
pub use signer::{Signer, SigningInput};
pub use verifier::Verifier;
