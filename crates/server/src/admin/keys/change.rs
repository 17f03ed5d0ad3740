//! What changes a key set: keys that are made here, handed over, or taken away.

use jose::schedule::{Requests, State};
use jose::{Algorithm, ImportedKey, KeyId, PrivateKey, RsaBits};
use oauth::null_as_default;
use serde::Deserialize;
use serde_json::{Map, Value};
use store::{Error, KeySetEdit, KeySetEdited, StoredKeySet, Turn, is_token_set};

use super::check_name;
use crate::Server;
use crate::error::{Failure, Refusal};

/// What a new key is to be (Hydra's `createJsonWebKeySet`).
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "createJsonWebKeySet"))]
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NewKey {
    #[serde(deserialize_with = "null_as_default")]
    alg: String,
    #[serde(rename = "use", deserialize_with = "null_as_default")]
    key_use: String,
    #[serde(deserialize_with = "null_as_default")]
    kid: String,
}

/// Makes a key in a set that is kept by hand, or publishes the next one of a set that a schedule turns; gives its name.
///
/// # Errors
/// [`Refusal`] naming what is wrong, or who owns the set; [`Failure::Busy`] while many keys are being made.
pub(super) async fn create(server: &Server, set: &str, wanted: &NewKey) -> Result<KeyId, Failure> {
    check_name("set", set)?;
    let algorithm = algorithm(wanted)?;
    let row = server.store().read_key_set(set).await?;
    if let Some(holder) = row.as_ref().and_then(|row| row.manager.clone()) {
        return Err(owned(Box::new(holder)));
    }
    if is_token_set(set) || row.as_ref().is_some_and(|row| !row.policy.is_by_hand()) {
        let row = row.ok_or(Failure::Plain(Refusal::NotFound))?;
        return publish_next(server, &row, algorithm, wanted).await;
    }
    let kid = (!wanted.kid.is_empty()).then(|| KeyId::new(wanted.kid.as_str()));
    if let Some(kid) = &kid {
        check_name("key", kid.as_str())?;
        if row.is_some_and(|row| row.key_ids().any(|known| known == kid)) {
            return Err(Failure::Plain(Refusal::Exists));
        }
    }
    let made = server.key_making().run(move || PrivateKey::generate(algorithm, RsaBits::default())).await?;
    let made = made.map_err(Error::from)?;
    let key = ImportedKey::Pair(match kid {
        Some(kid) => made.named(kid),
        None => made,
    });
    edit(server, set, KeySetEdit::Add(&key)).await?;
    Ok(key.key_id().clone())
}

fn algorithm(wanted: &NewKey) -> Result<Algorithm, Failure> {
    let algorithm: Algorithm =
        wanted.alg.parse().map_err(|error: jose::Error| malformed(format!("alg: {error}")))?;
    let key_use = algorithm.key_use();
    if wanted.key_use.is_empty() || wanted.key_use == key_use.as_str() {
        return Ok(algorithm);
    }
    Err(malformed(format!("use: a key for {algorithm} has the use {key_use}")))
}

/// Publishes the next key of a set that a schedule turns. It signs when all verifiers know it, as at any other turn.
async fn publish_next(
    server: &Server,
    row: &StoredKeySet,
    algorithm: Algorithm,
    wanted: &NewKey,
) -> Result<KeyId, Failure> {
    if !wanted.kid.is_empty() {
        return Err(malformed("kid: the keys of this set are named by their thumbprints; leave it empty"));
    }
    if !row.policy.algorithms.contains(&algorithm) {
        let known: Vec<_> = row.policy.algorithms.iter().map(|algorithm| algorithm.as_str()).collect();
        let known = known.join(", ");
        let why = format!("alg: this set has keys for {known}; a JsonWebKeySet resource can declare others");
        return Err(malformed(why));
    }
    let _place = server.key_making().reserve()?;
    let requests = Requests { rotate: true, ..Requests::default() };
    let turn = server.store().turn_on_request(&row.name, &requests).await;
    let turn = turn.map_err(refused)?.ok_or(Failure::Plain(Refusal::NotFound))?;
    next_key(&turn, algorithm, server.now()).ok_or_else(|| Failure::Defect("a turn left no next key".into()))
}

/// The key that signs next: one that was there already, too. Right after a turn it signs already.
fn next_key(turn: &Turn, algorithm: Algorithm, now: jiff::Timestamp) -> Option<KeyId> {
    let of_line = turn.after.keys.iter().map(|key| &key.schedule).filter(|key| key.algorithm == algorithm);
    let signing = |state| matches!(state, State::Next | State::Active);
    let newest =
        of_line.filter(|key| signing(key.instants.state(now))).max_by_key(|key| key.instants.active_at);
    newest.map(|key| key.kid.clone())
}

/// Changes a set that is kept by hand.
///
/// # Errors
/// [`Refusal`] saying who owns or turns the set, or that the key is there already.
pub(super) async fn edit(server: &Server, set: &str, edit: KeySetEdit<'_>) -> Result<(), Failure> {
    check_name("set", set)?;
    match server.store().edit_key_set(set, edit).await.map_err(refused)? {
        KeySetEdited::Done => Ok(()),
        KeySetEdited::Exists => Err(Failure::Plain(Refusal::Exists)),
        KeySetEdited::Turned => Err(Failure::Plain(Refusal::Turned)),
    }
}

/// Takes a key away. Where a schedule turns the set it counts as compromised: it leaves at once, and is replaced.
///
/// # Errors
/// [`Refusal`] saying who owns the set; [`Failure::Busy`].
pub(super) async fn remove(server: &Server, set: &str, kid: &KeyId) -> Result<(), Failure> {
    match edit(server, set, KeySetEdit::Remove(kid)).await {
        Err(Failure::Plain(Refusal::Turned)) => {
            let _place = server.key_making().reserve()?;
            let requests = Requests { revoked: std::slice::from_ref(kid), ..Requests::default() };
            server.store().turn_on_request(set, &requests).await.map_err(refused)?;
            Ok(())
        }
        done => done,
    }
}

/// Reads a JWK Set (RFC 7517 §5).
///
/// # Errors
/// [`Refusal::Malformed`] naming the key at fault; it holds no value of a key.
pub(super) fn read_set(mut document: Map<String, Value>) -> Result<Vec<ImportedKey>, Failure> {
    let Some(Value::Array(jwks)) = document.remove("keys") else {
        return Err(malformed("the body is no JWK Set: it has no array of keys"));
    };
    let mut keys: Vec<ImportedKey> = Vec::with_capacity(jwks.len());
    for (index, jwk) in jwks.iter().enumerate() {
        let key = import(jwk).map_err(|why| malformed(format!("keys[{index}]: {why}")))?;
        if keys.iter().any(|known| known.key_id() == key.key_id()) {
            return Err(malformed(format!("keys[{index}]: another key has the same kid")));
        }
        keys.push(key);
    }
    Ok(keys)
}

/// Reads a JWK for a path that names it: it has that `kid`, or none.
///
/// # Errors
/// [`Refusal::Malformed`]; it holds no value of the key.
pub(super) fn read_key(mut jwk: Map<String, Value>, kid: &str) -> Result<ImportedKey, Failure> {
    match jwk.get("kid").and_then(Value::as_str) {
        None | Some("") => drop(jwk.insert("kid".to_owned(), kid.into())),
        Some(named) if named == kid => {}
        Some(_) => return Err(malformed("kid: it is not the one in the path")),
    }
    import(&Value::Object(jwk)).map_err(malformed)
}

fn import(jwk: &Value) -> Result<ImportedKey, String> {
    let key = ImportedKey::from_jwk(&jwk.to_string()).map_err(|error| error.to_string())?;
    check_name("key", key.key_id().as_str()).map_err(|failure| failure.to_string())?;
    Ok(key)
}

fn malformed(why: impl Into<String>) -> Failure {
    Failure::Plain(Refusal::Malformed(format!("{}.", why.into()).into()))
}

fn refused(error: Error) -> Failure {
    match error {
        Error::Conflict(holder) => owned(holder),
        error => error.into(),
    }
}

fn owned(resource: Box<store::ResourceRef>) -> Failure {
    Failure::Plain(Refusal::Owned { kind: "JsonWebKeySet", resource })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jose::SigningAlgorithm;
    use serde_json::json;

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(members) = value else { panic!("{value}") };
        members
    }

    fn jwk() -> Value {
        let key = PrivateKey::generate(SigningAlgorithm::Es256.into(), RsaBits::B2048).unwrap();
        serde_json::from_str(&key.to_jwk().unwrap()).unwrap()
    }

    #[test]
    fn the_key_at_fault_is_named_and_its_values_are_not() {
        let good = jwk();
        for (keys, why) in [
            (json!({}), "no array of keys"),
            (json!({"keys": {}}), "no array of keys"),
            (json!({"keys": [good, good]}), "keys[1]: another key has the same kid"),
            (json!({"keys": [good, {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}]}), "keys[1]: "),
            (json!({"keys": ["c2VjcmV0"]}), "keys[0]: "),
        ] {
            let error = read_set(object(keys)).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("c2VjcmV0"), "{why}: {error}");
        }
        assert!(read_set(object(json!({"keys": []}))).unwrap().is_empty());
        let mut long = good;
        long["kid"] = "x".repeat(256).into();
        assert!(read_set(object(json!({"keys": [long]}))).unwrap_err().to_string().contains("255"));
    }

    #[test]
    fn a_key_has_the_name_of_its_path() {
        let mut key = object(jwk());
        let own = key["kid"].as_str().unwrap().to_owned();
        assert!(read_key(key.clone(), "other").unwrap_err().to_string().contains("not the one in the path"));
        assert_eq!(read_key(key.clone(), &own).unwrap().key_id().as_str(), own);
        key.remove("kid");
        assert_eq!(read_key(key, "orders").unwrap().key_id().as_str(), "orders");
    }
}
