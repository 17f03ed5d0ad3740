//! `/oauth2/fallbacks/consent`: the built-in consent page.

use askama::Template;
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use oauth::authorization_request::AuthorizationRequest;
use oauth::consent::{AcceptConsent, ConsentChallenge, ConsentSession};
use oauth::denial::Rejection;
use oauth::flow::Interaction;
use oauth::{Error, Scope, standard_claims};
use serde_json::Map;

use super::client_names::ClientNames;
use super::{answered, go_on};
use crate::admin::interaction::{UnderWay, under_way};
use crate::admin::{consent_request, login_request};
use crate::browser_request::BrowserRequest;
use crate::error::Failure;
use crate::{DemonstrationUser, DemonstrationUsers, Server, browser_flow, pages};

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentPage<'a> {
    nonce: &'a str,
    /// Names the form and its challenge.
    kind: &'static str,
    client: &'a ClientNames,
    subject: &'a str,
    scopes: &'a [Asks<'a>],
    claims: &'a [&'a str],
    audience: &'a [String],
    back: Option<&'a Back>,
    challenge: &'a str,
}

/// A scope, and what it means where that is known.
struct Asks<'a> {
    scope: &'a str,
    meaning: Option<&'static str>,
}

impl<'a> Asks<'a> {
    fn of(scope: &'a Scope) -> Self {
        let scope = scope.as_str();
        let meaning = match scope {
            "openid" => "Learn who you are: your user id and when you logged in",
            "profile" => "See your profile: your name, picture, language and the like",
            "email" => "See your email address",
            "address" => "See your postal address",
            "phone" => "See your telephone number",
            "offline_access" | "offline" => "Keep this access while you are away",
            _ => return Self { scope, meaning: None },
        };
        Self { scope, meaning: Some(meaning) }
    }
}

/// Where the browser goes after the answer, or instead of one; there is no such place where a device asks.
struct Back {
    destination: String,
    another_user: String,
}

/// What the page asks: the challenge as it came, what it holds, and whose it is.
struct Asked<'a> {
    text: &'a str,
    challenge: ConsentChallenge,
    under_way: UnderWay,
}

/// The users whose claims are given here; `None` where another page is configured, or none is to be built in.
fn users(server: &Server) -> Option<&DemonstrationUsers> {
    let settings = server.settings();
    settings.demonstration.as_ref().filter(|_| settings.pages.consent.is_none())
}

fn not_configured(server: &Server) -> Response {
    pages::not_configured("consent", "urls.consent", server.store().entropy())
}

/// `GET`: the form; what need not be asked is granted without it.
pub(crate) async fn show(State(server): State<Server>, request: Request) -> Response {
    let Some(users) = users(&server) else { return not_configured(&server) };
    answered(&server, shown(&server, users, request).await)
}

async fn shown(server: &Server, users: &DemonstrationUsers, request: Request) -> Result<Response, Failure> {
    let browser = BrowserRequest::read(server, request).await?;
    let asked = asked(server, &browser).await?;
    if asked.challenge.skip {
        return accept(server, users, &asked, Consent::Skipped).await;
    }
    let request = &asked.under_way.request;
    let scopes: Vec<_> = request.scope.iter().map(Asks::of).collect();
    let audience: Vec<_> = request.audience.iter().map(|audience| audience.as_str().to_owned()).collect();
    let user = users.get(&asked.challenge.login.subject);
    let claims = user.map(|user| named(user, request)).unwrap_or_default();
    let client = ClientNames::of(&asked.under_way.client);
    let back = request.return_address.as_ref().map(|address| Back {
        destination: address.redirect_uri.destination(),
        another_user: login_request::restart(server, asked.challenge.flow.clone()).as_str().to_owned(),
    });
    Ok(pages::page(StatusCode::OK, server.store().entropy(), |nonce| {
        let page = ConsentPage {
            nonce,
            kind: "consent",
            client: &client,
            subject: &asked.challenge.login.subject,
            scopes: &scopes,
            claims: &claims,
            audience: &audience,
            back: back.as_ref(),
            challenge: asked.text,
        };
        page.render()
    }))
}

/// `POST`: what the user decided.
pub(crate) async fn decide(State(server): State<Server>, request: Request) -> Response {
    let Some(users) = users(&server) else { return not_configured(&server) };
    answered(&server, decided(&server, users, request).await)
}

async fn decided(server: &Server, users: &DemonstrationUsers, request: Request) -> Result<Response, Failure> {
    let browser = BrowserRequest::read(server, request).await?;
    let asked = asked(server, &browser).await?;
    match browser.form.require("decision")? {
        "allow" => {
            let remember = browser.form.get("remember").is_some();
            accept(server, users, &asked, Consent::Given { remember }).await
        }
        "deny" => {
            let rejection = Rejection {
                error: "access_denied".to_owned(),
                error_description: "The user did not consent.".to_owned(),
                ..Rejection::default()
            };
            Ok(go_on(&consent_request::reject_with(server, &asked.challenge, rejection).await?))
        }
        _ => Err(Error::invalid_request("The parameter 'decision' must be allow or deny.").into()),
    }
}

/// How the user consented.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Consent {
    /// On the page that told what is asked for.
    Given { remember: bool },
    /// Once before, to scopes.
    Skipped,
}

/// Those of a user's claims that the client asks for one by one, beside what its scopes give.
fn named<'a>(user: &'a DemonstrationUser, request: &AuthorizationRequest) -> Vec<&'a str> {
    let names = user.claims.keys().map(String::as_str);
    names
        .filter(|name| request.claims.asks(name) && !standard_claims::is_given(name, &request.scope))
        .collect()
}

/// Grants all that was asked for, with what the scopes tell of the user; claims that are asked for one by one where the
/// user was told of them.
async fn accept(
    server: &Server,
    users: &DemonstrationUsers,
    asked: &Asked<'_>,
    consent: Consent,
) -> Result<Response, Failure> {
    let request = &asked.under_way.request;
    let mut id_token = Map::new();
    if let Some(user) = users.get(&asked.challenge.login.subject) {
        let named = if consent == Consent::Skipped { Vec::new() } else { named(user, request) };
        let given = |name: &str| named.contains(&name) || standard_claims::is_given(name, &request.scope);
        let claims = user.claims.iter().filter(|(name, _)| given(name));
        id_token.extend(claims.map(|(name, value)| (name.clone(), value.clone())));
    }
    let answer = AcceptConsent {
        grant_scope: request.scope.iter().cloned().collect(),
        grant_access_token_audience: request.audience.clone(),
        session: ConsentSession { id_token, ..ConsentSession::default() },
        remember: consent == Consent::Given { remember: true },
        ..AcceptConsent::default()
    };
    Ok(go_on(&consent_request::accept_with(server, &asked.challenge, answer).await?))
}

/// # Errors
/// `request_forbidden` where the flow began in another browser, `request_unauthorized` where it has taken too long.
async fn asked<'a>(server: &Server, browser: &'a BrowserRequest) -> Result<Asked<'a>, Failure> {
    let text = browser.form.require("consent_challenge")?;
    let challenge = consent_request::open(server, text).await?;
    browser_flow::check(server, &browser.headers, Interaction::Consent, challenge.flow.id)?;
    let under_way = under_way(server, &challenge.flow).await?;
    Ok(Asked { text, challenge, under_way })
}
