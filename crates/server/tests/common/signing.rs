//! What clients and issuers sign, and where they publish their keys.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use http::StatusCode;
use jose::{PrivateKey, RsaBits, SigningAlgorithm};
use oauth::GrantType;
use serde_json::{Value, json};
use server::ListenerLimits;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{ISSUER, TestServer, listen};

/// A key pair.
pub fn key(algorithm: SigningAlgorithm) -> PrivateKey {
    PrivateKey::generate(algorithm.into(), RsaBits::B2048).unwrap()
}

/// A key set of the public halves.
pub fn jwks(keys: &[&PrivateKey]) -> Value {
    json!({"keys": keys.iter().map(|key| key.public_jwk()).collect::<Vec<_>>()})
}

/// Claims as a JWT.
pub fn signed(key: &PrivateKey, claims: &Value) -> String {
    key.signer().unwrap().sign("JWT", claims).unwrap()
}

/// An object with some members changed; `null` takes one away.
pub fn changed(mut object: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        object[name] = value.clone();
    }
    object.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    object
}

/// The claims by which a client authenticates, good for five minutes.
pub fn assertion_of(server: &TestServer, client: &str, jti: &str) -> Value {
    let now = server.store.clock().now().as_second();
    json!({"iss": client, "sub": client, "aud": ISSUER, "exp": now + 300, "iat": now, "jti": jti})
}

/// The form of a client credentials request that is authenticated by an assertion.
pub fn by_assertion(assertion: &str) -> [(&str, &str); 3] {
    [
        ("grant_type", GrantType::ClientCredentials.as_str()),
        ("client_assertion_type", oauth::client_assertion::TYPE),
        ("client_assertion", assertion),
    ]
}

impl TestServer {
    /// Sends a form to an endpoint of the public API, with no other credentials than those in the form.
    pub async fn post_form(&self, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
        let response = self.http.post(self.public_url(path)).form(form).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap_or_default())
    }
}

/// A document that somebody publishes on the web, and how often it was asked for.
pub struct Published {
    address: SocketAddr,
    content: Arc<Mutex<(StatusCode, String)>>,
    asked: Arc<AtomicUsize>,
    _shutdown: DropGuard,
}

impl Published {
    pub async fn new(content: impl Into<String>) -> Self {
        let content = Arc::new(Mutex::new((StatusCode::OK, content.into())));
        let asked = Arc::new(AtomicUsize::new(0));
        let (shown, counted) = (Arc::clone(&content), Arc::clone(&asked));
        let router = Router::new().fallback(get(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            let answer = shown.lock().unwrap().clone();
            async move { answer }
        }));
        let shutdown = CancellationToken::new();
        let address = listen(router, ListenerLimits::default(), shutdown.clone()).await;
        Self { address, content, asked, _shutdown: shutdown.drop_guard() }
    }

    pub fn url(&self) -> String {
        format!("http://{}/document", self.address)
    }

    pub fn publish(&self, content: impl Into<String>) {
        *self.content.lock().unwrap() = (StatusCode::OK, content.into());
    }

    pub fn fail(&self) {
        *self.content.lock().unwrap() = (StatusCode::INTERNAL_SERVER_ERROR, String::new());
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}
