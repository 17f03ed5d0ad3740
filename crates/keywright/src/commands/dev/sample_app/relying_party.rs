//! A relying party of OpenID Connect: what an application does to log somebody in.
//!
//! It is written with a common OAuth library and a common JOSE library, and knows of the server what any application
//! knows: the issuer, and its own credentials.

use anyhow::{Context, Result, bail, ensure};
use futures::FutureExt;
use futures::future::BoxFuture;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    AuthUrl, AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet,
    ExtraTokenFields, HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl,
    RefreshToken, Scope, StandardRevocableToken, StandardTokenResponse, TokenResponse, TokenUrl,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

/// What it asks for.
const SCOPES: [&str; 5] = ["openid", "offline_access", "profile", "email", "groups"];

/// The ID token, beside what OAuth has in a token response.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct IdToken {
    id_token: Option<String>,
}

impl ExtraTokenFields for IdToken {}

type Answer = StandardTokenResponse<IdToken, BasicTokenType>;
type OAuthClient = Client<
    BasicErrorResponse,
    Answer,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// Where the server's endpoints are (OpenID Connect Discovery §3).
#[derive(Debug, Deserialize)]
struct Discovery {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    userinfo_endpoint: Url,
    jwks_uri: Url,
    end_session_endpoint: Url,
}

/// What a client is registered with.
pub(super) struct Registration {
    pub(super) id: String,
    pub(super) secret: String,
    pub(super) redirect_uri: String,
    /// Where the browser may go after a logout.
    pub(super) post_logout_redirect_uri: Option<String>,
}

/// A login under way: what must fit when the browser comes back.
#[derive(Clone)]
pub(super) struct Pending {
    state: String,
    nonce: String,
    verifier: String,
}

/// What a login or a refresh gave.
#[derive(Clone)]
pub(super) struct Tokens {
    pub(super) access: String,
    pub(super) refresh: Option<String>,
    pub(super) id: String,
    /// The claims of the ID token, verified.
    pub(super) claims: Value,
}

/// A relying party of one issuer.
pub(super) struct RelyingParty {
    http: reqwest::Client,
    discovery: Discovery,
    registration: Registration,
    client: OAuthClient,
}

impl RelyingParty {
    /// Finds the issuer's endpoints.
    ///
    /// # Errors
    /// Where the issuer does not answer as it should.
    pub(super) async fn discover(
        http: &reqwest::Client,
        issuer: &str,
        registration: Registration,
    ) -> Result<Self> {
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let discovery: Discovery = json(http.get(url)).await.context("the discovery document")?;
        ensure!(
            discovery.issuer == issuer,
            "the discovery document is of another issuer: {}",
            discovery.issuer
        );
        let client = Client::new(ClientId::new(registration.id.clone()))
            .set_client_secret(ClientSecret::new(registration.secret.clone()))
            .set_auth_uri(AuthUrl::new(discovery.authorization_endpoint.clone())?)
            .set_token_uri(TokenUrl::new(discovery.token_endpoint.clone())?)
            .set_redirect_uri(RedirectUrl::new(registration.redirect_uri.clone())?);
        Ok(Self { http: http.clone(), discovery, registration, client })
    }

    /// Begins a login: where the browser goes, and what is to be kept of it.
    pub(super) fn begin(&self) -> (Url, Pending) {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let nonce = CsrfToken::new_random();
        let request = self.client.authorize_url(CsrfToken::new_random).set_pkce_challenge(challenge);
        let scopes = SCOPES.map(|scope| Scope::new(scope.to_owned()));
        let (url, state) = request.add_scopes(scopes).add_extra_param("nonce", nonce.secret()).url();
        let (state, nonce) = (state.into_secret(), nonce.into_secret());
        (url, Pending { state, nonce, verifier: verifier.into_secret() })
    }

    /// Ends a login: exchanges the code, and verifies the ID token.
    ///
    /// # Errors
    /// Where the answer is not to this login, or of another issuer (RFC 9207), or the code is worth nothing.
    pub(super) async fn finish(&self, answer: &CallbackAnswer, pending: Pending) -> Result<Tokens> {
        let CallbackAnswer { code, state, iss, error, error_description } = answer;
        ensure!(state.as_deref() == Some(&pending.state), "the answer is not to the login that began here");
        if let Some(error) = error {
            bail!(
                "the server answered {error}: {}",
                error_description.as_deref().unwrap_or("no description")
            );
        }
        ensure!(
            iss.as_deref().is_none_or(|iss| iss == self.discovery.issuer),
            "the answer is of another issuer"
        );
        let code = AuthorizationCode::new(code.clone().context("the answer has no code")?);
        let exchange =
            self.client.exchange_code(code).set_pkce_verifier(PkceCodeVerifier::new(pending.verifier));
        let answer = exchange.request_async(&self.sender()).await?;
        self.tokens(&answer, Some(&pending.nonce), None).await
    }

    /// Gets new tokens for a refresh token.
    ///
    /// # Errors
    /// Where the server gives none.
    pub(super) async fn refresh(&self, tokens: &Tokens) -> Result<Tokens> {
        let token = RefreshToken::new(tokens.refresh.clone().context("there is no refresh token")?);
        let answer = self.client.exchange_refresh_token(&token).request_async(&self.sender()).await?;
        self.tokens(&answer, None, Some(tokens)).await
    }

    /// What the server tells of the user.
    ///
    /// # Errors
    /// Where it tells nothing.
    pub(super) async fn userinfo(&self, tokens: &Tokens) -> Result<Value> {
        json(self.http.get(self.discovery.userinfo_endpoint.clone()).bearer_auth(&tokens.access)).await
    }

    /// Where the browser goes to log out.
    pub(super) fn logout_url(&self, tokens: &Tokens) -> Url {
        let mut url = self.discovery.end_session_endpoint.clone();
        url.query_pairs_mut().append_pair("id_token_hint", &tokens.id);
        if let Some(uri) = &self.registration.post_logout_redirect_uri {
            url.query_pairs_mut().append_pair("post_logout_redirect_uri", uri);
        }
        url
    }

    /// How the OAuth library sends its requests.
    fn sender(
        &self,
    ) -> impl Fn(HttpRequest) -> BoxFuture<'static, Result<HttpResponse, reqwest::Error>> + use<> {
        let http = self.http.clone();
        move |request| send(http.clone(), request).boxed()
    }

    /// Reads a token response. A refresh may leave out what has not changed.
    async fn tokens(&self, answer: &Answer, nonce: Option<&str>, former: Option<&Tokens>) -> Result<Tokens> {
        let id = answer.extra_fields().id_token.as_deref().or(former.map(|former| former.id.as_str()));
        let id = id.context("the server gave no ID token")?.to_owned();
        let claims = self.verify(&id, nonce).await.context("the ID token")?;
        let same = former.is_none_or(|former| former.claims["sub"] == claims["sub"]);
        ensure!(same, "the ID token is of another user");
        let refresh = answer.refresh_token().map(|token| token.secret().clone());
        let refresh = refresh.or_else(|| former.and_then(|former| former.refresh.clone()));
        Ok(Tokens { access: answer.access_token().secret().clone(), refresh, id, claims })
    }

    /// Verifies an ID token (OpenID Connect Core §3.1.3.7) and gives its claims.
    async fn verify(&self, id_token: &str, nonce: Option<&str>) -> Result<Value> {
        let header = decode_header(id_token)?;
        let keys: Value = json(self.http.get(self.discovery.jwks_uri.clone())).await.context("the keys")?;
        let mut keys = keys["keys"].as_array().into_iter().flatten();
        let key = keys.find(|key| key["kid"].as_str() == header.kid.as_deref());
        let key = serde_json::from_value(key.context("it is signed with no published key")?.clone())?;
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&self.discovery.issuer]);
        validation.set_audience(&[&self.registration.id]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let claims: Value = decode(id_token, &DecodingKey::from_jwk(&key)?, &validation)?.claims;
        ensure!(
            nonce.is_none_or(|nonce| claims["nonce"] == nonce),
            "it is not for the login that began here"
        );
        Ok(claims)
    }
}

/// What the browser brings back (RFC 6749 §4.1.2).
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct CallbackAnswer {
    code: Option<String>,
    state: Option<String>,
    iss: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

/// Sends a request of the OAuth library.
async fn send(http: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, reqwest::Error> {
    let response = http.execute(request.try_into()?).await?;
    let mut answer = HttpResponse::new(Vec::new());
    *answer.status_mut() = response.status();
    *answer.headers_mut() = response.headers().clone();
    *answer.body_mut() = response.bytes().await?.to_vec();
    Ok(answer)
}

/// The answer to a request, in JSON.
pub(super) async fn json<T: serde::de::DeserializeOwned>(request: reqwest::RequestBuilder) -> Result<T> {
    Ok(request.send().await?.error_for_status()?.json().await?)
}
