//! ID tokens (OpenID Connect Core §2) and the claims of the userinfo endpoint (§5.3.2).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jose::{Entropy, SigningAlgorithm};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::Issuer;
use crate::grant::Grant;

/// The `typ` header.
pub const TYP: &str = "JWT";

/// What only this server says: the consent app's claims cannot take their place.
const RESERVED: [&str; 14] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "nbf",
    "jti",
    "auth_time",
    "nonce",
    "acr",
    "amr",
    "azp",
    "at_hash",
    "c_hash",
];

/// What an ID token says beside what was granted.
#[derive(Debug)]
pub struct IdToken<'a> {
    /// The issuer.
    pub issuer: &'a Issuer,
    /// What was granted.
    pub grant: &'a Grant,
    /// The access token that is issued with it.
    pub access_token: Option<&'a str>,
    /// The code that the same authorization response carries.
    pub code: Option<&'a str>,
    /// When it is issued.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl IdToken<'_> {
    /// The claims, for a signature by `algorithm`.
    pub fn claims(&self, algorithm: SigningAlgorithm, entropy: &Entropy) -> Map<String, Value> {
        let mut claims = user_claims(self.issuer, self.grant, &self.grant.placement.userinfo_only);
        let mut add = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        add("iat", self.issued_at.as_second().into());
        add("exp", self.expires_at.as_second().into());
        add("jti", jti(entropy).into());
        add("sid", self.grant.login.session_id.to_string().into());
        if let Some(nonce) = &self.grant.nonce {
            add("nonce", nonce.clone().into());
        }
        if let Some(token) = self.access_token {
            add("at_hash", half_hash(token, algorithm).into());
        }
        if let Some(code) = self.code {
            add("c_hash", half_hash(code, algorithm).into());
        }
        claims
    }
}

/// A `jti`: a random UUID.
pub fn jti(entropy: &Entropy) -> String {
    uuid::Builder::from_random_bytes(entropy.bytes()).into_uuid().to_string()
}

/// The claims that the userinfo endpoint answers: those of the ID token that are about the user.
pub fn userinfo(issuer: &Issuer, grant: &Grant, now: Timestamp) -> Map<String, Value> {
    let mut claims = user_claims(issuer, grant, &grant.placement.id_token_only);
    claims.remove("sid");
    claims.insert("iat".to_owned(), now.as_second().into());
    claims
}

fn user_claims(issuer: &Issuer, grant: &Grant, elsewhere: &[String]) -> Map<String, Value> {
    let login = &grant.login;
    let mut claims = grant.claims.id_token();
    claims.retain(|name, _| !RESERVED.contains(&name.as_str()) && !elsewhere.contains(name));
    let mut add = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    add("iss", issuer.as_str().into());
    add("sub", grant.client_subject().into());
    add("aud", vec![grant.client_id.to_string()].into());
    add("auth_time", login.authenticated_at.into());
    if !login.acr.is_empty() {
        add("acr", login.acr.clone().into());
    }
    if !login.amr.is_empty() {
        add("amr", login.amr.clone().into());
    }
    claims
}

/// The left half of a hash by the algorithm's hash function (OpenID Connect Core §3.1.3.6). EdDSA on Ed25519 has SHA-512.
fn half_hash(text: &str, algorithm: SigningAlgorithm) -> String {
    use SigningAlgorithm as A;
    let hash = match algorithm {
        A::Rs256 | A::Ps256 | A::Es256 => Sha256::digest(text).to_vec(),
        A::Rs384 | A::Ps384 | A::Es384 => Sha384::digest(text).to_vec(),
        A::Rs512 | A::Ps512 | A::Es512 | A::EdDsa => Sha512::digest(text).to_vec(),
    };
    URL_SAFE_NO_PAD.encode(&hash[..hash.len() / 2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims_request::ClaimsPlacement;
    use crate::grant::{SessionClaims, example};
    use serde_json::json;

    fn grant(id_token: &Value) -> Grant {
        let claims = SessionClaims::new(&Map::new(), id_token.as_object().unwrap());
        Grant { claims, ..example() }
    }

    fn issuer() -> Issuer {
        Issuer::parse("https://id.example.com/").unwrap()
    }

    fn claims(grant: &Grant, access_token: Option<&str>, code: Option<&str>) -> Map<String, Value> {
        let at = |second| Timestamp::from_second(second).unwrap();
        let (issued_at, expires_at) = (at(100), at(3700));
        let token = IdToken { issuer: &issuer(), grant, access_token, code, issued_at, expires_at };
        token.claims(SigningAlgorithm::Rs256, &Entropy::seeded(1))
    }

    #[test]
    fn an_id_token_says_who_logged_in_where_and_when() {
        let grant = grant(&json!({"email": "alice@example.com", "sub": "mallory", "nonce": "x", "exp": 1}));
        let claims = claims(&grant, None, None);
        let jti = claims["jti"].clone();
        assert_eq!(
            Value::Object(claims),
            json!({
                "iss": "https://id.example.com/",
                "sub": "alice",
                "aud": ["app"],
                "iat": 100,
                "exp": 3700,
                "auth_time": 1_800_000_010,
                "nonce": "n-0S6_WzA2Mj",
                "sid": grant.login.session_id.to_string(),
                "email": "alice@example.com",
                "jti": jti,
            })
        );
    }

    // The examples of OpenID Connect Core's appendices A.3 and A.4.
    #[test]
    fn the_hashes_of_access_token_and_code_are_those_of_the_specification() {
        let token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
        let code = "Qcb0Orv1zh30vL1MPRsbm-diHiMwcLyZvn1arpZv-Jxf_11jnpEX3Tgfvk";
        let claims = claims(&example(), Some(token), Some(code));
        assert_eq!(claims["at_hash"], "77QmUPtjPfzWtF2AnpK9RQ");
        assert_eq!(claims["c_hash"], "LDktKdoQak3Pk0cnXxCltA");
    }

    #[test]
    fn each_algorithm_has_the_hash_of_its_name() {
        for (algorithm, bytes) in [
            (SigningAlgorithm::Es256, 16),
            (SigningAlgorithm::Ps384, 24),
            (SigningAlgorithm::Rs512, 32),
            (SigningAlgorithm::EdDsa, 32),
        ] {
            let hash = URL_SAFE_NO_PAD.decode(half_hash("token", algorithm)).unwrap();
            assert_eq!(hash.len(), bytes, "{algorithm}");
        }
    }

    #[test]
    fn a_claim_goes_where_the_client_wants_it_and_else_everywhere() {
        let placement = ClaimsPlacement {
            id_token_only: vec!["groups".to_owned()],
            userinfo_only: vec!["email".to_owned()],
        };
        let grant = Grant { placement, ..grant(&json!({"email": "a@b", "groups": [], "name": "A"})) };
        let names =
            |claims: &Map<String, Value>| ["email", "groups", "name"].map(|name| claims.contains_key(name));
        assert_eq!(names(&claims(&grant, None, None)), [false, true, true]);
        assert_eq!(names(&userinfo(&issuer(), &grant, Timestamp::UNIX_EPOCH)), [true, false, true]);
    }

    #[test]
    fn a_pairwise_client_reads_its_own_name_of_the_user() {
        let grant = Grant { pairwise_subject: Some("p".to_owned()), ..example() };
        assert_eq!(claims(&grant, None, None)["sub"], "p");
        assert_eq!(userinfo(&issuer(), &grant, Timestamp::UNIX_EPOCH)["sub"], "p");
    }

    #[test]
    fn userinfo_tells_of_the_user_and_nothing_of_the_token() {
        let grant = grant(&json!({"email": "alice@example.com", "at_hash": "x", "sid": "x"}));
        let claims = userinfo(&issuer(), &grant, Timestamp::from_second(5).unwrap());
        assert_eq!(
            Value::Object(claims),
            json!({
                "iss": "https://id.example.com/",
                "sub": "alice",
                "aud": ["app"],
                "iat": 5,
                "auth_time": 1_800_000_010,
                "email": "alice@example.com",
            })
        );
    }
}
