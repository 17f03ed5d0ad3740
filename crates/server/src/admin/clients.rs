//! `/admin/clients`: all clients to look at, and those that no resource owns to change.
//!
//! ```text
//!  PUT, PATCH, lifespans, secrets ─▶ edit: read the row ─▶ decide ─▶ write where it is still that row ─▶ read, answer
//!                                          ▲                                 │ raced
//!                                          └─────────────────────────────────┘
//! ```

pub(crate) mod create;
pub(crate) mod edit;
mod list;
mod patch;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::header::LOCATION;
use http::{StatusCode, Uri};
use oauth::client_registration::parse_lifespans;
use oauth::{ClientId, ClientObject, ClientRegistration, ClientSecret, Error};
use serde_json::{Map, Value};
use store::StoredClient;

pub(crate) use self::create::UNRESERVED;
use self::edit::{Edit, Edited, edit};
use crate::error::{Failure, Refusal};
use crate::public::register::Registration;
use crate::{Server, answer, json_body};

/// `GET /admin/clients`.
pub(crate) async fn list(State(server): State<Server>, uri: Uri) -> Response {
    answered(&server, list::list(&server, &uri).await)
}

/// `POST /admin/clients`.
pub(crate) async fn create(State(server): State<Server>, request: Request) -> Response {
    let created = async {
        let registration = registration(&server, request).await?;
        let created = create::create(&server, &registration).await?;
        let own = Registration::where_enabled(&server, &created.row);
        let object = created.object().echoed().with_registration(own.as_ref().map(Registration::members));
        let mut response = shown(StatusCode::CREATED, object);
        response.headers_mut().insert(LOCATION, create::location(&created.row.id)?);
        Ok(response)
    };
    answered(&server, created.await)
}

/// `GET /admin/clients/{id}`.
pub(crate) async fn get(State(server): State<Server>, Path(id): Path<String>) -> Response {
    let found = find(&server, &id).await;
    answered(&server, found.map(|row| shown(StatusCode::OK, object(&row, None))))
}

/// `PUT /admin/clients/{id}`: all of what is registered. The secret stays where none is given.
pub(crate) async fn replace(
    State(server): State<Server>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let replaced = async {
        let registration = registration(&server, request).await?;
        let edited = edit(&server, &id, |_| Ok(Edit::Register(Box::new(registration.clone())))).await?;
        let own = Registration::where_enabled(&server, &edited.row);
        let object = edited.object().echoed().with_registration(own.as_ref().map(Registration::members));
        Ok(shown(StatusCode::OK, object))
    };
    answered(&server, replaced.await)
}

/// `PATCH /admin/clients/{id}` (RFC 6902).
pub(crate) async fn patch(
    State(server): State<Server>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let patched = async {
        let patch = patch::Patch::read(&server, request).await?;
        let default_scope = &server.settings().default_client_scope;
        let register = |row: &StoredClient| {
            let document = patch.apply(&object(row, None))?;
            Ok(Edit::Register(Box::new(ClientRegistration::parse(document, default_scope)?)))
        };
        Ok(edit(&server, &id, register).await?.shown_with_registration(&server))
    };
    answered(&server, patched.await)
}

/// `DELETE /admin/clients/{id}`: with it end its tokens, codes and flows.
pub(crate) async fn delete(State(server): State<Server>, Path(id): Path<String>) -> Response {
    let deleted = async {
        let id = parse_id(&id)?;
        match edit::retried(|| server.store().delete_unmanaged_client(&id)).await {
            Ok(true) => Ok(answer::empty(StatusCode::NO_CONTENT)),
            Ok(false) => Err(Failure::Plain(Refusal::NotFound)),
            Err(store::Error::Conflict(resource)) => Err(owned(resource)),
            Err(error) => Err(error.into()),
        }
    };
    answered(&server, deleted.await)
}

/// `PUT /admin/clients/{id}/lifespans`: all thirteen; what is not named is the server's.
pub(crate) async fn set_lifespans(
    State(server): State<Server>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let set = async {
        let lifespans = parse_lifespans(json_body::read(&server, request).await?)?;
        let edited = edit(&server, &id, |_| Ok(Edit::SetLifespans(lifespans.clone()))).await?;
        Ok(shown(StatusCode::OK, edited.object()))
    };
    answered(&server, set.await)
}

/// `POST /admin/clients/{id}/secrets/rotate`: a new secret, beside which the former ones stay valid.
pub(crate) async fn rotate_secret(State(server): State<Server>, Path(id): Path<String>) -> Response {
    let rotate = |row: &StoredClient| {
        let method = row.metadata.token_endpoint_auth_method;
        if method.has_secret() {
            return Ok(Edit::RotateSecret);
        }
        let why = format!("A client whose token_endpoint_auth_method is '{method}' has no secret.");
        Err(Error::invalid_request(why).into())
    };
    let rotated = edit(&server, &id, rotate).await;
    answered(&server, rotated.map(|edited| edited.shown_with_registration(&server)))
}

/// `DELETE /admin/clients/{id}/secrets/rotate`: the former secrets end.
pub(crate) async fn drop_former_secrets(State(server): State<Server>, Path(id): Path<String>) -> Response {
    let dropped = edit(&server, &id, |_| Ok(Edit::DropFormerSecrets)).await;
    answered(&server, dropped.map(|edited| shown(StatusCode::OK, edited.object())))
}

impl Edited {
    /// The client as it is now.
    fn object(&self) -> ClientObject<'_> {
        object(&self.row, self.secret.as_ref())
    }

    /// The same after a change that ended its registration access token, with the next one.
    fn shown_with_registration(&self, server: &Server) -> Response {
        let own = Registration::where_enabled(server, &self.row);
        shown(StatusCode::OK, self.object().with_registration(own.as_ref().map(Registration::members)))
    }
}

async fn registration(server: &Server, request: Request) -> Result<ClientRegistration, Failure> {
    let mut document: Map<String, Value> = json_body::read(server, request).await?;
    server.settings().subject_types.complete(&mut document);
    Ok(ClientRegistration::parse(document, &server.settings().default_client_scope)?)
}

/// A client as it is in the database. One statement.
async fn find(server: &Server, id: &str) -> Result<StoredClient, Failure> {
    let found = server.store().read_client(&parse_id(id)?).await?;
    found.ok_or(Failure::Plain(Refusal::NotFound))
}

/// What is no id is no client's.
fn parse_id(id: &str) -> Result<ClientId, Failure> {
    let id = ClientId::parse(id).map_err(|_| Failure::Plain(Refusal::NotFound))?;
    tracing::Span::current().record("client_id", id.as_str());
    Ok(id)
}

fn owned(resource: Box<store::ResourceRef>) -> Failure {
    Failure::Plain(Refusal::Owned { kind: "OAuth2Client", resource })
}

fn object<'a>(row: &'a StoredClient, secret: Option<&'a ClientSecret>) -> ClientObject<'a> {
    ClientObject::new(&row.id, &row.metadata, row.created_at, row.updated_at).with_secret(secret)
}

#[expect(clippy::needless_pass_by_value, reason = "the document is made for this answer")]
fn shown(status: StatusCode, object: ClientObject<'_>) -> Response {
    answer::json(status, answer::to_json(&object))
}

fn answered(server: &Server, response: Result<Response, Failure>) -> Response {
    response.unwrap_or_else(|failure| failure.answer_admin(server.settings()))
}
