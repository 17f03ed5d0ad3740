//! What a run needs on the server: its clients.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderValue, Request, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cli::LoadArgs;
use crate::connections::Connections;

/// Where the application's users come back to; nothing listens there.
pub(crate) const REDIRECT_URI: &str = "http://127.0.0.1:5555/callback";

/// What all users of a run have in common.
pub(crate) struct Setup {
    pub(crate) public: Vec<SocketAddr>,
    pub(crate) admin: Vec<SocketAddr>,
    /// Names the run: its users are new.
    pub(crate) run: String,
    pub(crate) application_id: String,
    /// The `Authorization` header of the application that people log in to.
    pub(crate) application: HeaderValue,
    /// That of a service with opaque tokens.
    pub(crate) service: HeaderValue,
    /// That of one with JWTs.
    pub(crate) jwt_service: HeaderValue,
    algorithm: Option<String>,
}

#[derive(Deserialize)]
struct Registered {
    client_id: String,
    client_secret: String,
}

impl Registered {
    fn basic(&self) -> Result<HeaderValue> {
        let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = format!("{}:{}", encode(&self.client_id), encode(&self.client_secret));
        Ok(HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)))?)
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
}

impl Setup {
    /// Registers the clients.
    pub(crate) async fn make(args: &LoadArgs) -> Result<Self> {
        let mut connections = Connections::open(&[], &args.admin).await?;
        let application = json!({
            "client_name": "Application",
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "redirect_uris": [REDIRECT_URI],
            "scope": "openid offline",
        });
        let service = json!({"grant_types": ["client_credentials"], "scope": "read write"});
        let mut jwt_service = service.clone();
        jwt_service["access_token_strategy"] = json!("jwt");
        let application = register(&mut connections, &application).await?;
        Ok(Self {
            public: args.public.clone(),
            admin: args.admin.clone(),
            run: Uuid::new_v4().simple().to_string(),
            application: application.basic()?,
            application_id: application.client_id,
            service: register(&mut connections, &service).await?.basic()?,
            jwt_service: register(&mut connections, &jwt_service).await?.basic()?,
            algorithm: args.algorithm.clone(),
        })
    }

    /// The claims of a JWT, which must be signed with the expected algorithm. The signature is not verified here: that
    /// would cost more than some of what is measured.
    pub(crate) fn check_jwt(&self, token: &str) -> Result<Vec<u8>> {
        let parts: Vec<&str> = token.split('.').collect();
        ensure!(parts.len() == 3 && !parts[2].is_empty(), "no JWT: {} parts", parts.len());
        let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[0])?)?;
        let expected = self.algorithm.as_ref().is_none_or(|algorithm| *algorithm == header.alg);
        ensure!(expected, "a token signed with {}", header.alg);
        URL_SAFE_NO_PAD.decode(parts[1]).context("the claims")
    }
}

async fn register(connections: &mut Connections, client: &Value) -> Result<Registered> {
    let answer = connections.send_json(Request::post("/admin/clients"), client).await?;
    answer.expect(StatusCode::CREATED)?.json()
}
