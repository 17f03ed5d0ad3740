//! The form of tokens (RFC 7515 §7.1): what can be read of one before any key is known.

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::{Map, Value};

use crate::{Error, KeyId, SigningAlgorithm, encoding};

/// The protected header of a token (RFC 7515 §4.1), as far as it matters. Not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwsHeader {
    /// The algorithm the token claims to be signed with; never `none`, never a symmetric one.
    pub alg: SigningAlgorithm,
    /// The key it claims to be signed with.
    pub kid: Option<KeyId>,
    /// The media type of the token, for example `JWT`, `at+jwt`, `dpop+jwt`.
    pub typ: Option<String>,
}

impl JwsHeader {
    /// Reads the header of a compact JWS, to find the key that should verify it.
    ///
    /// # Errors
    /// [`Error::InvalidToken`] if it is not a compact JWS, if its algorithm is not supported, or if it
    /// names critical extensions: this crate implements none (RFC 7515 §4.1.11).
    pub fn parse(compact: &str) -> Result<Self, Error> {
        Compact::split(compact)?.header()
    }
}

/// The claims of a compact JWS as they were sent: **anybody** may have written them. They tell whose keys to look for.
///
/// # Errors
/// [`Error::InvalidToken`] where it is no compact JWS, or its claims are no JSON object.
pub fn unverified_claims(compact: &str) -> Result<Map<String, Value>, Error> {
    Compact::split(compact)?.claims()
}

/// The claims of an unsecured JWS (RFC 7515 appendix A.5): its algorithm is `none`, and it has no signature. They prove
/// no more than any other text.
///
/// # Errors
/// [`Error::InvalidToken`] for everything else.
pub fn unsecured_claims(compact: &str) -> Result<Map<String, Value>, Error> {
    #[derive(Deserialize)]
    struct Written {
        alg: String,
    }
    let parts = Compact::split(compact)?;
    let Written { alg } = json(parts.header)?;
    if alg != "none" || !parts.signature.is_empty() {
        return Err(Error::InvalidToken("not an unsecured JWS"));
    }
    parts.claims()
}

/// The parts of a compact JWS (RFC 7515 §7.1), still encoded.
pub(crate) struct Compact<'a> {
    header: &'a str,
    claims: &'a str,
    pub(crate) signature: &'a str,
    /// What is signed: header and claims with the dot between them.
    pub(crate) message: &'a str,
}

impl<'a> Compact<'a> {
    pub(crate) fn split(token: &'a str) -> Result<Self, Error> {
        let parts = token.rsplit_once('.').and_then(|(message, signature)| {
            let (header, claims) = message.split_once('.')?;
            (!claims.contains('.')).then_some(Self { header, claims, signature, message })
        });
        parts.ok_or(Error::InvalidToken("not a compact JWS"))
    }

    pub(crate) fn header(&self) -> Result<JwsHeader, Error> {
        #[derive(Deserialize)]
        struct Written {
            alg: SigningAlgorithm,
            kid: Option<KeyId>,
            typ: Option<String>,
            // Not an `Option`: a `null` is there as well.
            #[serde(default, deserialize_with = "present")]
            crit: bool,
        }
        let Written { alg, kid, typ, crit } = json(self.header)?;
        if crit {
            return Err(Error::InvalidToken("the header has critical extensions"));
        }
        Ok(JwsHeader { alg, kid, typ })
    }

    pub(crate) fn claims(&self) -> Result<Map<String, Value>, Error> {
        match json(self.claims)? {
            Value::Object(claims) => Ok(claims),
            _ => Err(Error::InvalidToken("the claims are not a JSON object")),
        }
    }
}

fn json<T: DeserializeOwned>(part: &str) -> Result<T, Error> {
    let bytes = encoding::decode(part).ok_or(Error::InvalidToken("a part is not base64url"))?;
    serde_json::from_slice(&bytes).map_err(|_| Error::InvalidToken("a part is not the JSON it should be"))
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, claims: &str, signature: &str) -> String {
        format!("{}.{}.{signature}", encoding::encode(header), encoding::encode(claims))
    }

    #[test]
    fn claims_are_read_whoever_signed_them() {
        let claims = unverified_claims(&token("{}", r#"{"sub":"a"}"#, "c2ln")).unwrap();
        assert_eq!(claims["sub"], "a");
        for bad in [token("{}", "[]", ""), token("{}", "{", ""), "a.b".to_owned(), String::new()] {
            assert!(unverified_claims(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_token_without_a_signature_says_so_itself() {
        assert!(unsecured_claims(&token(r#"{"alg":"none"}"#, r#"{"sub":"a"}"#, "")).is_ok());
        for (header, claims, signature) in [
            (r#"{"alg":"none"}"#, "{}", "c2ln"),
            (r#"{"alg":"None"}"#, "{}", ""),
            (r#"{"alg":"ES256"}"#, "{}", ""),
            ("{}", "{}", ""),
            (r#"{"alg":"none"}"#, "1", ""),
        ] {
            assert!(unsecured_claims(&token(header, claims, signature)).is_err(), "{header} {claims}");
        }
    }
}
