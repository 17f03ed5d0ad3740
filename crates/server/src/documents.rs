//! The published documents as ready bytes: the key set and the discovery document.

use std::sync::{Arc, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use headers::ETag;
use http::HeaderValue;
use jiff::Timestamp;
use oauth::discovery;
use sha2::{Digest, Sha256};
use store::{ID_TOKEN_SET, KeyRegistry};

use crate::error::Failure;
use crate::{Server, Settings, answer};

/// The documents, as they are at one second with one state of the keys and the settings. They are rendered at most once a second, and
/// only when asked for.
pub(crate) struct Documents {
    keys: Arc<KeyRegistry>,
    settings: Arc<Settings>,
    at: Timestamp,
    /// The published keys.
    pub(crate) jwks: KeySetDocument,
    /// The discovery document.
    pub(crate) discovery: Bytes,
}

/// The published keys, with what caches need to know.
pub(crate) struct KeySetDocument {
    /// The JSON text.
    pub(crate) body: Bytes,
    /// Names this very text.
    pub(crate) etag: ETag,
    /// For how long verifiers may keep it.
    pub(crate) cache_control: HeaderValue,
}

impl Server {
    /// The documents as they are now.
    ///
    /// # Errors
    /// [`Failure::Store`] where the keys cannot be read.
    pub(crate) async fn documents(&self) -> Result<Arc<Documents>, Failure> {
        let rendered = self.rendered().read().unwrap_or_else(PoisonError::into_inner).clone();
        let (keys, now) = match (self.store().keys().await, rendered.clone()) {
            (Ok(keys), _) => (keys, self.now()),
            // While the database is away, resource servers still verify tokens: by the keys that were last known.
            (Err(error), Some(last)) if error.is_transient() => return Ok(last),
            (Err(error), _) => return Err(error.into()),
        };
        if let Some(documents) = rendered
            && Arc::ptr_eq(&documents.keys, &keys)
            && Arc::ptr_eq(&documents.settings, self.shared_settings())
            && documents.at == now
        {
            return Ok(documents);
        }
        let documents = Arc::new(self.render(keys, now));
        *self.rendered().write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&documents));
        Ok(documents)
    }

    fn render(&self, keys: Arc<KeyRegistry>, now: Timestamp) -> Documents {
        let settings = self.settings();
        let algorithms = keys.signing_algorithms(ID_TOKEN_SET, now);
        let discovery = discovery::document(
            &settings.issuer,
            &settings.public_url,
            &settings.discovery,
            &settings.subject_types,
            algorithms,
        );
        Documents {
            jwks: key_set(&keys, &settings.broadcast_keys, now),
            discovery: answer::to_json(&discovery),
            settings: Arc::clone(self.shared_settings()),
            keys,
            at: now,
        }
    }
}

fn key_set(keys: &KeyRegistry, broadcast: &[String], now: Timestamp) -> KeySetDocument {
    let body = answer::to_json(&keys.published(broadcast, now));
    let cache_control = match keys.max_age(broadcast).as_secs() {
        seconds if seconds > 0 => format!("public, max-age={seconds}"),
        _ => "no-cache".to_owned(),
    };
    let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(Sha256::digest(&body)));
    #[expect(clippy::expect_used, reason = "base64url in quotes is an entity tag")]
    let etag = etag.parse().expect("an entity tag");
    #[expect(clippy::expect_used, reason = "words and a number are a header value")]
    let cache_control = HeaderValue::from_str(&cache_control).expect("a header value");
    KeySetDocument { body, etag, cache_control }
}
