//! How a client presents itself (RFC 6749 §2.3.1).

use base64::Engine;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::NO_PAD;

use crate::form::decode_value;
use crate::{ClientId, ClientSecret, Error, Form, TokenEndpointAuthMethod};

/// What a request says of the client that sends it; nothing of it is verified yet.
#[derive(Debug)]
pub struct PresentedCredentials {
    /// The client's id.
    pub client_id: ClientId,
    /// The secret; `None` for a public client.
    pub secret: Option<ClientSecret>,
    /// How it was presented.
    pub method: TokenEndpointAuthMethod,
}

/// Base64 with or without padding: clients send both.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    NO_PAD.with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
);

impl PresentedCredentials {
    /// Reads the credentials of a request from its `Authorization` header and its form.
    ///
    /// # Errors
    /// `invalid_request` where the request uses two methods at once (RFC 6749 §2.3) or names two clients;
    /// `invalid_client` where it names none, or its header is malformed.
    pub fn from_request(authorization: Option<&[u8]>, form: &Form) -> Result<Self, Error> {
        let in_form = form.get("client_id");
        if form.get("client_assertion").is_some() || form.get("client_assertion_type").is_some() {
            return Err(Error::invalid_client(
                "This server does not authenticate clients by client_assertion; use client_secret_basic or \
                 client_secret_post.",
            ));
        }
        let Some(header) = authorization else {
            return Self::from_form(in_form, form.get("client_secret"));
        };
        let basic = Self::from_basic(header)?;
        if form.get("client_secret").is_some() {
            return Err(Error::invalid_request(
                "The request authenticates the client twice, by its Authorization header and by client_secret.",
            ));
        }
        if in_form.is_some_and(|id| id != basic.client_id.as_str()) {
            return Err(Error::invalid_request(
                "client_id differs from the client in the Authorization header.",
            ));
        }
        Ok(basic)
    }

    fn from_form(id: Option<&str>, secret: Option<&str>) -> Result<Self, Error> {
        let id = id.ok_or_else(|| {
            Error::invalid_client("The request names no client: send an Authorization header or client_id.")
        })?;
        Ok(Self {
            client_id: ClientId::parse(id).map_err(|e| Error::invalid_client(e.to_string()))?,
            secret: secret.map(ClientSecret::new),
            method: match secret {
                Some(_) => TokenEndpointAuthMethod::ClientSecretPost,
                None => TokenEndpointAuthMethod::None,
            },
        })
    }

    fn from_basic(header: &[u8]) -> Result<Self, Error> {
        let malformed =
            || Error::invalid_client("The Authorization header is not valid Basic authentication.");
        let (scheme, encoded) = header.split_at_checked(6).ok_or_else(malformed)?;
        if !scheme.eq_ignore_ascii_case(b"Basic ") {
            return Err(malformed());
        }
        let decoded = LENIENT.decode(encoded.trim_ascii()).map_err(|_| malformed())?;
        let colon = decoded.iter().position(|&b| b == b':').ok_or_else(malformed)?;
        let id = decode_value(&decoded[..colon]).ok_or_else(malformed)?;
        let secret = decode_value(&decoded[colon + 1..]).ok_or_else(malformed)?;
        Ok(Self {
            client_id: ClientId::parse(id).map_err(|e| Error::invalid_client(e.to_string()))?,
            // Basic with an empty password is how some libraries present a public client.
            method: if secret.is_empty() {
                TokenEndpointAuthMethod::None
            } else {
                TokenEndpointAuthMethod::ClientSecretBasic
            },
            secret: (!secret.is_empty()).then(|| ClientSecret::new(secret)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;
    use TokenEndpointAuthMethod::{ClientSecretBasic, ClientSecretPost, None as Public};
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
        ];
        for (header, form, id, secret, method) in cases {
            let got = parse(header.as_ref(), form).unwrap();
            assert_eq!(got.client_id.as_str(), id);
            assert_eq!(got.secret.as_ref().map(ClientSecret::expose), secret);
            assert_eq!(got.method, method);
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
            (Some(b"Basic !!!".to_vec()), "", ErrorCode::InvalidClient),
            (None, "", ErrorCode::InvalidClient),
            (None, "client_assertion=x", ErrorCode::InvalidClient),
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
