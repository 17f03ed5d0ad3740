//! `/admin/oauth2/auth/sessions/consent`: what a user has granted, to look at and to end.

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use jiff::Timestamp;
use oauth::consent::RememberedConsent;
use oauth::grant::{Grant, SessionClaims};
use oauth::login::Login;
use oauth::{Audience, ClientId, ClientObject, Error, GrantId, Scope};
use serde::Serialize;
use serde_json::{Map, Value};

use super::consent_request::ConsentRequest;
use super::interaction::OidcContext;
use super::paging::{self, Paging};
use super::sessions::{done, parameters};
use crate::error::Failure;
use crate::{Server, answer};

/// What a user granted in one flow (Hydra's `OAuth2ConsentSession`).
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "oAuth2ConsentSession"))]
#[derive(Serialize)]
pub(crate) struct ConsentSession {
    consent_request_id: String,
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    grant_scope: Vec<Scope>,
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    grant_access_token_audience: Vec<Audience>,
    #[cfg_attr(test, schemars(with = "crate::openapi::schemas::ConsentClaims"))]
    session: Session,
    remember: bool,
    remember_for: i64,
    #[cfg_attr(test, schemars(with = "String", extend("format" = "date-time")))]
    handled_at: Timestamp,
    context: Value,
    consent_request: ConsentRequest,
}

/// The claims that the consent app added.
#[derive(Serialize)]
struct Session {
    access_token: Map<String, Value>,
    id_token: Map<String, Value>,
}

/// `GET`: the grants of a subject whose tokens may live, and the consents that are remembered.
pub(crate) async fn list(State(server): State<Server>, uri: Uri) -> Response {
    let listed = page(&server, &uri).await;
    listed.unwrap_or_else(|failure| failure.answer_admin(server.settings()))
}

/// Two statements. A filter is applied to what they found: a page may hold fewer and still name a next one.
async fn page(server: &Server, uri: &Uri) -> Result<Response, Failure> {
    let paging = Paging::read(server, uri)?;
    let subject = paging.query.require("subject")?;
    let wanted = paging.query.get("login_session_id");
    let after = match paging.after.as_str() {
        "" => None,
        id => Some(id.parse::<GrantId>().map_err(|_| paging::invalid_token())?),
    };
    let page = server.store().consent_sessions(subject, after, paging.size).await?;
    let shown = page.sessions.iter().filter_map(|row| shown(server, subject, row));
    let sessions: Vec<_> = shown
        .filter(|session| wanted.is_none_or(|id| session.consent_request.login_session_id == id))
        .collect();
    let mut response = answer::json(StatusCode::OK, answer::to_json(&sessions));
    let next = page.next.map(|id| id.to_string());
    paging.link(server, uri, next.as_deref(), &mut response)?;
    Ok(response)
}

/// What a row says. What is sealed counts: columns that say otherwise make it nothing.
fn shown(server: &Server, subject: &str, row: &store::ConsentSession) -> Option<ConsentSession> {
    let (ring, client) = (server.store().ring(), &row.client);
    let grant = row.grant.as_ref().and_then(|grant| Grant::open(ring, row.id, &grant.content));
    let grant = grant.filter(|grant| grant.client_id == client.id && grant.login.subject == subject);
    let consent = row.consent.as_ref().and_then(|consent| RememberedConsent::open(ring, &consent.content));
    let consent = consent.filter(|consent| consent.client_id == client.id && consent.subject == subject);
    let remembered = row.consent.as_ref().filter(|_| consent.is_some());
    let remember_for = remembered.and_then(|row| Some(row.expires_at?.duration_since(row.granted_at)));
    let exchanged_at = row.grant.as_ref().filter(|_| grant.is_some()).map(|grant| grant.created_at);
    let handled_at = remembered.map(|row| row.granted_at).or(exchanged_at)?;
    let Granted { scope, audience, claims, session_id, acr, amr } = match (grant, consent) {
        (Some(grant), _) => grant.into(),
        (None, consent) => consent?.into(),
    };
    Some(ConsentSession {
        consent_request_id: row.id.to_string(),
        grant_scope: scope.clone(),
        grant_access_token_audience: audience.clone(),
        session: Session { access_token: claims.access_token(), id_token: claims.id_token() },
        remember: remembered.is_some(),
        remember_for: remember_for.map_or(0, |duration| duration.as_secs()),
        handled_at,
        context: Value::Null,
        consent_request: ConsentRequest {
            challenge: String::new(),
            consent_request_id: row.id.to_string(),
            requested_scope: scope,
            requested_access_token_audience: audience,
            skip: false,
            subject: subject.to_owned(),
            oidc_context: Some(OidcContext::default()),
            client: serde_json::to_value(object(&row.client)).unwrap_or_default(),
            request_url: String::new(),
            login_challenge: row.id.to_string(),
            login_session_id: session_id,
            acr,
            amr,
            context: Value::Null,
            expires_at: None,
        },
    })
}

fn object(client: &store::ListedClient) -> ClientObject<'_> {
    ClientObject::new(&client.id, &client.metadata, client.created_at, client.updated_at)
}

/// What was granted, as far as it is kept.
struct Granted {
    scope: Vec<Scope>,
    audience: Vec<Audience>,
    claims: SessionClaims,
    session_id: String,
    acr: String,
    amr: Vec<String>,
}

impl From<Grant> for Granted {
    fn from(grant: Grant) -> Self {
        let Login { session_id, acr, amr, .. } = grant.login;
        Self {
            scope: grant.scope.iter().cloned().collect(),
            audience: grant.audience,
            claims: grant.claims,
            session_id: session_id.to_string(),
            acr,
            amr,
        }
    }
}

impl From<RememberedConsent> for Granted {
    fn from(consent: RememberedConsent) -> Self {
        Self {
            scope: consent.scope.iter().cloned().collect(),
            audience: consent.audience,
            claims: SessionClaims::default(),
            session_id: consent.session_id.to_string(),
            acr: String::new(),
            amr: Vec::new(),
        }
    }
}

/// `DELETE`: ends what was granted in one flow, or what a subject granted to one client or to all. Codes in flight end
/// too.
pub(crate) async fn revoke(State(server): State<Server>, uri: Uri) -> Response {
    done(&server, revoked(&server, &uri).await)
}

async fn revoked(server: &Server, uri: &Uri) -> Result<(), Failure> {
    let (form, store) = (parameters(uri)?, server.store());
    let named = ["consent_request_id", "subject", "client", "all"].map(|name| form.get(name));
    let (subject, client) = match named {
        [Some(id), None, None, None] => {
            let unknown = |_| Error::invalid_request("The consent_request_id is no consent request's id.");
            return Ok(store.revoke_consent(id.parse().map_err(unknown)?).await?);
        }
        [None, Some(subject), Some(client), None] => {
            let client = ClientId::parse(client).map_err(|e| Error::invalid_request(e.to_string()))?;
            (subject, Some(client))
        }
        [None, Some(subject), None, Some("true")] => (subject, None),
        _ => {
            let why = "The parameters must be 'consent_request_id' alone, or 'subject' with 'client', or 'subject' \
                       with 'all=true'.";
            return Err(Error::invalid_request(why).into());
        }
    };
    // First what keeps a flow under way from being remembered, then what is remembered.
    store.revoke_subject(subject, client.as_ref()).await?;
    Ok(store.forget_consents(subject, client.as_ref()).await?)
}
