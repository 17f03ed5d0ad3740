//! Proof Key for Code Exchange (RFC 7636), with S256 alone: `plain` proves nothing to who reads the request.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{Error, ErrorCode, Form};

/// The SHA-256 of the verifier that the exchange of the code must bring (RFC 7636 §4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeChallenge([u8; 32]);

impl CodeChallenge {
    /// Reads the challenge of an authorization request; `None` where it has none.
    ///
    /// # Errors
    /// `invalid_request` for a method other than S256 (a challenge without a method means `plain`), a method without a
    /// challenge, or a challenge that is no SHA-256 in base64url.
    pub fn of_request(form: &Form) -> Result<Option<Self>, Error> {
        let (challenge, method) = (form.get("code_challenge"), form.get("code_challenge_method"));
        let challenge = match (challenge, method) {
            (None, None) => return Ok(None),
            (None, Some(_)) => {
                return Err(Error::invalid_request("The parameter 'code_challenge' is missing."));
            }
            (Some(challenge), Some("S256")) => challenge,
            (Some(_), _) => {
                return Err(Error::invalid_request("The code_challenge_method must be 'S256'."));
            }
        };
        let decoded = URL_SAFE_NO_PAD.decode(challenge).ok().and_then(|bytes| bytes.try_into().ok());
        let invalid = || {
            Error::invalid_request(
                "The code_challenge must be the SHA-256 of the code_verifier in base64url.",
            )
        };
        Ok(Some(Self(decoded.ok_or_else(invalid)?)))
    }

    /// Checks the verifier of a token request against the challenge of the code's authorization request.
    ///
    /// # Errors
    /// `invalid_grant` where one is there without the other, or they do not match; `invalid_request` for a verifier
    /// that is none (RFC 7636 §4.1: 43 to 128 unreserved characters).
    pub fn check(challenge: Option<Self>, form: &Form) -> Result<(), Error> {
        let invalid_grant = |hint: &'static str| Err(Error::new(ErrorCode::InvalidGrant, hint));
        match (challenge, form.get("code_verifier")) {
            (None, None) => Ok(()),
            (Some(_), None) => {
                invalid_grant("The code was requested with a code_challenge: send the code_verifier.")
            }
            (None, Some(_)) => invalid_grant("The code was requested without a code_challenge."),
            (Some(challenge), Some(verifier)) => {
                if !is_verifier(verifier) {
                    return Err(Error::invalid_request(
                        "The code_verifier must have 43 to 128 letters, digits or '-', '.', '_', '~'.",
                    ));
                }
                let presented = Sha256::digest(verifier);
                if bool::from(challenge.0.ct_eq(&presented)) {
                    Ok(())
                } else {
                    invalid_grant("The code_verifier does not match the code_challenge.")
                }
            }
        }
    }
}

fn is_verifier(text: &str) -> bool {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    (43..=128).contains(&text.len()) && text.bytes().all(unreserved)
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7636 appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn form(text: &str) -> Form {
        Form::parse(text.as_bytes()).unwrap()
    }

    fn challenge() -> Option<CodeChallenge> {
        let text = format!("code_challenge={CHALLENGE}&code_challenge_method=S256");
        CodeChallenge::of_request(&form(&text)).unwrap()
    }

    #[test]
    fn the_verifier_of_rfc_7636_opens_its_challenge_and_no_other_does() {
        assert!(CodeChallenge::check(challenge(), &form(&format!("code_verifier={VERIFIER}"))).is_ok());
        assert!(CodeChallenge::check(None, &form("")).is_ok());
        let other = "x".repeat(43);
        for (challenge, text, code) in [
            (challenge(), String::new(), ErrorCode::InvalidGrant),
            (challenge(), format!("code_verifier={other}"), ErrorCode::InvalidGrant),
            (challenge(), "code_verifier=short".to_owned(), ErrorCode::InvalidRequest),
            (challenge(), format!("code_verifier={}", "x".repeat(129)), ErrorCode::InvalidRequest),
            (challenge(), format!("code_verifier={}%21", "x".repeat(43)), ErrorCode::InvalidRequest),
            (None, format!("code_verifier={VERIFIER}"), ErrorCode::InvalidGrant),
        ] {
            assert_eq!(CodeChallenge::check(challenge, &form(&text)).unwrap_err().code, code, "{text}");
        }
    }

    #[test]
    fn only_s256_is_a_method() {
        assert_eq!(CodeChallenge::of_request(&form("")), Ok(None));
        for text in [
            format!("code_challenge={CHALLENGE}"),
            format!("code_challenge={CHALLENGE}&code_challenge_method=plain"),
            "code_challenge_method=S256".to_owned(),
            "code_challenge=abc&code_challenge_method=S256".to_owned(),
        ] {
            assert!(CodeChallenge::of_request(&form(&text)).is_err(), "{text}");
        }
    }
}
