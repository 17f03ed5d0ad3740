//! A refusal by the login or consent app.

use serde::{Deserialize, Serialize};

use crate::{Error, null_as_default};

/// What the app says (Hydra's `RejectOAuth2Request`). It goes to the client as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the members of Hydra's API")]
pub struct Rejection {
    #[serde(deserialize_with = "null_as_default")]
    pub error: String,
    #[serde(deserialize_with = "null_as_default")]
    pub error_description: String,
    #[serde(deserialize_with = "null_as_default")]
    pub error_hint: String,
    #[serde(deserialize_with = "null_as_default")]
    pub error_debug: String,
    #[serde(deserialize_with = "null_as_default")]
    pub status_code: i64,
}

/// The error that the client is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// The `error` parameter.
    pub error: String,
    /// The `error_description` parameter.
    pub description: String,
}

impl From<Error> for Denial {
    fn from(error: Error) -> Self {
        Self { error: error.code.as_str().to_owned(), description: error.description.into_owned() }
    }
}

impl Rejection {
    /// The error that the client is told; `fallback` is its code where the app named none.
    ///
    /// # Errors
    /// `invalid_request` where the code is none (RFC 6749 §4.1.2.1).
    pub fn denial(self, fallback: &'static str) -> Result<Denial, Error> {
        let error = if self.error.is_empty() { fallback.to_owned() } else { self.error };
        if !error.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\') {
            return Err(Error::invalid_request("The member 'error' must be printable ASCII without quotes."));
        }
        let parts = [self.error_description, self.error_hint];
        let description =
            parts.iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>();
        Ok(Denial { error, description: description.join(" ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_app_says_goes_to_the_client() {
        let rejection = |error: &str, description: &str, hint: &str| Rejection {
            error: error.to_owned(),
            error_description: description.to_owned(),
            error_hint: hint.to_owned(),
            ..Rejection::default()
        };
        let told = rejection("too_young", "The user is a child.", "Ask the parents.")
            .denial("access_denied")
            .unwrap();
        assert_eq!(
            (told.error.as_str(), told.description.as_str()),
            ("too_young", "The user is a child. Ask the parents.")
        );
        assert_eq!(rejection("", "", "").denial("access_denied").unwrap().error, "access_denied");
        assert!(rejection("a\nb", "", "").denial("access_denied").is_err());
    }

    #[test]
    fn a_member_that_is_null_says_nothing() {
        let names = ["error", "error_description", "error_hint", "error_debug", "status_code"];
        let nulls = names.map(|name| (name.to_owned(), serde_json::Value::Null));
        let rejection = serde_json::from_value::<Rejection>(serde_json::Map::from_iter(nulls).into());
        assert_eq!(rejection.unwrap(), Rejection::default());
    }
}
