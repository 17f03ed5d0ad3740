//! What can be measured.

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use clap::ValueEnum;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, StatusCode};
use serde::Deserialize;

use crate::connections::Api;
use crate::user::{Tokens, User};

/// What a user does again and again. Each answer is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Operation {
    /// A token for the client itself, opaque.
    ClientCredentials,
    /// The same as a JWT.
    ClientCredentialsJwt,
    /// What a resource server asks of a user's opaque token.
    Introspection,
    /// Authorization code with PKCE, from the first redirect to the ID, access and refresh token: eight requests, four
    /// of them the login app's. Every time a new browser.
    Login,
    /// The same of a user who was never seen before; the login and the consent are remembered.
    RememberedLogin,
    /// A new access, refresh and ID token for the refresh token of the last time.
    Refresh,
    /// What the ID token says, for an access token.
    Userinfo,
    /// The public keys.
    Jwks,
    /// The discovery document.
    Discovery,
}

impl Operation {
    /// Its name in the table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client credentials, opaque",
            Self::ClientCredentialsJwt => "client credentials, JWT",
            Self::Introspection => "introspection",
            Self::Login => "login",
            Self::RememberedLogin => "login, remembered",
            Self::Refresh => "refresh",
            Self::Userinfo => "userinfo",
            Self::Jwks => "key set",
            Self::Discovery => "discovery",
        }
    }

    /// Does it once.
    pub(crate) async fn perform(self, user: &mut User) -> Result<()> {
        match self {
            Self::ClientCredentials => client_credentials(user).await,
            Self::ClientCredentialsJwt => client_credentials_jwt(user).await,
            Self::Introspection => introspection(user).await,
            Self::Login => user.log_in(false).await.map(drop),
            Self::RememberedLogin => user.log_in(true).await.map(drop),
            Self::Refresh => refresh(user).await,
            Self::Userinfo => userinfo(user).await,
            Self::Jwks => {
                document(user, "/.well-known/jwks.json", |document| {
                    document["keys"].as_array().is_some_and(|keys| keys.len() >= 2)
                })
                .await
            }
            Self::Discovery => {
                document(user, "/.well-known/openid-configuration", |document| {
                    document["token_endpoint"].is_string() && document["jwks_uri"].is_string()
                })
                .await
            }
        }
    }
}

const CLIENT_CREDENTIALS: &str = "grant_type=client_credentials&scope=read";

async fn client_credentials(user: &mut User) -> Result<()> {
    let authorization = user.setup.service.clone();
    let tokens: Tokens = user.token_request(&authorization, CLIENT_CREDENTIALS.to_owned()).await?;
    ensure!(tokens.scope == "read", "the scope is {:?}", tokens.scope);
    Ok(())
}

async fn client_credentials_jwt(user: &mut User) -> Result<()> {
    let authorization = user.setup.jwt_service.clone();
    let tokens: Tokens = user.token_request(&authorization, CLIENT_CREDENTIALS.to_owned()).await?;
    user.setup.check_jwt(&tokens.access_token).map(drop)
}

#[derive(Deserialize)]
struct Introspection {
    active: bool,
    client_id: Option<String>,
    sub: Option<String>,
}

async fn introspection(user: &mut User) -> Result<()> {
    let form = format!("token={}", user.tokens.access_token);
    let request = Request::post("/admin/oauth2/introspect")
        .header(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    let answer = user.connections.send(Api::Admin, request, form.into()).await?.expect(StatusCode::OK)?;
    let answer: Introspection = answer.json()?;
    ensure!(answer.active, "the token is not active");
    ensure!(answer.client_id.as_deref() == Some(&user.setup.application_id), "another client's token");
    ensure!(answer.sub.as_deref() == Some(&user.subject), "another user's token");
    Ok(())
}

async fn refresh(user: &mut User) -> Result<()> {
    let token = user.tokens.refresh_token.take().context("there is no refresh token")?;
    let authorization = user.setup.application.clone();
    let form = format!("grant_type=refresh_token&refresh_token={token}");
    let tokens: Tokens = user.token_request(&authorization, form).await?;
    ensure!(tokens.refresh_token.as_ref().is_some_and(|new| *new != token), "no new refresh token");
    user.setup.check_jwt(tokens.id_token.as_deref().context("no ID token")?)?;
    user.tokens = tokens;
    Ok(())
}

#[derive(Deserialize)]
struct Userinfo {
    sub: String,
}

async fn userinfo(user: &mut User) -> Result<()> {
    let bearer = HeaderValue::try_from(format!("Bearer {}", user.tokens.access_token))?;
    let request = Request::get("/userinfo").header(AUTHORIZATION, bearer);
    let answer = user.connections.send(Api::Public, request, Bytes::new()).await?.expect(StatusCode::OK)?;
    let answer: Userinfo = answer.json()?;
    ensure!(answer.sub == user.subject, "userinfo of {}", answer.sub);
    Ok(())
}

/// A document that is looked into when it is other than the last one.
async fn document(user: &mut User, path: &str, is_sound: fn(&serde_json::Value) -> bool) -> Result<()> {
    let answer = user.connections.get(Api::Public, path).await?.expect(StatusCode::OK)?;
    if user.last_document != answer.body {
        if !is_sound(&answer.json()?) {
            bail!("unexpected document: {}", String::from_utf8_lossy(&answer.body));
        }
        user.last_document = answer.body;
    }
    Ok(())
}
