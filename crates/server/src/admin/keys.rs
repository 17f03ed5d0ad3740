//! `/admin/keys`: key sets to look at, and those that no resource declares to change.
//!
//! ```text
//!  a set of                   GET               POST             PUT       DELETE of one key     DELETE of all
//!  a resource                 shown             409              409       409                   409
//!  the server, to sign        public halves     the next key     409       leaves, is replaced   409
//!  nobody: kept by hand       shown             a new key        stored    removed               removed
//! ```

mod change;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use jose::KeyId;
use jose::schedule::State as KeyState;
use percent_encoding::utf8_percent_encode;
use serde::Serialize;
use serde_json::Value;
use store::{KeySetEdit, StoredKey, StoredKeySet, is_token_set};

pub(crate) use self::change::NewKey;
use super::clients::UNRESERVED;
use super::interaction::unknown;
use crate::error::{Failure, Refusal};
use crate::{Server, answer, json_body};

/// The longest name of a set or a key, in bytes; Hydra's columns hold no more either.
const LONGEST_NAME: usize = 255;

/// A JWK Set (RFC 7517 §5), private halves among it.
#[derive(Serialize)]
struct KeySet {
    keys: Vec<Value>,
}

/// `GET /admin/keys/{set}`.
pub(crate) async fn get_set(State(server): State<Server>, Path(set): Path<String>) -> Response {
    answered(&server, shown(&server, &set, None).await.map(|keys| document(StatusCode::OK, &KeySet { keys })))
}

/// `GET /admin/keys/{set}/{kid}`: a set with this key alone, as Hydra has it.
pub(crate) async fn get_key(
    State(server): State<Server>,
    Path((set, kid)): Path<(String, String)>,
) -> Response {
    let shown = shown(&server, &set, Some(&kid.into())).await;
    answered(&server, shown.map(|keys| document(StatusCode::OK, &KeySet { keys })))
}

/// `POST /admin/keys/{set}`: a new key, made here.
pub(crate) async fn create(
    State(server): State<Server>,
    Path(set): Path<String>,
    request: Request,
) -> Response {
    let created = async {
        let wanted: NewKey = json_body::read(&server, request).await?;
        let kid = change::create(&server, &set, &wanted).await?;
        let keys = shown(&server, &set, Some(&kid)).await?;
        let mut response = document(StatusCode::CREATED, &KeySet { keys });
        let location = format!("/admin/keys/{}", utf8_percent_encode(&set, UNRESERVED));
        let location = HeaderValue::try_from(location).map_err(|error| Failure::Defect(error.to_string()))?;
        response.headers_mut().insert(LOCATION, location);
        Ok(response)
    };
    answered(&server, created.await)
}

/// `PUT /admin/keys/{set}`: these keys and no others.
pub(crate) async fn replace_set(
    State(server): State<Server>,
    Path(set): Path<String>,
    request: Request,
) -> Response {
    let replaced = async {
        let keys = change::read_set(json_body::read(&server, request).await?)?;
        change::edit(&server, &set, KeySetEdit::Replace(&keys)).await?;
        let keys = if keys.is_empty() { Vec::new() } else { shown(&server, &set, None).await? };
        Ok(document(StatusCode::OK, &KeySet { keys }))
    };
    answered(&server, replaced.await)
}

/// `PUT /admin/keys/{set}/{kid}`: one key, in the place of the one of its name.
pub(crate) async fn put_key(
    State(server): State<Server>,
    Path((set, kid)): Path<(String, String)>,
    request: Request,
) -> Response {
    let put = async {
        let key = change::read_key(json_body::read(&server, request).await?, &kid)?;
        change::edit(&server, &set, KeySetEdit::Put(&key)).await?;
        let key = shown(&server, &set, Some(key.key_id())).await?.pop();
        Ok(document(StatusCode::OK, &key.ok_or(Failure::Plain(Refusal::NotFound))?))
    };
    answered(&server, put.await)
}

/// `DELETE /admin/keys/{set}`.
pub(crate) async fn delete_set(State(server): State<Server>, Path(set): Path<String>) -> Response {
    let deleted = change::edit(&server, &set, KeySetEdit::Clear).await;
    answered(&server, deleted.map(|()| answer::empty(StatusCode::NO_CONTENT)))
}

/// `DELETE /admin/keys/{set}/{kid}`.
pub(crate) async fn delete_key(
    State(server): State<Server>,
    Path((set, kid)): Path<(String, String)>,
) -> Response {
    let deleted = change::remove(&server, &set, &kid.into()).await;
    answered(&server, deleted.map(|()| answer::empty(StatusCode::NO_CONTENT)))
}

/// The keys of a set, the newest first, or one of them. One statement.
///
/// # Errors
/// [`Refusal::NotFound`] for a key that is not there; `not_found` for a set without any.
async fn shown(server: &Server, set: &str, kid: Option<&KeyId>) -> Result<Vec<Value>, Failure> {
    check_name("set", set)?;
    let none = || kid.map_or_else(unknown, |_| Failure::Plain(Refusal::NotFound));
    let row = server.store().read_key_set(set).await?.ok_or_else(none)?;
    let now = server.now();
    let wanted = |key: &&StoredKey| {
        kid.is_none_or(|kid| key.schedule.kid == *kid)
            && key.schedule.instants.state(now) != KeyState::Removed
    };
    let mut keys: Vec<&StoredKey> = row.keys.iter().filter(wanted).collect();
    keys.sort_by_key(|key| (std::cmp::Reverse(key.schedule.instants.published_at), key.schedule.kid.clone()));
    if keys.is_empty() {
        return Err(none());
    }
    keys.into_iter().map(|key| jwk(server, &row, key)).collect()
}

/// A key as JSON. What the server itself signs with leaves it for nobody.
fn jwk(server: &Server, set: &StoredKeySet, key: &StoredKey) -> Result<Value, Failure> {
    let defect = |error: serde_json::Error| Failure::Defect(error.to_string());
    let private = if is_token_set(&set.name) { None } else { server.store().private_jwk(&set.name, key)? };
    match private {
        // An error could quote it.
        Some(jwk) => {
            serde_json::from_str(&jwk).map_err(|_| Failure::Defect("a stored key is no JSON".into()))
        }
        None => serde_json::to_value(&key.public).map_err(defect),
    }
}

/// A name that both databases take, and that is told from others by its bytes.
fn check_name(what: &str, name: &str) -> Result<(), Failure> {
    if name.is_empty() || name.len() > LONGEST_NAME || name.contains('\0') {
        let why = format!("The name of a {what} has 1 to {LONGEST_NAME} bytes, none of which is NUL.");
        return Err(Failure::Plain(Refusal::Malformed(why.into())));
    }
    Ok(())
}

fn document(status: StatusCode, value: &impl Serialize) -> Response {
    answer::json(status, answer::to_json(value))
}

fn answered(server: &Server, response: Result<Response, Failure>) -> Response {
    response.unwrap_or_else(|failure| failure.answer_admin(server.settings()))
}
