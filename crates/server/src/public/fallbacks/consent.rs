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

use super::client_names::ClientNames;
use super::{answered, go_on};
use crate::admin::interaction::{UnderWay, under_way};
use crate::admin::{consent_request, login_request};
use crate::browser_request::BrowserRequest;
use crate::error::Failure;
use crate::{DemonstrationUsers, Server, browser_flow, pages};

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentPage<'a> {
    nonce: &'a str,
    client: &'a ClientNames,
    subject: &'a str,
    scopes: &'a [Asks<'a>],
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
        return accept(server, users, &asked, false).await;
    }
    let request = &asked.under_way.request;
    let scopes: Vec<_> = request.scope.iter().map(Asks::of).collect();
    let audience: Vec<_> = request.audience.iter().map(|audience| audience.as_str().to_owned()).collect();
    let client = ClientNames::of(&asked.under_way.client);
    let back = request.return_address.as_ref().map(|address| Back {
        destination: address.redirect_uri.destination(),
        another_user: login_request::restart(server, asked.challenge.flow.clone()).as_str().to_owned(),
    });
    Ok(pages::page(StatusCode::OK, server.store().entropy(), |nonce| {
        let page = ConsentPage {
            nonce,
            client: &client,
            subject: &asked.challenge.login.subject,
            scopes: &scopes,
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
        "allow" => accept(server, users, &asked, browser.form.get("remember").is_some()).await,
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

/// Grants all that was asked for, with what the scopes tell of the user.
async fn accept(
    server: &Server,
    users: &DemonstrationUsers,
    asked: &Asked<'_>,
    remember: bool,
) -> Result<Response, Failure> {
    let AuthorizationRequest { scope, audience, .. } = &asked.under_way.request;
    let user = users.get(&asked.challenge.login.subject);
    let id_token = user.map(|user| standard_claims::granted(&user.claims, scope)).unwrap_or_default();
    let answer = AcceptConsent {
        grant_scope: scope.iter().cloned().collect(),
        grant_access_token_audience: audience.clone(),
        session: ConsentSession { id_token, ..ConsentSession::default() },
        remember,
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
