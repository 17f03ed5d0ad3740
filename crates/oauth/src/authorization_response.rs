//! The authorization response (RFC 6749 §4.1.2, RFC 9207): where it goes and what it says.

use serde::{Deserialize, Serialize};
use url::Url;

use crate::response_mode::ResponseMode;
use crate::{Issuer, RedirectUri};

/// Where a response goes, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnAddress {
    /// The client's redirect URI.
    pub redirect_uri: RedirectUri,
    /// How the parameters travel.
    pub mode: ResponseMode,
    /// What the client gets back as it sent it.
    pub state: Option<String>,
}

/// A response, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthorizationResponse {
    /// The browser is sent there.
    Redirect(String),
    /// The browser posts a form (OAuth 2.0 Form Post Response Mode).
    FormPost {
        /// Where to.
        action: RedirectUri,
        /// With what.
        fields: Vec<(&'static str, String)>,
    },
}

impl ReturnAddress {
    /// A response with these parameters; `state` and the issuer (RFC 9207 §2) are added. They are sorted by name.
    pub fn respond(&self, issuer: &Issuer, parameters: Vec<(&'static str, String)>) -> AuthorizationResponse {
        let mut fields = parameters;
        fields.push(("iss", issuer.as_str().to_owned()));
        fields.extend(self.state.clone().map(|state| ("state", state)));
        fields.sort_by_key(|(name, _)| *name);
        match self.mode {
            ResponseMode::FormPost => {
                AuthorizationResponse::FormPost { action: self.redirect_uri.clone(), fields }
            }
            ResponseMode::Query => AuthorizationResponse::Redirect(in_query(&self.redirect_uri, &fields)),
            ResponseMode::Fragment => {
                let fragment = encode(&fields);
                AuthorizationResponse::Redirect(format!("{}#{fragment}", self.redirect_uri))
            }
        }
    }
}

/// The redirect URI's own query stays (RFC 6749 §3.1.2).
fn in_query(uri: &RedirectUri, fields: &[(&'static str, String)]) -> String {
    let own_query = Url::parse(uri.as_str()).ok().and_then(|url| url.query().map(str::to_owned));
    let separator = match own_query.as_deref() {
        None => "?",
        Some("") => "",
        Some(_) => "&",
    };
    format!("{uri}{separator}{}", encode(fields))
}

fn encode(fields: &[(&'static str, String)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn respond(uri: &str, mode: ResponseMode) -> AuthorizationResponse {
        let address = ReturnAddress {
            redirect_uri: RedirectUri::parse(uri).unwrap(),
            mode,
            state: Some("a&b c=d".to_owned()),
        };
        let issuer = Issuer::parse("https://id.example.com").unwrap();
        address.respond(&issuer, vec![("scope", "a b".to_owned()), ("code", "x".to_owned())])
    }

    #[test]
    fn a_response_travels_as_its_mode_says() {
        use AuthorizationResponse::Redirect;
        let fields = "code=x&iss=https%3A%2F%2Fid.example.com&scope=a+b&state=a%26b+c%3Dd";
        let cases = [
            ("https://a/cb", ResponseMode::Query, format!("https://a/cb?{fields}")),
            ("https://a/cb?x=1", ResponseMode::Query, format!("https://a/cb?x=1&{fields}")),
            ("https://a/cb?", ResponseMode::Query, format!("https://a/cb?{fields}")),
            ("https://a/cb?x=1", ResponseMode::Fragment, format!("https://a/cb?x=1#{fields}")),
            ("app:cb", ResponseMode::Query, format!("app:cb?{fields}")),
        ];
        for (uri, mode, sent) in cases {
            assert_eq!(respond(uri, mode), Redirect(sent));
        }
        let AuthorizationResponse::FormPost { action, fields } =
            respond("https://a/cb", ResponseMode::FormPost)
        else {
            panic!("a form post")
        };
        assert_eq!(action.as_str(), "https://a/cb");
        assert_eq!(
            fields.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            ["code", "iss", "scope", "state"]
        );
    }
}
