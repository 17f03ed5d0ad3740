//! Making tokens: sealed, or signed with the key of the moment.

use std::time::Duration;

use jiff::Timestamp;
use jose::schedule::token_expiry_cap;
use oauth::grant::Grant;
use oauth::id_token::{self, IdToken};
use oauth::{AccessToken, AccessTokenStrategy, Client, jwt_access_token};
use serde::Serialize;
use store::{ACCESS_TOKEN_SET, ID_TOKEN_SET, SigningKey};

use crate::Server;
use crate::authorization_times::after;
use crate::error::Failure;

/// How an access token will be made. What may be missing is looked for before anything is used up.
pub(super) struct AccessTokenIssue {
    /// When it will end.
    pub(super) expires_at: Timestamp,
    key: Option<SigningKey>,
}

impl AccessTokenIssue {
    /// # Errors
    /// [`Failure::NoSigningKey`], [`Failure::Store`].
    pub(super) async fn prepare(
        server: &Server,
        strategy: AccessTokenStrategy,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let expires_at = after(now, lifetime);
        match strategy {
            AccessTokenStrategy::Opaque => Ok(Self { expires_at, key: None }),
            AccessTokenStrategy::Jwt => {
                let keys = server.store().keys().await?;
                let key = keys.signing_key(ACCESS_TOKEN_SET, None, now).ok_or(Failure::NoSigningKey)?;
                Ok(Self { expires_at: capped(expires_at, &key), key: Some(key) })
            }
        }
    }

    /// The token as text. `grant` is the one that it is of, where it is of one.
    ///
    /// # Errors
    /// `invalid_request` where it would be too large; [`Failure::Busy`], [`Failure::Defect`].
    pub(super) async fn issue(
        self,
        server: &Server,
        token: AccessToken,
        grant: Option<&Grant>,
    ) -> Result<String, Failure> {
        let ring = server.store().ring();
        let sealed = token.seal(ring, server.store().entropy())?;
        let Some(key) = self.key else { return Ok(sealed.sign(ring)) };
        let meaning = token.meaning(grant);
        let meaning = meaning.ok_or_else(|| Failure::Defect("a token means nothing".to_owned()))?;
        let settings = server.settings();
        let claims = jwt_access_token::claims(&token, &meaning, &sealed, &settings.issuer, settings.jwt);
        sign(server, key, jwt_access_token::TYP, &claims).await
    }
}

/// How an ID token will be made.
pub(super) struct IdTokenIssue {
    expires_at: Timestamp,
    key: SigningKey,
}

impl IdTokenIssue {
    /// # Errors
    /// [`Failure::NoSigningKey`] where no key signs with the client's algorithm; [`Failure::Store`].
    pub(super) async fn prepare(
        server: &Server,
        client: &Client,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let keys = server.store().keys().await?;
        let algorithm = client.metadata.id_token_signed_response_alg;
        let key = keys.signing_key(ID_TOKEN_SET, algorithm, now).ok_or(Failure::NoSigningKey)?;
        Ok(Self { expires_at: capped(after(now, lifetime), &key), key })
    }

    /// The ID token that goes with an access token.
    ///
    /// # Errors
    /// [`Failure::Busy`], [`Failure::Defect`].
    pub(super) async fn issue(
        self,
        server: &Server,
        grant: &Grant,
        access_token: &str,
        now: Timestamp,
    ) -> Result<String, Failure> {
        let token = IdToken {
            issuer: &server.settings().issuer,
            grant,
            access_token: Some(access_token),
            issued_at: now,
            expires_at: self.expires_at,
        };
        let claims = token.claims(self.key.signer.algorithm(), server.store().entropy());
        sign(server, self.key, id_token::TYP, &claims).await
    }
}

/// No token outlives the publication of its key.
fn capped(expires_at: Timestamp, key: &SigningKey) -> Timestamp {
    key.removed_at.map_or(expires_at, |removed_at| expires_at.min(token_expiry_cap(removed_at)))
}

/// Signs here where it is quick, and on the pool where it is not.
async fn sign(
    server: &Server,
    key: SigningKey,
    typ: &'static str,
    claims: &impl Serialize,
) -> Result<String, Failure> {
    let (algorithm, signer) = (key.signer.algorithm(), key.signer);
    let defect = |error: jose::Error| Failure::Defect(error.to_string());
    let token = if signer.is_slow() {
        let input = signer.signing_input(typ, claims).map_err(defect)?;
        server.signatures().run(move || signer.sign_input(input)).await?.map_err(defect)?
    } else {
        signer.sign(typ, claims).map_err(defect)?
    };
    server.metrics().signature(algorithm);
    Ok(token)
}
