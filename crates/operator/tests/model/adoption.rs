//! What outlives a resource, or is found by one: ids, rows and Secrets that are there already.

use crd::Reason;
use kube::ResourceExt;
use operator::Outcome;
use operator::plan::client::Limits;
use serde_json::json;

use crate::unmanaged::register;
use crate::world::{NAMESPACE, World, entry, secret_name, set, somebodys};

#[tokio::test]
async fn an_id_that_is_added_later_is_the_one_that_the_client_has_or_refused() {
    let world = World::new().await;
    world.declare("orders", json!({}));
    world.ready("orders").await;
    let (id, value) = (world.id("orders"), world.value("orders").unwrap());
    world.declare("orders", json!({"clientId": id.as_str()}));
    world.ready("orders").await;
    assert_eq!(world.value("orders").unwrap(), value);
    // The API server would not let this pass; a status that was lost lets it.
    world.objects.edit_client(NAMESPACE, "orders", |client| client.status = None);
    world.declare("orders", json!({"clientId": "orders"}));
    assert_eq!(world.settle("orders").await, Outcome::Waiting { reason: Reason::InvalidSpec });
    let message = format!("spec.clientId: the client exists as {id}, and its id cannot change");
    assert_eq!(world.told("orders").1, message);
    let row = world.store.read_client(&"orders".to_owned().try_into().unwrap()).await.unwrap();
    assert!(row.is_none(), "there is one client");
    world.objects.delete(NAMESPACE, "orders", world.now());
    world.settle("orders").await;
    assert!(world.store.read_client(&id).await.unwrap().is_none(), "and none is left behind");
}

#[tokio::test]
async fn any_one_of_secret_status_and_row_may_be_lost_and_the_id_stays() {
    for lost in ["secret", "status", "row", "secret and status", "status and row"] {
        let world = World::new().await;
        world.declare("orders", json!({}));
        world.ready("orders").await;
        let (id, value) = (world.id("orders"), world.value("orders").unwrap());
        if lost.contains("secret") {
            world.objects.delete_secret(NAMESPACE, &secret_name("orders"));
        }
        if lost.contains("status") {
            world.objects.edit_client(NAMESPACE, "orders", |client| client.status = None);
        }
        if lost.contains("row") {
            world.sql("DELETE FROM clients").await;
        }
        world.ready("orders").await;
        assert_eq!(world.id("orders"), id, "{lost}");
        assert!(world.authenticates("orders", &value).await, "{lost}: workloads go on");
        assert_eq!(world.value("orders").unwrap() == value, !lost.contains("secret"), "{lost}");
    }
}

#[tokio::test]
async fn a_client_that_is_kept_is_found_again_by_the_resource_of_the_same_name() {
    for spec in
        [json!({"deletionPolicy": "Orphan"}), json!({"deletionPolicy": "Orphan", "clientId": "orders"})]
    {
        let world = World::new().await;
        world.declare("orders", spec.clone());
        world.ready("orders").await;
        let (id, value, uid) =
            (world.id("orders"), world.value("orders").unwrap(), world.client("orders").unwrap().uid());
        world.objects.delete(NAMESPACE, "orders", world.now());
        assert_eq!(world.settle("orders").await, Outcome::Nothing);
        assert!(world.client("orders").is_none());
        assert_eq!(world.value("orders").as_ref(), Some(&value), "the Secret stays");

        world.declare("orders", spec.clone());
        assert_ne!(world.client("orders").unwrap().uid(), uid);
        world.objects.forget_events();
        world.ready("orders").await;
        assert_eq!((world.id("orders"), world.value("orders").unwrap()), (id, value.clone()), "{spec}");
        assert!(world.authenticates("orders", &value).await);
        assert_eq!(
            world.row("orders").await.manager.unwrap().uid,
            world.client("orders").unwrap().uid().unwrap()
        );
        assert_eq!(world.objects.reasons("orders"), [""; 0], "nothing happened to the client");
    }
}

#[tokio::test]
async fn a_client_that_is_not_kept_is_another_one_when_it_comes_back() {
    let world = World::new().await;
    world.declare("orders", json!({}));
    world.ready("orders").await;
    let (id, value) = (world.id("orders"), world.value("orders").unwrap());
    world.objects.delete(NAMESPACE, "orders", world.now());
    world.settle("orders").await;
    world.declare("orders", json!({}));
    world.ready("orders").await;
    assert_ne!(world.id("orders"), id);
    assert_ne!(world.value("orders").unwrap(), value);
}

#[tokio::test]
async fn a_switch_to_orphan_and_a_deletion_at_once_keep_client_and_secret() {
    let world = World::new().await;
    world.declare("orders", json!({}));
    world.ready("orders").await;
    let (id, value) = (world.id("orders"), world.value("orders").unwrap());
    world.declare("orders", json!({"deletionPolicy": "Orphan"}));
    world.objects.delete(NAMESPACE, "orders", world.now());
    world.settle("orders").await;
    assert!(world.client("orders").is_none());
    assert_eq!(world.value("orders"), Some(value.clone()));
    let row = world.store.read_client(&id).await.unwrap().unwrap();
    assert!(crate::world::authenticates(&world.store, &row, &value));
    assert!(!row.deleted_with_manager, "no sweep takes it");
}

#[tokio::test]
async fn credentials_in_a_labelled_secret_are_taken_up_with_a_chosen_id() {
    let world = World::new().await;
    let entries = [("CLIENT_ID", "orders"), ("CLIENT_SECRET", "brought-along-from-elsewhere")];
    world.objects.put_secret(somebodys(&secret_name("orders"), crd::names::MANAGED, &entries));
    world.declare("orders", json!({"clientId": "orders"}));
    world.ready("orders").await;
    assert_eq!(world.value("orders").as_deref(), Some("brought-along-from-elsewhere"));
    assert!(world.authenticates("orders", "brought-along-from-elsewhere").await);
}

#[tokio::test]
async fn bytes_that_are_no_text_are_replaced_and_those_of_others_are_kept() {
    let world = World::new().await;
    let mut theirs = somebodys(&secret_name("orders"), crd::names::MANAGED, &[]);
    for key in ["CLIENT_ID", "CLIENT_SECRET", "theirs"] {
        set(&mut theirs, key, &[0xff, 0, 0xfe]);
    }
    world.objects.put_secret(theirs);
    world.declare("orders", json!({}));
    world.ready("orders").await;
    let secret = world.secret("orders").unwrap();
    assert_eq!(entry(&secret, "CLIENT_ID").unwrap(), world.id("orders").as_str());
    assert_eq!(secret.data.unwrap()["theirs"].0, [0xff, 0, 0xfe]);
}

#[tokio::test]
async fn the_longest_names_work() {
    let world = World::new().await;
    let name = "n".repeat(200);
    world.declare(
        &name,
        json!({"clientId": "i".repeat(255), "secret": {"keys": {"clientSecret": "k".repeat(253)}}}),
    );
    world.ready(&name).await;
    world.declare("orders", json!({"secret": {"name": "s".repeat(253)}}));
    world.ready("orders").await;
    assert!(world.objects.all_events().iter().all(|event| event.note.len() <= 1024));
}

/// The database's clock was wrong by a day, one way or the other.
#[tokio::test]
async fn a_clock_that_is_set_back_or_forth_loses_no_credential_and_turns_once() {
    let rotating = json!({"secretRotation": {"period": "10h", "overlap": "2h"}});
    let world = World::new().await;
    world.declare("orders", rotating);
    world.ready("orders").await;
    let first = world.value("orders").unwrap();
    let start = world.now();
    for hours in [1_000, -500, 500, -1_000, 11] {
        world.advance(hours);
        let before = world.value("orders").unwrap();
        world.ready("orders").await;
        let value = world.value("orders").unwrap();
        assert!(world.authenticates("orders", &value).await, "{hours}");
        assert!(world.authenticates("orders", &before).await, "{hours}: what was just there still works");
        assert!(world.live("orders").await <= 2, "{hours}");
    }
    assert!(world.now() > start);
    assert_ne!(world.value("orders").unwrap(), first);
    // Former secrets work for longer than anybody meant, but the Secret is there again all the same.
    for hours in [-2_000, 1] {
        world.advance(hours);
        world.objects.delete_secret(NAMESPACE, &secret_name("orders"));
        world.ready("orders").await;
        let value = world.value("orders").unwrap();
        assert!(world.authenticates("orders", &value).await);
    }
}

impl World {
    /// A client of the admin API, with a secret; `owner` is what it says of itself.
    async fn unmanaged(&self, id: &str, owner: &str) -> String {
        let id: oauth::ClientId = id.to_owned().try_into().unwrap();
        let secret = oauth::ClientSecret::generate(self.store.entropy());
        let metadata = oauth::ClientMetadata { client_name: "theirs".into(), ..Default::default() };
        register(&self.store, &id, Some(owner), metadata, &secret).await;
        // One more, so that the first is a former one, which works for ever.
        let row = self.store.read_client(&id).await.unwrap().unwrap();
        let current = oauth::ClientSecret::generate(self.store.entropy());
        let hash = oauth::ClientSecretHash::of_generated(self.store.ring(), &id, row.incarnation, &current);
        self.store.rotate_secret(&row.fence(), &hash).await.unwrap();
        current.expose().to_owned()
    }
}

/// Scenario 17.
#[tokio::test]
async fn a_client_that_nobody_owns_is_taken_over_where_that_is_asked_for_and_allowed() {
    let world = World::new().await;
    for (name, namespace, spec, owner, taken) in [
        ("not-asked", NAMESPACE, json!({}), "", false),
        ("asked", NAMESPACE, json!({"adopt": true}), "", true),
        ("elsewhere", "attic", json!({"adopt": true}), "", false),
        ("maester", "attic", json!({}), "maester/attic", true),
        ("squatter", "attic", json!({"adopt": true}), "squatter/shop", false),
    ] {
        let value = world.unmanaged(name, owner).await;
        let mut spec = spec;
        spec["clientId"] = name.into();
        world.objects.declare_client(namespace, name, crate::world::service(spec));
        let row =
            async || world.store.read_client(&name.to_owned().try_into().unwrap()).await.unwrap().unwrap();
        let before = row().await;
        for _ in 0..3 {
            world.reconcile_in(namespace, name).await;
        }
        let client = world.objects.client(namespace, name).unwrap();
        let reason = client.status.clone().unwrap().conditions[0].reason.clone();
        let after = row().await;
        assert!(crate::world::authenticates(&world.store, &after, &value), "{name}: workloads go on");
        if !taken {
            assert_eq!(reason, Reason::AdoptionRefused, "{name}");
            assert_eq!((after.version, after.manager), (before.version, None), "{name}");
            assert!(
                client.finalizers().is_empty()
                    && world.objects.secret(namespace, &secret_name(name)).is_none()
            );
            continue;
        }
        assert_eq!(reason, Reason::Synced, "{name}");
        assert_eq!(after.metadata.client_name, "", "{name}: it is as declared");
        assert!(after.is_of(&after.manager.clone().unwrap()) && after.incarnation == before.incarnation);
        assert!(after.registration_generation > before.registration_generation);
        let written = entry(&world.objects.secret(namespace, &secret_name(name)).unwrap(), "CLIENT_SECRET");
        assert!(crate::world::authenticates(&world.store, &after, &written.unwrap()), "{name}");
        assert_eq!(world.objects.reasons(name), ["Adopted", "SecretRecreated"], "{name}");
        // What was chosen before ends with the overlap, the forgotten ones too.
        world.advance(25);
        assert!(!crate::world::authenticates(&world.store, &row().await, &value), "{name}");
        assert_eq!(after.secrets.iter().filter(|secret| secret.expires_at.is_none()).count(), 1, "{name}");
    }
}

/// A Secret of ours that holds what the client has already is as good as any.
#[tokio::test]
async fn a_client_that_is_taken_over_keeps_the_secret_that_stands_in_its_secret() {
    let world = World::new().await;
    let value = world.unmanaged("orders", "").await;
    let entries = [("CLIENT_ID", "orders"), ("CLIENT_SECRET", &*value)];
    world.objects.put_secret(somebodys(&secret_name("orders"), crd::names::MANAGED, &entries));
    world.declare("orders", json!({"clientId": "orders", "adopt": true}));
    world.ready("orders").await;
    assert_eq!(world.value("orders").as_ref(), Some(&value));
    assert_eq!(world.objects.reasons("orders"), ["Adopted"]);
    world.objects.delete(NAMESPACE, "orders", world.now());
    world.settle("orders").await;
    let row = world.store.read_client(&"orders".to_owned().try_into().unwrap()).await.unwrap();
    assert!(row.is_none(), "it is the resource's now");
}

/// What a resource left behind is as if nobody owned it; what goes with one, or may be another cluster's, is not.
#[tokio::test]
async fn a_client_that_its_resource_left_behind_is_handed_over_by_the_same_rule() {
    let cluster = crate::world::CLUSTER;
    let maesters = format!("{cluster}/hydra.ory.sh");
    for (what, left_by, stays, spec, namespace, taken) in [
        ("asked", cluster, true, json!({"adopt": true}), NAMESPACE, true),
        ("maesters", &maesters, true, json!({"adopt": true}), NAMESPACE, true),
        ("not-asked", cluster, true, json!({}), NAMESPACE, false),
        ("elsewhere", cluster, true, json!({"adopt": true}), "attic", false),
        ("goes", cluster, false, json!({"adopt": true}), NAMESPACE, false),
        ("another-cluster", "cluster-2", true, json!({"adopt": true}), NAMESPACE, false),
        ("there", cluster, true, json!({"adopt": true}), NAMESPACE, false),
    ] {
        let world = World::new().await;
        let policy = if stays { "Orphan" } else { "Delete" };
        world.declare("former", json!({"clientId": "orders", "deletionPolicy": policy}));
        world.ready("former").await;
        let value = world.value("former").unwrap();
        if what != "there" {
            world.objects.edit_client(NAMESPACE, "former", |client| client.metadata.finalizers = None);
            world.objects.delete(NAMESPACE, "former", world.now());
            world.sql(&format!("UPDATE clients SET manager_cluster = '{left_by}'")).await;
        }
        let mut spec = spec;
        spec["clientId"] = "orders".into();
        world.objects.declare_client(namespace, "heir", crate::world::service(spec));
        for _ in 0..3 {
            world.reconcile_in(namespace, "heir").await;
        }
        let heir = world.objects.client(namespace, "heir").unwrap();
        let reason = heir.status.unwrap().conditions[0].reason.clone();
        let row = world.store.read_client(&"orders".to_owned().try_into().unwrap()).await.unwrap().unwrap();
        assert!(crate::world::authenticates(&world.store, &row, &value), "{what}: workloads go on");
        let manager = row.manager.unwrap();
        if taken {
            assert_eq!(
                (reason, &*manager.name, &*manager.cluster),
                (Reason::Synced, "heir", cluster),
                "{what}"
            );
            assert!(
                row.deleted_with_manager && world.authenticates("heir", &world.value("heir").unwrap()).await
            );
        } else {
            assert_eq!((reason, &*manager.name), (Reason::ClientIdConflict, "former"), "{what}");
        }
    }
}

/// A tenant who waits, under the id of another's client, for that one to be deleted.
#[tokio::test]
async fn an_id_that_becomes_free_is_nobodys_who_waited_for_it() {
    for (own_ids, taken) in [(false, true), (true, false)] {
        let world = World::new().await;
        world.declare("orders", json!({}));
        world.ready("orders").await;
        let id = world.id("orders");
        let entries = [("CLIENT_ID", id.as_str()), ("CLIENT_SECRET", "that-somebody-else-chose")];
        world.objects.put_secret(somebodys("theirs", crd::names::SECRET_OPT_IN, &entries));
        let secret = json!({"source": "Reference", "name": "theirs"});
        world.declare("waiting", json!({"clientId": id.as_str(), "secret": secret}));
        // Nor does a Secret help that looks like one of the operator's.
        world.objects.put_secret(somebodys(&secret_name("hopeful"), crd::names::MANAGED, &entries));
        world.declare("hopeful", json!({}));
        let limits = Limits { own_ids, ..Limits::default() };
        let reconciler = world.clients();
        let look = async |name: &str| {
            reconciler.reconcile_within(&world.client(name).unwrap(), limits).await;
            world.told(name).0
        };
        assert_eq!(look("waiting").await, Some(Reason::ClientIdConflict));
        world.objects.delete(NAMESPACE, "orders", world.now());
        world.settle("orders").await;
        assert!(world.store.read_client(&id).await.unwrap().is_none());
        let told = look("waiting").await;
        assert_eq!(told, Some(if taken { Reason::Synced } else { Reason::SecretInvalid }));
        assert_eq!(world.store.read_client(&id).await.unwrap().is_some(), taken);

        world.sql("DELETE FROM clients").await;
        assert_eq!(look("hopeful").await, Some(Reason::Synced));
        assert_eq!(world.id("hopeful") == id, taken, "its own id is derived from its uid");
        let written = entry(&world.secret("hopeful").unwrap(), "CLIENT_ID").unwrap();
        assert_eq!(written, world.id("hopeful").as_str());
    }
}

/// The client of a resource of Maester's that was deleted before anybody looked at it here.
#[tokio::test]
async fn a_resource_that_goes_takes_along_the_client_that_is_said_to_be_its_own() {
    let world = World::new().await;
    for (name, owner, policy, goes) in [
        ("its-own", "its-own/shop", "Delete", true),
        ("kept", "kept/shop", "Orphan", false),
        ("anothers", "its-own/shop", "Delete", false),
        ("nobodys", "", "Delete", false),
    ] {
        world.unmanaged(name, owner).await;
        world.declare(name, json!({"clientId": name, "deletionPolicy": policy}));
        world.objects.edit_client(NAMESPACE, name, |client| {
            client.metadata.finalizers = Some(vec![crd::names::CLIENT_FINALIZER.into()]);
        });
        world.objects.delete(NAMESPACE, name, world.now());
        world.settle(name).await;
        assert!(world.client(name).is_none(), "{name}");
        let row = world.store.read_client(&name.to_owned().try_into().unwrap()).await.unwrap();
        assert_eq!(row.is_none(), goes, "{name}");
    }
}
