//! `/oauth2/register`: clients that register themselves (RFC 7591, OpenID Connect Registration §3) and manage what they
//! registered (RFC 7592).

use axum::extract::{FromRef, FromRequestParts, Path, Request};
use axum::response::Response;
use headers::authorization::Bearer;
use headers::{Authorization, HeaderMapExt};
use http::header::LOCATION;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use oauth::client::SecretCheck;
use oauth::imported_token::HydraTokenKind;
use oauth::{
    ClientObject, ClientRegistration, Error, ErrorCode, HydraToken, ImportedToken, RegistrationToken,
};
use percent_encoding::utf8_percent_encode;
use serde_json::{Map, Value};
use store::StoredClient;

use crate::admin::clients::UNRESERVED;
use crate::admin::clients::create::create_checked;
use crate::admin::clients::edit::{Edit, edit, retried};
use crate::error::{Challenge, Failure, Refusal};
use crate::not_found::not_found;
use crate::outbound::Account;
use crate::router::REGISTER;
use crate::state::Live;
use crate::{Server, answer, json_body, sector_identifier};

/// The server, where clients may register themselves; elsewhere there is nothing at these paths.
pub(crate) struct Enabled(Server);

impl FromRequestParts<Live> for Enabled {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, live: &Live) -> Result<Self, Response> {
        let server = Server::from_ref(live);
        if server.settings().dynamic_client_registration {
            Ok(Self(server))
        } else {
            Err(not_found(parts.headers.clone()).await)
        }
    }
}

/// What lets a client manage its own registration.
pub(crate) struct Registration {
    token: String,
    uri: String,
}

impl Registration {
    /// The one that is valid for a client as its row is.
    pub(crate) fn of(server: &Server, row: &StoredClient) -> Self {
        let store = server.store();
        let token = RegistrationToken {
            client_id: row.id.clone(),
            incarnation: row.incarnation,
            generation: row.registration_generation,
        };
        let base = server.settings().public_url.join(REGISTER.trim_start_matches('/'));
        let uri = format!("{base}/{}", utf8_percent_encode(row.id.as_str(), UNRESERVED));
        Self { token: token.seal(store.ring(), store.entropy()), uri }
    }

    /// The same; `None` where clients do not manage themselves.
    pub(crate) fn where_enabled(server: &Server, row: &StoredClient) -> Option<Self> {
        server.settings().dynamic_client_registration.then(|| Self::of(server, row))
    }

    /// The token and the URL.
    pub(crate) fn members(&self) -> (&str, &str) {
        (&self.token, &self.uri)
    }
}

/// `POST`: anybody may. A proxy in front limits how often.
pub(crate) async fn create(Enabled(server): Enabled, request: Request) -> Response {
    answered(&server, registered(&server, request).await)
}

async fn registered(server: &Server, request: Request) -> Result<Response, Failure> {
    let document = document(server, request).await?;
    let registration = ClientRegistration::parse_new(document, &server.settings().default_client_scope)?;
    sector_identifier::check(server, Account::SelfRegistered, &registration.metadata).await?;
    // Whoever registers has proven nothing: everybody else finds connections to the database all the same.
    let place = server.unproven_reads().try_acquire().map_err(|_| Failure::Busy)?;
    let created = create_checked(server, Account::SelfRegistered, &registration).await?;
    drop(place);
    let own = Registration::of(server, &created.row);
    let object =
        object(&created.row).with_secret(created.secret.as_ref()).with_registration(Some(own.members()));
    let mut response = answer::oauth_json(StatusCode::CREATED, answer::to_json(&object.echoed()));
    let location = HeaderValue::try_from(&own.uri).map_err(|error| Failure::Defect(error.to_string()))?;
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

/// `GET …/{id}`.
pub(crate) async fn get(Enabled(server): Enabled, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let found = async {
        let (_, row) = authorized(&server, &id, &headers).await?;
        let object = object(&row).without_metadata();
        Ok(answer::oauth_json(StatusCode::OK, answer::to_json(&object)))
    };
    answered(&server, found.await)
}

/// `PUT …/{id}`: all of what is registered. The token that was used ends with it.
pub(crate) async fn replace(Enabled(server): Enabled, Path(id): Path<String>, request: Request) -> Response {
    answered(&server, replaced(&server, &id, request).await)
}

async fn replaced(server: &Server, id: &str, request: Request) -> Result<Response, Failure> {
    let (token, _) = authorized(server, id, request.headers()).await?;
    let document = document(server, request).await?;
    let default_scope = &server.settings().default_client_scope;
    let register = |row: &StoredClient| {
        check_current(&token, row)?;
        let held = (&row.id, &row.metadata);
        let mut registration = ClientRegistration::parse_replacement(document.clone(), default_scope, held)?;
        if let Some(secret) = registration.secret.take() {
            let client = row.to_client();
            let check = client.check_secret(server.store().ring(), &secret, server.now());
            if !matches!(check, SecretCheck::Match) {
                let why = "client_secret: a client does not choose its own; repeat the one that it has, or leave it out.";
                return Err(Error::new(ErrorCode::RequestForbidden, why).into());
            }
        }
        Ok(Edit::RegisterItself(Box::new(registration)))
    };
    let edited = edit(server, id, register).await.map_err(gone)?;
    let own = Registration::of(server, &edited.row);
    let object =
        object(&edited.row).with_secret(edited.secret.as_ref()).with_registration(Some(own.members()));
    Ok(answer::oauth_json(StatusCode::OK, answer::to_json(&object.echoed())))
}

/// `DELETE …/{id}`: with it end its tokens, codes and flows.
pub(crate) async fn delete(Enabled(server): Enabled, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let deleted = async {
        let (_, row) = authorized(&server, &id, &headers).await?;
        match retried(|| server.store().delete_unmanaged_client(&row.id)).await {
            Ok(true) => Ok(answer::empty(StatusCode::NO_CONTENT)),
            Ok(false) => Err(unauthorized()),
            Err(store::Error::Conflict(_)) => Err(declared()),
            Err(error) => Err(error.into()),
        }
    };
    answered(&server, deleted.await)
}

/// The client of a path, for whoever has its registration access token. No statement for what has not the form
/// of a token, one for one of ours, two for one that was taken over.
///
/// # Errors
/// `request_unauthorized` whatever is wrong with the token, `request_forbidden` where a resource declares the client.
async fn authorized(
    server: &Server,
    id: &str,
    headers: &HeaderMap,
) -> Result<(RegistrationToken, StoredClient), Failure> {
    let bearer: Option<Authorization<Bearer>> = headers.typed_get();
    let token = match &bearer {
        Some(bearer) => opened(server, bearer.token()).await?,
        None => None,
    };
    let token = token.filter(|token| token.client_id.as_str() == id).ok_or_else(unauthorized)?;
    tracing::Span::current().record("client_id", id);
    let row = server.store().read_client(&token.client_id).await?.ok_or_else(unauthorized)?;
    check_current(&token, &row)?;
    if row.manager.is_some() {
        return Err(declared());
    }
    Ok((token, row))
}

/// A registration access token: one of this server, or one of the Ory Hydra whose database was taken over.
async fn opened(server: &Server, token: &str) -> Result<Option<RegistrationToken>, Failure> {
    if let Some(token) = RegistrationToken::open(server.store().ring(), token) {
        return Ok(Some(token));
    }
    let Some(token) = HydraToken::parse(HydraTokenKind::Registration, token) else { return Ok(None) };
    let row = server.store().imported_token(&token).await?;
    Ok(row.and_then(ImportedToken::registration_token))
}

fn check_current(token: &RegistrationToken, row: &StoredClient) -> Result<(), Failure> {
    let current = (row.incarnation, row.registration_generation);
    if (token.incarnation, token.generation) == current { Ok(()) } else { Err(unauthorized()) }
}

fn unauthorized() -> Failure {
    let why = "The registration access token is missing, or not the client's last one.";
    Error::new(ErrorCode::RequestUnauthorized, why).into()
}

fn declared() -> Failure {
    let why = "The client is declared by a resource, and changed there alone.";
    Error::new(ErrorCode::RequestForbidden, why).into()
}

/// What the admin API would say of a client that is gone or taken over, in the words of this one.
fn gone(failure: Failure) -> Failure {
    match failure {
        Failure::Plain(Refusal::NotFound) => unauthorized(),
        Failure::Plain(Refusal::Owned { .. }) => declared(),
        failure => failure,
    }
}

async fn document(server: &Server, request: Request) -> Result<Map<String, Value>, Failure> {
    json_body::read(server, request).await.map_err(|failure| match failure {
        Failure::Refused(error) if error.code == ErrorCode::InvalidRequest => {
            Error::new(ErrorCode::InvalidClientMetadata, error.description).into()
        }
        failure => failure,
    })
}

fn object(row: &StoredClient) -> ClientObject<'_> {
    ClientObject::new(&row.id, &row.metadata, row.created_at, row.updated_at)
}

fn answered(server: &Server, response: Result<Response, Failure>) -> Response {
    response.unwrap_or_else(|failure| failure.answer(server.settings(), Challenge::Bearer))
}
