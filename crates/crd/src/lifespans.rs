//! Lifetimes of tokens that differ from the server's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::GoDuration;

/// Lifetimes of a client's tokens, by the grant that issues them. What is absent is as long as the
/// server's configuration says.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lifespans {
    /// Tokens from an authorization code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_code: Option<TokenLifespans>,
    /// Tokens from a refresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<TokenLifespans>,
    /// Tokens from a device authorization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_code: Option<TokenLifespans>,
    /// Tokens from the authorization endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub implicit: Option<ImplicitLifespans>,
    /// Tokens from client credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_credentials: Option<AccessTokenLifespan>,
    /// Tokens from a JWT assertion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt_bearer: Option<AccessTokenLifespan>,
}

/// Lifetimes for a grant that issues all three kinds of token.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenLifespans {
    /// Lifetime of access tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token: Option<GoDuration>,
    /// Lifetime of ID tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_token: Option<GoDuration>,
    /// Lifetime of refresh tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<GoDuration>,
}

/// Lifetimes for the implicit grant, which issues no refresh tokens.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImplicitLifespans {
    /// Lifetime of access tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token: Option<GoDuration>,
    /// Lifetime of ID tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_token: Option<GoDuration>,
}

/// Lifetime for a grant that issues only access tokens.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessTokenLifespan {
    /// Lifetime of access tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token: Option<GoDuration>,
}
