//! One of the users that are busy at the same time, with the client that it talks through.

use std::sync::Arc;

use anyhow::{Result, ensure};
use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;

use crate::connections::Connections;
use crate::setup::Setup;

/// A user. It does one thing after the other.
pub(crate) struct User {
    pub(crate) setup: Arc<Setup>,
    pub(crate) connections: Connections,
    /// Who it was at its first login.
    pub(crate) subject: String,
    /// The tokens of that login, or of the last refresh.
    pub(crate) tokens: Tokens,
    /// The document that was looked at last.
    pub(crate) last_document: Bytes,
    /// How many logins it has made.
    pub(crate) logins: u64,
}

/// A successful answer of the token endpoint (RFC 6749 §5.1).
#[derive(Default, Deserialize)]
pub(crate) struct Tokens {
    pub(crate) access_token: String,
    pub(crate) token_type: String,
    pub(crate) expires_in: i64,
    #[serde(default)]
    pub(crate) scope: String,
    pub(crate) refresh_token: Option<String>,
    pub(crate) id_token: Option<String>,
}

impl User {
    /// A user with tokens of its own, named by a number.
    pub(crate) async fn new(setup: &Arc<Setup>, number: usize) -> Result<Self> {
        let mut user = Self {
            setup: Arc::clone(setup),
            connections: Connections::open(&setup.public, &setup.admin).await?,
            subject: format!("{}-{number}", setup.run),
            tokens: Tokens::default(),
            last_document: Bytes::new(),
            logins: 0,
        };
        user.tokens = user.log_in(false).await?;
        Ok(user)
    }

    /// Asks for tokens.
    pub(crate) async fn token_request(
        &mut self,
        authorization: &HeaderValue,
        form: String,
    ) -> Result<Tokens> {
        let answer = self.connections.post_form("/oauth2/token", authorization, form).await?;
        let tokens: Tokens = answer.expect(StatusCode::OK)?.json()?;
        ensure!(tokens.token_type.eq_ignore_ascii_case("bearer"), "tokens of type {}", tokens.token_type);
        ensure!(!tokens.access_token.is_empty() && tokens.expires_in > 0, "no access token");
        Ok(tokens)
    }
}
