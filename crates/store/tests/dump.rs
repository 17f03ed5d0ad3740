//! What a copy of the database gives away, and what write access to it opens: nothing.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::{
    EDDSA, ES256, authenticates, clock, create_client, databases, declaration, declare, every, minutes, read,
    sql, try_open, with_secrets,
};
use harness::TestDatabase;
use harness::database::SYSTEM_SECRET;
use jiff::Timestamp;
use jose::{KeyId, RootKey, SystemSecret};
use oauth::{AccessToken, ClientSecret, ClientSecretHash, ScopeSet};
use sqlx::Row;
use store::{ACCESS_TOKEN_SET, Error, ID_TOKEN_SET, KeyRegistry, Promotion, Store, StoredKey};

/// Everything that the database holds, as whoever copies it sees it.
async fn dump(database: &TestDatabase) -> Vec<u8> {
    if let Some(path) = database.url.strip_prefix("sqlite://") {
        let file = PathBuf::from(path.split('?').next().unwrap());
        let log = file.with_extension("db-wal");
        return [std::fs::read(file).unwrap(), std::fs::read(log).unwrap()].concat();
    }
    let tables =
        "SELECT CAST(table_name AS TEXT) FROM information_schema.tables WHERE table_schema = 'public'";
    let mut dump = String::new();
    for table in sql(database, tables).await {
        let table: String = table.get(0);
        for row in sql(database, format!("SELECT CAST(t AS TEXT) FROM {table} t")).await {
            dump.push_str(row.get(0));
            dump.push('\n');
        }
    }
    // Quotes are doubled in the text of a row.
    dump.replace("\"\"", "\"").into_bytes()
}

/// Whether these bytes are in the dump as they are, in hexadecimal or in base64url.
fn holds(dump: &[u8], bytes: &[u8]) -> bool {
    let mut hex = String::new();
    for byte in bytes {
        write!(hex, "{byte:02x}").unwrap();
    }
    let forms = [bytes.to_vec(), hex.into_bytes(), URL_SAFE_NO_PAD.encode(bytes).into_bytes()];
    forms.iter().any(|form| dump.windows(form.len()).any(|window| window == form))
}

/// The private JWKs of all sets, opened.
async fn private_jwks(database: &TestDatabase, store: &Store) -> Vec<serde_json::Value> {
    let rows =
        sql(database, "SELECT set_name, kid, private_jwk FROM keys WHERE private_jwk IS NOT NULL").await;
    let open = |row: &sqlx::any::AnyRow| {
        let (set, kid): (String, String) = (row.get(0), row.get(1));
        let jwk = store.ring().open_jwk(&set, &KeyId::from(kid), row.get::<&[u8], _>(2)).unwrap();
        serde_json::from_str(&jwk).unwrap()
    };
    rows.iter().map(open).collect()
}

/// A client with a generated and a chosen secret, key sets that have turned, and a revoked token. Gives the secrets
/// and the token.
async fn scenario(store: &Store) -> (ClientSecret, ClientSecret, String) {
    let (row, generated) = create_client(store, "orders").await;
    let chosen = ClientSecret::new("a secret that somebody chose");
    let hash = ClientSecretHash::of_chosen(store.ring(), &row.id, row.incarnation, &chosen, store.entropy())
        .unwrap();
    store.set_pending_secret(&row.fence(), &hash).await.unwrap();
    let now = store.clock().now();
    let promotion = Promotion {
        hash,
        previous_expires_at: now + minutes(60),
        handled_rotate_secret: Some("nonce".into()),
    };
    store.promote_secret(&read(store, "orders").await.fence(), &promotion).await.unwrap();

    let client = read(store, "orders").await.to_client();
    let lifetime = (now, now + minutes(60));
    let token = AccessToken::for_client(&client, ScopeSet::default(), Vec::new(), lifetime, store.entropy());
    let text = token.seal(store.ring(), store.entropy()).unwrap().sign(store.ring());
    store.revoke_token(token.id, token.expires_at).await.unwrap();

    for set in [ACCESS_TOKEN_SET, ID_TOKEN_SET] {
        let mut declared = declaration(set, every(168, 24));
        declared.policy.algorithms = vec![ES256, EDDSA];
        declare(store, &declared).await;
        store.clock().advance(minutes(1));
        declared.rotate_now = Some("now".into());
        declare(store, &declared).await;
    }
    (generated, chosen, text)
}

#[tokio::test]
async fn a_copy_of_the_database_holds_no_secret_key_or_token() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (generated, chosen, token) = scenario(&store).await;
        let dump = dump(&database).await;

        let mut found_public = 0;
        for jwk in private_jwks(&database, &store).await {
            let member = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
            assert!(!holds(&dump, &member("d")), "a private key");
            found_public += usize::from(holds(&dump, jwk["kid"].as_str().unwrap().as_bytes()));
        }
        assert_eq!(found_public, 8, "what is looked for is found");
        assert!(holds(&dump, b"orders"));
        let wrapped: Vec<u8> = sql(&database, "SELECT wrapped FROM root_keys").await[0].get(0);
        assert!(holds(&dump, &wrapped), "binary values are found too");

        assert!(holds(&dump, br#""client_name":"#), "JSON is found too");
        assert!(!holds(&dump, br#""d":"#), "a private key's member");
        for secret in [generated.expose(), chosen.expose(), SYSTEM_SECRET] {
            assert!(!holds(&dump, secret.as_bytes()));
        }
        let (key, signature) = token.strip_prefix("ory_at_").unwrap().split_once('.').unwrap();
        for part in [key, signature] {
            assert!(!holds(&dump, part.as_bytes()), "a token");
            assert!(!holds(&dump, &URL_SAFE_NO_PAD.decode(part).unwrap()), "a token");
        }
    }
}

#[tokio::test]
async fn without_the_system_secret_a_copy_opens_nothing() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (generated, chosen, token) = scenario(&store).await;
        assert!(AccessToken::open(store.ring(), &token).is_ok());

        let guess = "a guessed system secret";
        let wrapped: Vec<u8> = sql(&database, "SELECT wrapped FROM root_keys").await[0].get(0);
        assert!(RootKey::unwrap(1, &wrapped, &[SystemSecret::new(guess).unwrap()]).is_err());
        let guessed = try_open(with_secrets(&database, &[guess])).await;
        assert!(matches!(guessed, Err(Error::WrongSystemSecret)));

        // With a root key of the thief's own the rows are there, and worth nothing.
        sql(&database, "DELETE FROM root_keys").await;
        let thief = try_open(with_secrets(&database, &[guess])).await.unwrap();
        assert!(used(&thief.keys().await.unwrap(), thief.clock().now()).is_empty());
        assert!(AccessToken::open(thief.ring(), &token).is_err());
        let client = read(&thief, "orders").await.to_client();
        for secret in [&generated, &chosen] {
            for live in &client.secrets {
                assert!(!live.hash.verify(thief.ring(), &client.id, client.incarnation, secret));
            }
        }
    }
}

#[tokio::test]
async fn a_secrets_hash_that_is_copied_to_another_client_authenticates_nobody() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (generated, chosen, _) = scenario(&store).await;
        create_client(&store, "victim").await;
        sql(
            &database,
            "DELETE FROM client_secrets WHERE client_id = 'victim'; \
             UPDATE client_secrets SET client_id = 'victim', state = 'current', expires_at = NULL",
        )
        .await;
        let client = read(&store, "victim").await.to_client();
        assert_eq!(client.secrets.len(), 2);
        for secret in [&generated, &chosen] {
            let matches =
                |hash: &ClientSecretHash| hash.verify(store.ring(), &client.id, client.incarnation, secret);
            assert!(client.secrets.iter().all(|live| !matches(&live.hash)));
        }
        // Back where they belong they work: it was the move.
        sql(&database, "UPDATE client_secrets SET client_id = 'orders'").await;
        assert!(authenticates(&store, "orders", &generated).await);

        // A client of the same id that was created anew is another one.
        sql(&database, "UPDATE clients SET incarnation = incarnation + 1 WHERE id = 'orders'").await;
        assert!(!authenticates(&store, "orders", &generated).await);
    }
}

/// The keys that are published, and again with `true` those that sign, each with its set.
fn used(keys: &KeyRegistry, now: Timestamp) -> BTreeSet<(String, KeyId, bool)> {
    let mut used = BTreeSet::new();
    let published = keys.published(&[], now);
    for set in keys.sets() {
        let is_published = |key: &&StoredKey| published.keys.contains(&key.public);
        let of_set = set.keys.iter().filter(is_published).map(|key| key.schedule.kid.clone());
        used.extend(of_set.map(|kid| (set.name.clone(), kid, false)));
        let signing = keys.signing_key(&set.name, None, now);
        used.extend(signing.map(|key| (set.name.clone(), key.signer.key_id().clone(), true)));
    }
    used
}

/// Changes the keys' rows, and asserts that what was changed is not used, until the change is undone.
async fn are_not_used(database: &TestDatabase, what: &str, change: &str) {
    let columns =
        "set_name, kid, algorithm, public_jwk, private_jwk, published_at, active_at, retired_at, removed_at";
    let now = clock().now();
    let before = used(&database.open(clock()).await.keys().await.unwrap(), now);
    sql(database, format!("CREATE TABLE kept AS SELECT {columns} FROM keys")).await;
    sql(database, change).await;
    let keys = database.open(clock()).await.keys().await.unwrap();
    let after = used(&keys, now);
    assert_eq!(keys.broken().len(), 1, "{what}");
    for (set, kid, signs) in after {
        let key = (set, kid);
        assert!(!signs || !keys.broken().contains(&key), "{what}: {key:?} signs");
        assert!(before.contains(&(key.0, key.1, false)), "{what}: nobody made it for this set");
    }
    let undo =
        format!("DELETE FROM keys; INSERT INTO keys ({columns}) SELECT {columns} FROM kept; DROP TABLE kept");
    sql(database, undo).await;
    let undone = database.open(clock()).await.keys().await.unwrap();
    assert_eq!(used(&undone, now), before, "undone: {what}");
}

#[tokio::test]
async fn keys_that_were_moved_or_written_by_hand_are_not_used() {
    for database in databases().await {
        let store = database.open(clock()).await;
        scenario(&store).await;
        let of = |set: &str| format!("(SELECT MIN(kid) FROM keys WHERE set_name = '{set}')");
        let (access, id) = (of(ACCESS_TOKEN_SET), of(ID_TOKEN_SET));
        let own = r#"{"kty":"OKP","use":"sig","alg":"EdDSA","kid":"mine","crv":"Ed25519",
            "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        let own = if database.url.starts_with("sqlite") {
            format!("CAST('{own}' AS BLOB)")
        } else {
            format!("CAST('{own}' AS BYTEA)")
        };
        for (what, change) in [
            (
                "a private half moved to another key",
                format!(
                    "UPDATE keys SET private_jwk = (SELECT private_jwk FROM kept WHERE kid = {id}) \
                     WHERE kid = {access}"
                ),
            ),
            (
                "a key moved to another set",
                format!("UPDATE keys SET set_name = '{ACCESS_TOKEN_SET}' WHERE kid = {id}"),
            ),
            ("a key under another name", format!("UPDATE keys SET kid = 'mine' WHERE kid = {access}")),
            (
                "a public half moved to another key",
                format!(
                    "UPDATE keys SET public_jwk = (SELECT public_jwk FROM kept WHERE kid = {id}) \
                     WHERE kid = {access}"
                ),
            ),
            (
                "a public half in the place of a private one",
                format!("UPDATE keys SET private_jwk = public_jwk WHERE kid = {access}"),
            ),
            (
                "a private half in the place of a public one",
                format!("UPDATE keys SET public_jwk = private_jwk WHERE kid = {access}"),
            ),
            (
                "a public key of somebody's own",
                format!(
                    "INSERT INTO keys (set_name, kid, algorithm, public_jwk, published_at, active_at) \
                     VALUES ('{ACCESS_TOKEN_SET}', 'mine', 'EdDSA', {own}, 0, 0)"
                ),
            ),
            (
                "a retired key moved to another set",
                format!(
                    "UPDATE keys SET set_name = '{ACCESS_TOKEN_SET}', private_jwk = NULL WHERE kid = {id}"
                ),
            ),
        ] {
            are_not_used(&database, what, &change).await;
        }
    }
}
