//! A whole login: the browser's three requests, the login app's four, and the client's one for the tokens.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use form_urlencoded::Serializer;
use http::header::{COOKIE, SET_COOKIE};
use http::{Request, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::connections::{Answer, Api};
use crate::setup::REDIRECT_URI;
use crate::user::{Tokens, User};

const SCOPE: &str = "openid offline";

/// The cookies of one browser.
#[derive(Default)]
struct Cookies(Vec<(String, String)>);

/// What a login app is asked; what the pages of real ones need.
#[derive(Deserialize)]
struct Asked {
    challenge: String,
    requested_scope: Vec<String>,
    skip: bool,
}

#[derive(Deserialize)]
struct RedirectTo {
    redirect_to: String,
}

/// The claims of an ID token that a client looks at.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    nonce: String,
}

impl User {
    /// Logs in with a new browser. A login that is remembered is of a user who was never seen before.
    pub(crate) async fn log_in(&mut self, remember: bool) -> Result<Tokens> {
        self.logins += 1;
        let subject =
            if remember { format!("{}-{}", self.subject, self.logins) } else { self.subject.clone() };
        let unique = format!("{}-{}", self.subject, self.logins);
        let verifier = URL_SAFE_NO_PAD.encode(Sha256::digest(&unique));
        let nonce = &verifier[..22];
        let mut cookies = Cookies::default();

        let start = authorization_request(&self.setup.application_id, &verifier, nonce);
        let page = self.open(&start, &mut cookies).await?;
        let next = self.answer_login(&page, &subject, remember).await?;
        let page = self.open(&next, &mut cookies).await?;
        let next = self.answer_consent(&page, remember).await?;
        let callback = self.open(&next, &mut cookies).await?;

        let tokens = self.exchange(&callback.location_parameter("code")?, &verifier).await?;
        let id_token = tokens.id_token.as_deref().context("no ID token")?;
        let claims: Claims = serde_json::from_slice(&self.setup.check_jwt(id_token)?)?;
        ensure!(claims.sub == subject && claims.nonce == nonce, "another login's ID token");
        ensure!(tokens.refresh_token.is_some(), "no refresh token");
        Ok(tokens)
    }

    /// Goes to an address of the server as a browser does, by its path alone.
    async fn open(&mut self, url: &str, cookies: &mut Cookies) -> Result<Answer> {
        let path = url.find("/oauth2/auth").map_or(url, |at| &url[at..]);
        let mut request = Request::get(path);
        if !cookies.0.is_empty() {
            request = request.header(COOKIE, cookies.header());
        }
        let answer = self.connections.send(Api::Public, request, Bytes::new()).await?.expect_redirect()?;
        cookies.keep(&answer)?;
        Ok(answer)
    }

    async fn answer_login(&mut self, page: &Answer, subject: &str, remember: bool) -> Result<String> {
        let answer = json!({"subject": subject, "remember": remember, "remember_for": 3600, "amr": ["pwd"]});
        self.decide("login", page, |_| answer).await
    }

    async fn answer_consent(&mut self, page: &Answer, remember: bool) -> Result<String> {
        self.decide("consent", page, |asked| {
            json!({
                "grant_scope": asked.requested_scope,
                "remember": remember,
                "remember_for": 3600,
                "session": {"id_token": {"email": "user@example.com"}},
            })
        })
        .await
    }

    /// Does what the login app does: looks at what is asked, answers it, and tells where the browser goes on.
    async fn decide(
        &mut self,
        kind: &str,
        page: &Answer,
        answer: impl FnOnce(Asked) -> Value,
    ) -> Result<String> {
        let challenge = page.location_parameter(&format!("{kind}_challenge"))?;
        let query =
            Serializer::new(String::new()).append_pair(&format!("{kind}_challenge"), &challenge).finish();
        let path = format!("/admin/oauth2/auth/requests/{kind}");
        let asked = self.connections.get(Api::Admin, &format!("{path}?{query}")).await?;
        let asked: Asked = asked.expect(StatusCode::OK)?.json()?;
        ensure!(asked.challenge == challenge && !asked.skip, "the {kind} request is another one");
        let request = Request::put(format!("{path}/accept?{query}"));
        let accepted = self.connections.send_json(request, &answer(asked)).await?;
        Ok(accepted.expect(StatusCode::OK)?.json::<RedirectTo>()?.redirect_to)
    }

    async fn exchange(&mut self, code: &str, verifier: &str) -> Result<Tokens> {
        let form = Serializer::new(String::new())
            .append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", REDIRECT_URI)
            .append_pair("code_verifier", verifier)
            .finish();
        let authorization = self.setup.application.clone();
        self.token_request(&authorization, form).await
    }
}

fn authorization_request(client_id: &str, verifier: &str, nonce: &str) -> String {
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
    let query = Serializer::new(String::new())
        .append_pair("client_id", client_id)
        .append_pair("response_type", "code")
        .append_pair("redirect_uri", REDIRECT_URI)
        .append_pair("scope", SCOPE)
        .append_pair("state", nonce)
        .append_pair("nonce", nonce)
        .append_pair("code_challenge", &challenge)
        .append_pair("code_challenge_method", "S256")
        .finish();
    format!("/oauth2/auth?{query}")
}

impl Cookies {
    fn header(&self) -> String {
        let pairs: Vec<_> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    fn keep(&mut self, answer: &Answer) -> Result<()> {
        for cookie in answer.headers.get_all(SET_COOKIE) {
            let text = cookie.to_str()?;
            let pair = text.split(';').next().and_then(|pair| pair.split_once('='));
            let (name, value) = pair.context("a cookie without a value")?;
            self.0.retain(|(known, _)| known != name);
            if !text.contains("Max-Age=0") {
                self.0.push((name.to_owned(), value.to_owned()));
            }
        }
        Ok(())
    }
}
