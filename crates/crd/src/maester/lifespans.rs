//! Lifetimes of tokens, under Hydra's names.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A number and a unit, somewhere in the text: the pattern is not anchored.
const DURATION: &str = "[0-9]+(ns|us|ms|s|m|h)";

/// Lifetimes of a client's tokens, by the grant that issues them.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct TokenLifespans {
    /// Access tokens from an authorization code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION))]
    pub authorization_code_grant_access_token_lifespan: Option<String>,
    /// ID tokens from an authorization code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION))]
    pub authorization_code_grant_id_token_lifespan: Option<String>,
    /// Refresh tokens from an authorization code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION))]
    pub authorization_code_grant_refresh_token_lifespan: Option<String>,
    /// Access tokens from client credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION))]
    pub client_credentials_grant_access_token_lifespan: Option<String>,
    /// Access tokens from the authorization endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION))]
    pub implicit_grant_access_token_lifespan: Option<String>,
    /// ID tokens from the authorization endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION))]
    pub implicit_grant_id_token_lifespan: Option<String>,
    /// Access tokens from an assertion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION))]
    pub jwt_bearer_grant_access_token_lifespan: Option<String>,
    /// Access tokens from a refresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION))]
    pub refresh_token_grant_access_token_lifespan: Option<String>,
    /// ID tokens from a refresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION))]
    pub refresh_token_grant_id_token_lifespan: Option<String>,
    /// Refresh tokens from a refresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION))]
    pub refresh_token_grant_refresh_token_lifespan: Option<String>,
}
