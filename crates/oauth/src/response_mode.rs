//! Response modes: how an authorization response travels back (OAuth 2.0 Multiple Response Type Encoding Practices §2.1,
//! OAuth 2.0 Form Post Response Mode).

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How an authorization response travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseMode {
    /// In the query of the redirect.
    Query,
    /// In the fragment of the redirect.
    Fragment,
    /// As a form that the browser posts.
    FormPost,
}

/// The text names no response mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the response modes are query, fragment and form_post")]
pub struct UnknownResponseMode;

impl ResponseMode {
    /// All modes.
    pub const ALL: [Self; 3] = [Self::Query, Self::Fragment, Self::FormPost];
}

impl FromStr for ResponseMode {
    type Err = UnknownResponseMode;

    fn from_str(text: &str) -> Result<Self, UnknownResponseMode> {
        match text {
            "query" => Ok(Self::Query),
            "fragment" => Ok(Self::Fragment),
            "form_post" => Ok(Self::FormPost),
            _ => Err(UnknownResponseMode),
        }
    }
}
