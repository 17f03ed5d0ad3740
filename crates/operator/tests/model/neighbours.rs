//! Resources beside each other: who may have which id and which Secret, and that nobody takes another's.

use crd::Reason;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::world::{NAMESPACE, World, entry, secret_name, service, set, somebodys};

const SHARED: &str = "shared-credentials";

impl World {
    /// Settles several clients in turn, until none of them writes any more.
    async fn settle_all(&self, names: &[&str]) {
        for _ in 0..4 {
            let before = self.writes().await;
            for name in names {
                self.settle(name).await;
            }
            if self.writes().await == before {
                return;
            }
        }
        panic!("they write in turns:\n{}", self.objects.log().join("\n"));
    }

    fn shared(&self) -> Secret {
        self.objects.secret(NAMESPACE, SHARED).unwrap()
    }
}

fn sharing(policy: &str, more: Value) -> Value {
    let mut spec = service(json!({"deletionPolicy": policy, "secret": {"name": SHARED}}));
    let Value::Object(fields) = more else { return spec };
    for (name, value) in fields {
        spec[name] = value;
    }
    spec
}

#[tokio::test]
async fn one_of_two_clients_that_name_one_secret_has_it_and_keeps_it() {
    for (first, second) in
        [("Delete", "Delete"), ("Delete", "Orphan"), ("Orphan", "Delete"), ("Orphan", "Orphan")]
    {
        let world = World::new().await;
        world.objects.declare_client(NAMESPACE, "first", sharing(first, json!({"clientId": "first"})));
        world.ready("first").await;
        let before = world.shared();
        world.objects.declare_client(NAMESPACE, "second", sharing(second, json!({"clientId": "second"})));
        world.settle_all(&["second", "first", "second"]).await;
        assert_eq!(world.told("first").0, Some(Reason::Synced), "{first} {second}");
        assert_eq!(world.told("second").0, Some(Reason::SecretConflict), "{first} {second}");
        assert_eq!(world.shared(), before, "{first} {second}");
        assert!(world.store.read_client(&"second".to_owned().try_into().unwrap()).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_client_that_moves_to_anothers_secret_does_not_get_it() {
    let world = World::new().await;
    world.objects.declare_client(NAMESPACE, "first", sharing("Orphan", json!({"clientId": "first"})));
    world.declare("second", json!({}));
    world.settle_all(&["first", "second"]).await;
    let before = world.shared();
    world.declare("second", json!({"secret": {"name": SHARED}}));
    world.settle_all(&["second", "first"]).await;
    assert_eq!(world.shared(), before);
    assert_eq!(world.told("second").0, Some(Reason::SecretConflict));
    let own = world.value("second").unwrap();
    assert!(world.authenticates("second", &own).await, "it goes on with what it has");
}

#[tokio::test]
async fn one_of_two_clients_of_one_id_has_it_and_the_other_follows_when_it_is_gone() {
    let world = World::new().await;
    for (namespace, name) in [(NAMESPACE, "orders"), ("attic", "thief")] {
        world.objects.declare_client(namespace, name, service(json!({"clientId": "orders"})));
    }
    world.ready("orders").await;
    let value = world.value("orders").unwrap();
    for _ in 0..3 {
        world.reconcile_in("attic", "thief").await;
    }
    let thief = world.objects.client("attic", "thief").unwrap();
    let status = thief.status.clone().unwrap();
    assert_eq!(status.conditions[0].reason, Reason::ClientIdConflict);
    assert_eq!(status.client_id, None, "another's id is not pinned");
    assert!(thief.finalizers().is_empty());
    assert!(world.objects.secret("attic", &secret_name("thief")).is_none());
    assert_eq!(world.objects.reasons("thief"), ["Conflict"], "it is told once");
    assert!(world.authenticates("orders", &value).await);

    world.objects.delete(NAMESPACE, "orders", world.now());
    world.settle("orders").await;
    world.reconcile_in("attic", "thief").await;
    let status = world.objects.client("attic", "thief").unwrap().status.unwrap();
    assert_eq!(
        (status.conditions[0].reason.clone(), status.client_id.as_deref()),
        (Reason::Synced, Some("orders"))
    );
    let row = world.store.read_client(&"orders".to_owned().try_into().unwrap()).await.unwrap().unwrap();
    assert!(!crate::world::authenticates(&world.store, &row, &value), "it is another client");
}

#[tokio::test]
async fn the_loser_of_an_id_is_deleted_without_the_winners_row() {
    let world = World::new().await;
    world.declare("orders", json!({"clientId": "orders"}));
    world.ready("orders").await;
    world.objects.declare_client("attic", "thief", service(json!({"clientId": "orders"})));
    world.objects.edit_client("attic", "thief", |client| {
        client.metadata.finalizers = Some(vec![crd::names::CLIENT_FINALIZER.into()]);
    });
    world.reconcile_in("attic", "thief").await;
    world.objects.delete("attic", "thief", world.now());
    world.reconcile_in("attic", "thief").await;
    assert!(world.objects.client("attic", "thief").is_none());
    world.ready("orders").await;
    assert_eq!(world.objects.reasons("orders"), ["Created"]);
}

/// Whatever somebody writes into a Secret, a row is another's, and a free id that people choose is not given away.
#[tokio::test]
async fn an_id_in_a_secret_captures_nothing() {
    let world = World::new().await;
    world.declare("victim", json!({"clientId": "payments"}));
    world.ready("victim").await;
    let victim = world.row("victim").await;
    for (n, (label, source, id)) in [
        (crd::names::MANAGED, "Generate", "payments"),
        (crd::names::MANAGED, "Generate", "not-taken-yet"),
        (crd::names::SECRET_OPT_IN, "Reference", "payments"),
        (crd::names::SECRET_OPT_IN, "Reference", "not-taken-yet"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("thief-{n}");
        let secret = format!("crafted-{n}");
        let entries = [("CLIENT_ID", id), ("CLIENT_SECRET", "chosen-by-the-thief-itself")];
        let mut crafted = somebodys(&secret, label, &entries);
        crafted.metadata.namespace = Some("attic".into());
        world.objects.put_secret(crafted);
        let spec = service(json!({"secret": {"source": source, "name": secret}}));
        world.objects.declare_client("attic", &name, spec);
        for _ in 0..3 {
            world.reconcile_in("attic", &name).await;
        }
        let status = world.objects.client("attic", &name).unwrap().status.unwrap();
        assert_ne!(status.client_id.as_deref(), Some(id), "{name}");
        if source == "Generate" {
            let id = status.client_id.unwrap();
            let written = world.objects.secret("attic", &secret).unwrap();
            assert_eq!(entry(&written, "CLIENT_ID"), Some(id));
        } else {
            assert_eq!(status.conditions[0].reason, Reason::SecretInvalid, "{name}");
        }
    }
    let row = world.row("victim").await;
    assert_eq!((row.version, row.manager), (victim.version, victim.manager));
    assert!(
        world.store.read_client(&"not-taken-yet".to_owned().try_into().unwrap()).await.unwrap().is_none()
    );
}

#[tokio::test]
async fn a_secret_that_is_not_keywrights_keeps_every_byte() {
    let world = World::new().await;
    let entries = [("CLIENT_ID", "orders"), ("CLIENT_SECRET", "somebody-needs-this-value")];
    let mut theirs = somebodys(&secret_name("orders"), "app.kubernetes.io/managed-by", &entries);
    set(&mut theirs, "binary", &[0, 159, 146, 150]);
    world.objects.put_secret(theirs);
    let before = world.secret("orders").unwrap();
    world.declare("orders", json!({}));
    world.settle("orders").await;
    assert_eq!(world.secret("orders").unwrap(), before);
    let (reason, message) = world.told("orders");
    assert_eq!(reason, Some(Reason::SecretConflict));
    assert!(message.contains("orders-oauth2-client exists and is not Keywright's"), "{message}");

    world.objects.delete_secret(NAMESPACE, &secret_name("orders"));
    world.ready("orders").await;
    world.objects.delete(NAMESPACE, "orders", world.now());
    world.settle("orders").await;
    assert!(world.client("orders").is_none());
}
