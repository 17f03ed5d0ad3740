//! Making tokens: sealed, or signed with the key of the moment.

use std::time::Duration;

use jiff::Timestamp;
use jose::SigningAlgorithm;
use jose::schedule::token_expiry_cap;
use oauth::grant::Grant;
use oauth::id_token::{self, IdToken};
use oauth::logout_token::{self, LogoutToken};
use oauth::{AccessToken, AccessTokenStrategy, Client, SessionId, jwt_access_token};
use serde::Serialize;
use serde_json::{Map, Value};
use store::{ACCESS_TOKEN_SET, ID_TOKEN_SET, SigningKey};

use crate::Server;
use crate::authorization_times::after;
use crate::error::Failure;
use crate::work_pool::Place;

/// How an access token will be made. What may be missing is looked for before anything is used up.
pub(crate) struct AccessTokenIssue {
    /// When it will end.
    pub(crate) expires_at: Timestamp,
    signing: Option<Signing>,
}

/// A key, and a place on the pool where its signatures are slow.
struct Signing {
    key: SigningKey,
    place: Option<Place>,
}

impl Signing {
    fn prepare(server: &Server, key: SigningKey) -> Result<Self, Failure> {
        let place = if key.signer.is_slow() { Some(server.signatures().reserve()?) } else { None };
        Ok(Self { key, place })
    }

    async fn sign(
        self,
        server: &Server,
        typ: &'static str,
        claims: &impl Serialize,
    ) -> Result<String, Failure> {
        let Self { key: SigningKey { signer, .. }, place } = self;
        let algorithm = signer.algorithm();
        let defect = |error: jose::Error| Failure::Defect(error.to_string());
        let input = signer.signing_input(typ, claims).map_err(defect)?;
        let token = match place {
            Some(place) => server.signatures().run_in(place, move || signer.sign_input(input)).await?,
            None => signer.sign_input(input),
        };
        server.metrics().signature(algorithm);
        token.map_err(defect)
    }
}

impl AccessTokenIssue {
    /// # Errors
    /// [`Failure::NoSigningKey`], [`Failure::Busy`], [`Failure::Store`].
    pub(crate) async fn prepare(
        server: &Server,
        strategy: AccessTokenStrategy,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let expires_at = after(now, lifetime);
        match strategy {
            AccessTokenStrategy::Opaque => Ok(Self { expires_at, signing: None }),
            AccessTokenStrategy::Jwt => {
                let keys = server.store().keys().await?;
                let key = keys.signing_key(ACCESS_TOKEN_SET, None, now).ok_or(Failure::NoSigningKey)?;
                let expires_at = capped(expires_at, &key);
                Ok(Self { expires_at, signing: Some(Signing::prepare(server, key)?) })
            }
        }
    }

    /// The token as text. `grant` is the one that it is of, where it is of one.
    ///
    /// # Errors
    /// `invalid_request` where it would be too large; [`Failure::Defect`].
    pub(crate) async fn issue(
        self,
        server: &Server,
        token: AccessToken,
        grant: Option<&Grant>,
    ) -> Result<String, Failure> {
        let ring = server.store().ring();
        let sealed = token.seal(ring, server.store().entropy())?;
        let Some(signing) = self.signing else { return Ok(sealed.sign(ring)) };
        let meaning = token.meaning(grant);
        let meaning = meaning.ok_or_else(|| Failure::Defect("a token means nothing".to_owned()))?;
        let settings = server.settings();
        let claims = jwt_access_token::claims(&token, &meaning, &sealed, &settings.issuer, &settings.jwt);
        signing.sign(server, jwt_access_token::TYP, &claims).await
    }
}

/// How an ID token will be made.
pub(crate) struct IdTokenIssue {
    expires_at: Timestamp,
    signing: Signing,
}

impl IdTokenIssue {
    /// # Errors
    /// [`Failure::NoSigningKey`] where no key signs with the client's algorithm; [`Failure::Busy`], [`Failure::Store`].
    pub(crate) async fn prepare(
        server: &Server,
        client: &Client,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let key = id_token_key(server, client, now).await?;
        let expires_at = capped(after(now, lifetime), &key);
        Ok(Self { expires_at, signing: Signing::prepare(server, key)? })
    }

    /// The ID token that goes with an access token and a code.
    ///
    /// # Errors
    /// [`Failure::Defect`].
    pub(crate) async fn issue(
        self,
        server: &Server,
        grant: &Grant,
        (access_token, code): (Option<&str>, Option<&str>),
        now: Timestamp,
    ) -> Result<String, Failure> {
        let token = IdToken {
            issuer: &server.settings().issuer,
            grant,
            access_token,
            code,
            issued_at: now,
            expires_at: self.expires_at,
        };
        let claims = token.claims(self.signing.key.signer.algorithm(), server.store().entropy());
        self.signing.sign(server, id_token::TYP, &claims).await
    }
}

/// The claims of the userinfo endpoint, signed by the ID token set (OpenID Connect Core §5.3.2).
///
/// # Errors
/// [`Failure::NoSigningKey`] where no key signs with this algorithm; [`Failure::Busy`], [`Failure::Store`].
pub(crate) async fn sign_userinfo(
    server: &Server,
    algorithm: SigningAlgorithm,
    claims: &Map<String, Value>,
) -> Result<String, Failure> {
    let keys = server.store().keys().await?;
    let key = keys.signing_key(ID_TOKEN_SET, Some(algorithm), server.now()).ok_or(Failure::NoSigningKey)?;
    Signing::prepare(server, key)?.sign(server, id_token::TYP, claims).await
}

/// A logout token: it tells `client` that the login of a subject in a session has ended. It is signed as the client's ID
/// tokens are.
///
/// # Errors
/// Those of [`IdTokenIssue`].
pub(crate) async fn logout_token(
    server: &Server,
    client: &Client,
    (session, subject): (SessionId, &str),
) -> Result<String, Failure> {
    let now = server.now();
    let key = id_token_key(server, client, now).await?;
    let expires_at = capped(now.saturating_add(logout_token::LIFETIME).unwrap_or(Timestamp::MAX), &key);
    let signing = Signing::prepare(server, key)?;
    let (issuer, entropy) = (&server.settings().issuer, server.store().entropy());
    // A name that the login app forced is known to the grant alone; the session is name enough.
    let subjects = server.settings().subject_types.of(client);
    let is_known_so = subjects.is_ok_and(|subjects| subjects.pairwise(subject, None).is_none());
    let login = (session, is_known_so.then_some(subject));
    let token = LogoutToken::new(issuer, &client.id, login, (now, expires_at), entropy);
    signing.sign(server, logout_token::TYP, &token).await
}

/// The key that signs what is for a client about its users.
async fn id_token_key(server: &Server, client: &Client, now: Timestamp) -> Result<SigningKey, Failure> {
    let keys = server.store().keys().await?;
    let algorithm = client.metadata.id_token_signed_response_alg;
    keys.signing_key(ID_TOKEN_SET, algorithm, now).ok_or(Failure::NoSigningKey)
}

/// No token outlives the publication of its key.
fn capped(expires_at: Timestamp, key: &SigningKey) -> Timestamp {
    key.removed_at.map_or(expires_at, |removed_at| expires_at.min(token_expiry_cap(removed_at)))
}
