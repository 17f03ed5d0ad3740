//! Scenario 59: a folder of manifests comes to the same as a cluster where they were applied.

use std::collections::BTreeSet;
use std::path::Path;

use crd::{Condition, JsonWebKeySet, OAuth2Client};
use harness::TestDatabase;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use operator::Metrics;
use operator::reconcile::Context;
use operator::source::folder::{self, DataFolder};
use prometheus_client::registry::Registry;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use store::{ACCESS_TOKEN_SET, ID_TOKEN_SET, Store};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::resource::Kind;
use crate::world::World;

/// One of each kind of client, and key sets; `clientId` is what would else be made of a uid.
fn manifests(namespace: &str) -> Vec<Value> {
    let object = |kind: &str, name: &str, spec: Value| {
        let mut spec = spec;
        spec["instance"] = namespace.into();
        json!({
            "apiVersion": "keywright.dev/v1alpha1", "kind": kind,
            "metadata": {"name": name, "namespace": namespace}, "spec": spec,
        })
    };
    let client = |name: &str, mut spec: Value| {
        spec["clientId"] = format!("{namespace}-{name}").into();
        object("OAuth2Client", name, spec)
    };
    let referenced = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {
            "name": "reports-credentials", "namespace": namespace,
            "labels": {"keywright.dev/oauth2-client": "true"},
        },
        "stringData": {
            "CLIENT_ID": format!("{namespace}-reports"), "CLIENT_SECRET": "thirty-two-characters-at-the-least",
        },
    });
    let rotation = json!({"period": "168h", "publishBefore": "24h"});
    vec![
        client(
            "service",
            json!({
                "grantTypes": ["client_credentials"], "scopes": ["read", "write"], "audience": ["https://a.example.com"],
                "secretRotation": {"period": "720h", "overlap": "48h"},
                "lifespans": {"clientCredentials": {"accessToken": "30m"}},
            }),
        ),
        client(
            "web",
            json!({
                "grantTypes": ["authorization_code", "refresh_token"], "responseTypes": ["code"],
                "redirectUris": ["https://shop.example.com/cb"], "scopes": ["openid", "offline_access"],
                "metadata": {"team": {"id": 7}}, "contacts": ["a@example.com"], "deletionPolicy": "Orphan",
                "secret": {
                    "name": "web-credentials", "labels": {"team": "shop"}, "annotations": {"example.com/note": "x"},
                    "keys": {"clientId": "OIDC_CLIENT_ID", "clientSecret": "OIDC_CLIENT_SECRET", "issuer": "OIDC_ISSUER"},
                },
            }),
        ),
        client(
            "public",
            json!({
                "redirectUris": ["https://m.example.com/cb", "http://127.0.0.1/cb"], "tokenEndpointAuthMethod": "none",
            }),
        ),
        client(
            "assertion",
            json!({
                "grantTypes": ["client_credentials"], "tokenEndpointAuthMethod": "private_key_jwt",
                "jwksUri": "https://keys.example.com/jwks.json",
            }),
        ),
        client(
            "reports",
            json!({
                "grantTypes": ["client_credentials"],
                "secret": {"source": "Reference", "name": "reports-credentials"},
            }),
        ),
        client(
            "waiting",
            json!({
                "grantTypes": ["client_credentials"], "secret": {"source": "Reference", "name": "absent"},
            }),
        ),
        referenced,
        object(
            "JsonWebKeySet",
            ID_TOKEN_SET,
            json!({"algorithms": ["ES256", "EdDSA"], "rotation": rotation}),
        ),
        object(
            "JsonWebKeySet",
            ACCESS_TOKEN_SET,
            json!({"algorithms": ["ES256"], "rotation": {"policy": "Manual"}}),
        ),
        object("JsonWebKeySet", "impossible", json!({"rotation": {"schedule": "61 * * * *"}})),
    ]
}

const CLIENTS: [&str; 6] = ["service", "web", "public", "assertion", "reports", "waiting"];
const SETS: [&str; 3] = [ID_TOKEN_SET, ACCESS_TOKEN_SET, "impossible"];
/// Those that are written for clients.
const SECRETS: [&str; 4] =
    ["service-oauth2-client", "web-credentials", "public-oauth2-client", "assertion-oauth2-client"];

/// What the database holds, but for what must differ: secrets, keys, uids.
async fn rows(store: &Store, namespace: &str) -> Value {
    let mut rows = Vec::new();
    for name in CLIENTS {
        let id = oauth::ClientId::parse(format!("{namespace}-{name}")).unwrap();
        let row = store.read_client(&id).await.unwrap().map(|row| {
            let manager = row.manager.unwrap();
            let secrets =
                row.secrets.iter().map(|secret| format!("{:?} {:?}", secret.state, secret.expires_at));
            json!({
                "id": row.id.as_str(), "metadata": row.metadata, "hash": row.spec_hash,
                "manager": [manager.namespace, manager.name], "goes": row.deleted_with_manager,
                "secrets": secrets.collect::<Vec<_>>(), "rotated": row.secret_rotated_at,
                "handled": row.handled_rotate_secret, "self-registered": row.self_registered,
                "created": row.created_at,
            })
        });
        rows.push(row.unwrap_or_default());
    }
    for set in store.read_key_sets().await.unwrap() {
        let keys =
            set.keys.iter().map(|key| format!("{:?} {:?}", key.schedule.algorithm, key.schedule.instants));
        // They stand in the order of their names.
        let keys: BTreeSet<_> = keys.collect();
        let manager = set.manager.map(|manager| (manager.namespace, manager.name));
        rows.push(json!({
            "name": set.name, "policy": format!("{:?}", set.policy), "manager": manager,
            "keys": keys,
        }));
    }
    rows.into()
}

/// A Secret as it is, but for values that must differ, of which the length is left.
fn secret(secret: &Secret) -> Value {
    let data = secret.data.clone().unwrap_or_default();
    let data = data.iter().map(|(key, value)| {
        let text = String::from_utf8(value.0.clone()).unwrap();
        (key.clone(), if key.ends_with("CLIENT_SECRET") { Value::from(text.len()) } else { text.into() })
    });
    let owners = secret.owner_references().iter();
    let owners = owners.map(|owner| {
        json!([owner.api_version, owner.kind, owner.name, owner.controller, owner.block_owner_deletion])
    });
    json!({
        "name": secret.name_any(), "type": secret.type_, "labels": secret.labels(),
        "annotations": secret.annotations().iter().filter(|(name, _)| !name.starts_with("kubectl.")).collect::<Vec<_>>(),
        "data": data.collect::<serde_json::Map<_, _>>(), "owners": owners.collect::<Vec<_>>(),
    })
}

fn conditions(conditions: &[Condition]) -> Value {
    let said = conditions.iter().map(|one| json!([one.type_, one.status, one.reason, one.message]));
    let mut said: Vec<_> = said.collect();
    said.sort_by_key(ToString::to_string);
    said.into()
}

/// How a resource stands, but for what must differ.
fn stands<K: Kind>(resource: &K) -> Value {
    json!([resource.name_any(), resource.finalizers(), conditions(resource.conditions())])
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    Some(serde_yaml::from_slice(&std::fs::read(path).ok()?).unwrap())
}

/// What the cluster path makes of the manifests.
async fn on_the_cluster(world: &World) -> [Value; 3] {
    world.start().await;
    for name in CLIENTS.into_iter().filter(|name| *name != "waiting") {
        world.oac(name).ready().await;
    }
    world.oac("waiting").stands(crd::Reason::SecretNotFound).await;
    for name in [ID_TOKEN_SET, ACCESS_TOKEN_SET] {
        world.jwks(name).ready().await;
    }
    world.jwks("impossible").stands(crd::Reason::InvalidSpec).await;
    world.rest().await;
    let mut secrets = Vec::new();
    for name in SECRETS {
        secrets.push(world.secret(name).await.as_ref().map(secret));
    }
    let mut standing = Vec::new();
    for name in CLIENTS {
        standing.push(stands(&world.oac(name).get().await.unwrap()));
    }
    for name in SETS {
        standing.push(stands(&world.jwks(name).get().await.unwrap()));
    }
    [rows(&world.store, &world.namespace).await, json!(secrets), json!(standing)]
}

/// What the folder path makes of them.
async fn in_a_folder(world: &World, manifests: &[Value]) -> [Value; 3] {
    let root = TempDir::new().unwrap();
    let folder = root.path().join("manifests");
    std::fs::create_dir(&folder).unwrap();
    let documents: Vec<_> = manifests.iter().map(|one| serde_yaml::to_string(one).unwrap()).collect();
    std::fs::write(folder.join("all.yaml"), documents.join("---\n")).unwrap();
    let database = TestDatabase::sqlite();
    let store = database.open(world.clock.clone()).await;
    let data = DataFolder::open(root.path().join("data")).unwrap();
    let settings = (*world.context.settings).clone();
    let metrics = Metrics::new(&mut Registry::default());
    let context = Context::for_folder(&store, data, settings, metrics).unwrap();
    let objects = context.objects.clone();
    let (report, mut told) = watch::channel(folder::Report::default());
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(folder::run(folder, context, report, shutdown.clone()));
    let settled = |report: &folder::Report| {
        report.complete
            && report.rows.len() == CLIENTS.len() + SETS.len()
            && report.rows.iter().all(|row| row.reason != "-" && !row.reason.is_empty())
    };
    told.wait_for(settled).await.unwrap();
    shutdown.cancel();
    running.await.unwrap().unwrap();
    assert!(told.borrow().problems.is_empty(), "{:?}", told.borrow().problems);

    let (data, namespace) = (objects.data(), &*world.namespace);
    let secrets = SECRETS.map(|name| read(&data.secret_path(namespace, name)).as_ref().map(secret));
    let mut standing = Vec::new();
    for name in CLIENTS {
        let path = data.resource_path(namespace, "oauth2client", name);
        standing.push(stands(&read::<OAuth2Client>(&path).unwrap()));
    }
    for name in SETS {
        let path = data.resource_path(namespace, "jsonwebkeyset", name);
        standing.push(stands(&read::<JsonWebKeySet>(&path).unwrap()));
    }
    [rows(&store, namespace).await, json!(secrets), json!(standing)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_and_a_cluster_make_the_same_rows_secrets_and_statuses_of_the_same_manifests() {
    let world = World::on_postgres().await;
    let manifests = manifests(&world.namespace);
    let list = json!({"apiVersion": "v1", "kind": "List", "items": manifests}).to_string();
    let applied = world.cluster.kubectl(&["apply", "-f", "-"], &list).await;
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    let cluster = on_the_cluster(&world).await;
    let folder = in_a_folder(&world, &manifests).await;
    for (what, (cluster, folder)) in
        ["rows", "Secrets", "statuses"].into_iter().zip(cluster.iter().zip(&folder))
    {
        assert_eq!(cluster, folder, "{what}");
    }
    assert!(!cluster[1].as_array().unwrap().contains(&Value::Null), "{}", cluster[1]);
    assert!(cluster[0].as_array().unwrap().len() >= CLIENTS.len() + 2);
    world.finish().await;
}
