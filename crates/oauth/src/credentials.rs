//! How a client presents itself (RFC 6749 §2.3.1).

use base64::Engine;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::NO_PAD;

use crate::client_assertion::{self, ClientAssertion};
use crate::form::decode_value;
use crate::{ClientId, ClientSecret, Error, Form, TokenEndpointAuthMethod};

/// What a request says of the client that sends it; nothing of it is verified yet.
#[derive(Debug)]
pub struct PresentedCredentials {
    /// The client's id.
    pub client_id: ClientId,
    /// What shall prove that it is the client's request.
    pub credential: Credential,
}

/// What a client presents.
#[derive(Debug)]
pub enum Credential {
    /// Nothing: a public client.
    None,
    /// Its secret, in the `Authorization` header.
    Basic(ClientSecret),
    /// Its secret, in the form.
    Post(ClientSecret),
    /// An assertion (RFC 7523 §2.2).
    Assertion(ClientAssertion),
}

impl Credential {
    /// The method of authentication that it belongs to.
    pub fn method(&self) -> TokenEndpointAuthMethod {
        match self {
            Self::None => TokenEndpointAuthMethod::None,
            Self::Basic(_) => TokenEndpointAuthMethod::ClientSecretBasic,
            Self::Post(_) => TokenEndpointAuthMethod::ClientSecretPost,
            Self::Assertion(_) => TokenEndpointAuthMethod::PrivateKeyJwt,
        }
    }
}

/// Base64 with or without padding: clients send both.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    NO_PAD.with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
);

impl PresentedCredentials {
    /// Reads the credentials of a request from its `Authorization` header and its form. A header of another scheme than
    /// Basic authenticates no client: pages send the token that they hold along with everything.
    ///
    /// # Errors
    /// `invalid_request` where the request uses two methods at once (RFC 6749 §2.3) or names two clients;
    /// `invalid_client` where it names none, or its Basic header is malformed.
    pub fn from_request(authorization: Option<&[u8]>, form: &Form) -> Result<Self, Error> {
        let twice = |ways: &str| {
            Error::invalid_request(format!("The request authenticates the client twice, by {ways}."))
        };
        let authorization = authorization.filter(|header| is_basic(header));
        let in_form = form.get("client_id");
        let (secret, assertion) = (form.get("client_secret"), assertion(form)?);
        let presented = match (authorization, assertion) {
            (Some(_), Some(_)) => return Err(twice("its Authorization header and by client_assertion")),
            (Some(_), None) if secret.is_some() => {
                return Err(twice("its Authorization header and by client_secret"));
            }
            (None, Some(_)) if secret.is_some() => {
                return Err(twice("client_assertion and by client_secret"));
            }
            (Some(header), None) => Self::from_basic(header)?,
            (None, Some(assertion)) => Self {
                client_id: assertion.client_id().clone(),
                credential: Credential::Assertion(assertion),
            },
            (None, None) => return Self::from_form(in_form, secret),
        };
        if in_form.is_some_and(|id| id != presented.client_id.as_str()) {
            let other = match presented.credential {
                Credential::Assertion(_) => "client_assertion",
                _ => "Authorization header",
            };
            return Err(Error::invalid_request(format!("client_id differs from the client in the {other}.")));
        }
        Ok(presented)
    }

    fn from_form(id: Option<&str>, secret: Option<&str>) -> Result<Self, Error> {
        let id = id.ok_or_else(|| {
            Error::invalid_client(
                "The request names no client: send Basic authentication, client_id, or client_assertion.",
            )
        })?;
        Ok(Self {
            client_id: ClientId::parse(id).map_err(|e| Error::invalid_client(e.to_string()))?,
            credential: secret.map_or(Credential::None, |secret| Credential::Post(ClientSecret::new(secret))),
        })
    }

    fn from_basic(header: &[u8]) -> Result<Self, Error> {
        let malformed =
            || Error::invalid_client("The Authorization header is not valid Basic authentication.");
        let encoded = header.get(BASIC.len()..).unwrap_or_default();
        let decoded = LENIENT.decode(encoded.trim_ascii()).map_err(|_| malformed())?;
        let colon = decoded.iter().position(|&b| b == b':').ok_or_else(malformed)?;
        let id = decode_value(&decoded[..colon]).ok_or_else(malformed)?;
        let secret = decode_value(&decoded[colon + 1..]).ok_or_else(malformed)?;
        Ok(Self {
            client_id: ClientId::parse(id).map_err(|e| Error::invalid_client(e.to_string()))?,
            // Basic with an empty password is how some libraries present a public client.
            credential: if secret.is_empty() {
                Credential::None
            } else {
                Credential::Basic(ClientSecret::new(secret))
            },
        })
    }
}

/// The scheme of client authentication in a header (RFC 7617).
const BASIC: &[u8] = b"Basic";

fn is_basic(header: &[u8]) -> bool {
    header
        .split_at_checked(BASIC.len())
        .is_some_and(|(scheme, rest)| scheme.eq_ignore_ascii_case(BASIC) && matches!(rest, [] | [b' ', ..]))
}

/// The assertion by which a request authenticates its client, where it does.
fn assertion(form: &Form) -> Result<Option<ClientAssertion>, Error> {
    match (form.get("client_assertion_type"), form.get("client_assertion")) {
        (None, None) => Ok(None),
        (Some(client_assertion::TYPE), Some(assertion)) => ClientAssertion::parse(assertion).map(Some),
        (_, None) => Err(Error::invalid_request("The parameter 'client_assertion' is missing.")),
        (_, Some(_)) => Err(Error::invalid_request(format!(
            "The client_assertion_type must be '{}'.",
            client_assertion::TYPE
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;
    use TokenEndpointAuthMethod::{ClientSecretBasic, ClientSecretPost, None as Public, PrivateKeyJwt};
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    fn basic(pair: &str) -> Vec<u8> {
        format!("Basic {}", STANDARD.encode(pair)).into_bytes()
    }

    fn parse(header: Option<&Vec<u8>>, form: &str) -> Result<PresentedCredentials, Error> {
        PresentedCredentials::from_request(header.map(Vec::as_slice), &Form::parse(form.as_bytes()).unwrap())
    }

    #[test]
    fn each_method_is_read_with_its_id_and_secret() {
        let cases = [
            (Some(basic("a:s")), "", "a", Some("s"), ClientSecretBasic),
            (Some(basic("a%3Ab:s%2B%20+")), "", "a:b", Some("s+  "), ClientSecretBasic),
            (Some(b"bAsIc YTpz".to_vec()), "client_id=a", "a", Some("s"), ClientSecretBasic),
            (Some(basic("a:")), "", "a", None, Public),
            (None, "client_id=a&client_secret=s", "a", Some("s"), ClientSecretPost),
            (None, "client_id=a", "a", None, Public),
            (
                Some(b"Bearer ory_at_x".to_vec()),
                "client_id=a&client_secret=s",
                "a",
                Some("s"),
                ClientSecretPost,
            ),
            (Some(b"DPoP x".to_vec()), "client_id=a", "a", None, Public),
            (Some(b"Basically x".to_vec()), "client_id=a", "a", None, Public),
        ];
        for (header, form, id, secret, method) in cases {
            let got = parse(header.as_ref(), form).unwrap();
            assert_eq!(got.client_id.as_str(), id);
            assert_eq!(got.credential.method(), method);
            let presented = match &got.credential {
                Credential::Basic(secret) | Credential::Post(secret) => Some(secret.expose()),
                _ => None,
            };
            assert_eq!(presented, secret);
        }
    }

    /// An assertion of which nothing but issuer and subject is read.
    fn of(issuer: &str, subject: &str) -> String {
        let claims = serde_json::json!({"iss": issuer, "sub": subject});
        format!("e30.{}.c2ln", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    fn by(assertion: &str) -> String {
        format!("client_assertion_type={}&client_assertion={assertion}", client_assertion::TYPE)
    }

    #[test]
    fn an_assertion_names_its_client_and_is_not_shown() {
        for form in [by(&of("a", "a")), format!("{}&client_id=a", by(&of("a", "a")))] {
            let got = parse(None, &form).unwrap();
            assert_eq!((got.client_id.as_str(), got.credential.method()), ("a", PrivateKeyJwt));
            assert!(!format!("{got:?}").contains("c2ln"));
        }
    }

    #[test]
    fn ambiguous_or_malformed_credentials_are_refused() {
        let cases = [
            (Some(basic("a:s")), "client_secret=s", ErrorCode::InvalidRequest),
            (Some(basic("a:s")), "client_id=b", ErrorCode::InvalidRequest),
            (Some(basic("a")), "", ErrorCode::InvalidClient),
            (Some(basic("a b:s")), "", ErrorCode::InvalidClient),
            (Some(basic("a:%zz")), "", ErrorCode::InvalidClient),
            (Some(b"Bearer x".to_vec()), "", ErrorCode::InvalidClient),
            (Some(b"Basic".to_vec()), "", ErrorCode::InvalidClient),
            (Some(b"basic".to_vec()), "client_id=a", ErrorCode::InvalidClient),
            (Some(b"Basic x".to_vec()), "client_id=a&client_secret=s", ErrorCode::InvalidRequest),
            (Some(b"Basic !!!".to_vec()), "", ErrorCode::InvalidClient),
            (None, "", ErrorCode::InvalidClient),
            (None, "client_assertion=x", ErrorCode::InvalidRequest),
            (None, "client_assertion_type=x", ErrorCode::InvalidRequest),
            (None, "client_assertion_type=x&client_assertion=e30.e30.x", ErrorCode::InvalidRequest),
            (None, &by("e30.e30.x"), ErrorCode::InvalidClient),
            (None, &by("x"), ErrorCode::InvalidClient),
            (None, &by(&of("a", "b")), ErrorCode::InvalidClient),
            (None, &by(&of("a b", "a b")), ErrorCode::InvalidClient),
            (None, &format!("{}&client_secret=s", by(&of("a", "a"))), ErrorCode::InvalidRequest),
            (None, &format!("{}&client_id=b", by(&of("a", "a"))), ErrorCode::InvalidRequest),
            (Some(basic("a:s")), &by(&of("a", "a")), ErrorCode::InvalidRequest),
        ];
        for (header, form, code) in cases {
            assert_eq!(parse(header.as_ref(), form).unwrap_err().code, code, "{header:?} {form}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read_or_refused(header in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = PresentedCredentials::from_request(Some(&header), &Form::default());
        }
    }
}
