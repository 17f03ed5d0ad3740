//! `GET` and `POST /oauth2/auth` (RFC 6749 §3.1, OpenID Connect Core §3.1.2).
//!
//! A flow comes here three times, and nothing of it is stored in between:
//!
//! ```text
//!  client ─▶ start ─────────▶ login app    (login_challenge)
//!            after_login ───▶ consent app  (login_verifier in, consent_challenge out)
//!            after_consent ─▶ client       (consent_verifier in, code or tokens out)
//! ```

pub(crate) mod after_consent;
pub(crate) mod after_login;
mod request_object;
mod response;
pub(crate) mod start;
mod stop;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use oauth::authorization_request::AuthorizationRequest;
use oauth::consent::RememberedConsent;
use oauth::denial::Denial;
use oauth::flow::{Flow, FlowKind, FlowReference, Interaction, is_too_old};
use oauth::logout::Hint;
use oauth::wanted_user::WantedUser;
use oauth::{Client, ClientId, ClientSubjects, Error, ErrorCode};
use store::StoredConsent;

use crate::browser_request::BrowserRequest;
pub(crate) use crate::public::authorize::stop::Stop;
use crate::{Server, browser_flow, id_token_hint};

/// The parameters with which a flow goes on here. A device's goes on elsewhere: its verifier says nothing here.
const VERIFIERS: [&str; 2] = ["consent_verifier", "login_verifier"];

/// A request that its client may make, with everything that a step needs.
pub(crate) struct Asked<'a> {
    pub(crate) server: &'a Server,
    pub(crate) browser: &'a BrowserRequest,
    /// Where the request came from.
    pub(crate) kind: FlowKind,
    pub(crate) client: Arc<Client>,
    pub(crate) request: AuthorizationRequest,
    pub(crate) subjects: ClientSubjects,
}

pub(crate) async fn authorize(State(server): State<Server>, request: Request) -> Response {
    let answered = match BrowserRequest::read(&server, request).await {
        Ok(browser) => step(&server, browser).await,
        Err(failure) => Err(failure.into()),
    };
    answered.unwrap_or_else(|stop| stop.answer(&server))
}

async fn step(server: &Server, mut browser: BrowserRequest) -> Result<Response, Stop> {
    let client = client(server, &browser).await?;
    tracing::Span::current().record("client_id", client.id.as_str());
    // A verifier comes with the parameters that were resolved when its flow began, and is bound to them.
    if VERIFIERS.into_iter().all(|verifier| browser.form.get(verifier).is_none()) {
        browser.form = request_object::resolved(server, &client, browser.form).await?;
    }
    let request = AuthorizationRequest::parse(&client, &browser.form, server.settings().authorization)?;
    let subjects = server.settings().subject_types.of(&client);
    let subjects = subjects.map_err(|error| tell(&request, error.into()))?;
    let asked = Asked { server, browser: &browser, kind: FlowKind::Authorization, client, request, subjects };
    if let Some(verifier) = browser.form.get("consent_verifier") {
        after_consent::go_on(&asked, verifier).await
    } else if let Some(verifier) = browser.form.get("login_verifier") {
        after_login::go_on(&asked, verifier).await
    } else {
        start::go_on(&asked).await
    }
}

/// The client that a browser's request names.
///
/// # Errors
/// The user is told where there is none.
pub(crate) async fn client(server: &Server, browser: &BrowserRequest) -> Result<Arc<Client>, Stop> {
    let unknown = || Stop::ToUser(Error::invalid_client("The client_id names no client of this server."));
    let id =
        ClientId::parse(browser.form.require("client_id").map_err(Stop::ToUser)?).map_err(|_| unknown())?;
    server.named_client(&id).await?.ok_or_else(unknown)
}

impl Asked<'_> {
    /// The flow that a verifier goes on with, for the browser in which it began.
    fn resume(&self, reference: Option<&FlowReference>, interaction: Interaction) -> Result<Flow, Stop> {
        let flow = self.flow(reference, interaction)?;
        browser_flow::check(self.server, &self.browser.headers, interaction, flow.id)
            .map_err(Stop::ToUser)?;
        Ok(flow)
    }

    /// The flow that a verifier goes on with, while it lasts, in whichever browser.
    pub(crate) fn flow(
        &self,
        reference: Option<&FlowReference>,
        interaction: Interaction,
    ) -> Result<Flow, Stop> {
        let name = interaction.as_str();
        let resumed = reference.and_then(|flow| flow.resume(&self.client, self.browser.form.clone()));
        let flow = resumed.filter(|flow| flow.kind == self.kind).ok_or_else(|| {
            let why = format!("The {name}_verifier is not valid, or not for this request.");
            self.to_client(Error::new(ErrorCode::AccessDenied, why))
        })?;
        if is_too_old(flow.id, self.server.settings().flow.of(flow.kind), self.server.now()) {
            let why = "The request took too long: begin again.";
            return Err(Stop::ToUser(Error::new(ErrorCode::RequestUnauthorized, why)));
        }
        Ok(flow)
    }

    /// True where what a user consented to before covers the request.
    fn is_covered_by(&self, consent: Option<StoredConsent>, subject: &str) -> bool {
        let (store, strategy) = (self.server.store(), self.server.settings().scope_strategy());
        let opened = consent.and_then(|row| RememberedConsent::open(store.ring(), &row.content));
        let covers = |consent: RememberedConsent| {
            consent.covers((subject, &self.client), &self.request, strategy, self.server.now())
        };
        opened.is_some_and(covers)
    }

    fn to_client(&self, error: Error) -> Stop {
        self.denied(error.into())
    }

    /// Tells the client, wherever it waits for an answer.
    fn denied(&self, denial: Denial) -> Stop {
        tell(&self.request, denial)
    }

    /// The user whom the request is about. Any published key may have signed the `id_token_hint`; it may have expired
    /// (OpenID Connect Core §3.1.2.1).
    async fn wanted_user(&self) -> Result<WantedUser, Stop> {
        let hint = match self.browser.form.get("id_token_hint") {
            Some(text) => {
                let claims = id_token_hint::verified(self.server, text).await?;
                let hint = claims.as_ref().and_then(Hint::of_claims);
                let not_ours = || self.to_client(Error::invalid_request(id_token_hint::NOT_OURS));
                Some(hint.ok_or_else(not_ours)?)
            }
            None => None,
        };
        Ok(WantedUser { subjects: self.subjects.clone(), hint })
    }
}

fn tell(request: &AuthorizationRequest, denial: Denial) -> Stop {
    match &request.return_address {
        Some(address) => Stop::ToClient(Box::new(address.clone()), denial),
        None => Stop::ToDevice(None, denial),
    }
}

/// Sends the browser to a page of this server or of the configuration.
pub(crate) fn found(location: &str) -> Response {
    redirect(StatusCode::FOUND, location)
}

/// Sends the browser on. A location that makes no header value (nobody can have registered one) is a server error.
pub(crate) fn redirect(status: StatusCode, location: &str) -> Response {
    let mut response = Response::default();
    match HeaderValue::try_from(location) {
        Ok(location) => {
            *response.status_mut() = status;
            response.headers_mut().insert(LOCATION, location);
        }
        Err(_) => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
    }
    response
}
