use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::plan::scene::{STANDING, Scene, place, scene};

fn elsewhere() -> ResourceRef {
    ResourceRef { namespace: "attic".into(), uid: "uid-2".into(), ..place("orders") }
}

fn assert_rests(scene: &Scene, standing: &Standing) {
    let planned = scene.plan();
    assert!(planned.actions.is_empty(), "{:?}", planned.actions);
    assert_eq!(planned.standing, *standing);
}

#[test]
fn a_new_client_gets_a_finalizer_then_a_secret_then_a_row() {
    let new = scene(json!({})).edit(|scene| scene.client.metadata.finalizers = None);
    assert_eq!(
        new.actions(),
        [
            "add finalizer",
            "write CLIENT_ID=generated-id CLIENT_SECRET=fresh, owned",
            "create row with fresh",
            "tell Created",
        ]
    );
}

#[test]
fn an_orphan_gets_neither_finalizer_nor_owner() {
    let new =
        scene(json!({"deletionPolicy": "Orphan"})).edit(|scene| scene.client.metadata.finalizers = None);
    assert_eq!(new.actions()[0], "write CLIENT_ID=generated-id CLIENT_SECRET=fresh");
}

#[test]
fn what_stands_in_the_secret_is_taken_up_where_there_is_no_row() {
    let written = || scene(json!({})).found(|_| {});
    assert_eq!(written().actions(), ["create row with standing", "tell Created"], "a crash after the Secret");
    let edited = |edit: &dyn Fn(&mut BTreeMap<String, ByteString>)| {
        scene(json!({})).found(|object| edit(object.data.as_mut().unwrap()))
    };
    let rewritten =
        ["write CLIENT_ID=generated-id CLIENT_SECRET=fresh, owned", "create row with fresh", "tell Created"];
    for (what, bytes) in
        [("too short", &b"12345"[..]), ("empty", b""), ("not text", b"\xff\xfe\xff\xfe\xff\xfe\xff")]
    {
        let scene = edited(&|data| data.get_mut("CLIENT_SECRET").unwrap().0 = bytes.to_vec());
        assert_eq!(scene.actions(), rewritten, "{what}");
    }
    assert_eq!(edited(&|data| drop(data.remove("CLIENT_SECRET"))).actions(), rewritten);
    let other_id = edited(&|data| data.get_mut("CLIENT_ID").unwrap().0 = b"other".to_vec());
    assert_eq!(
        other_id.actions(),
        [
            "write CLIENT_ID=generated-id CLIENT_SECRET=standing, owned",
            "create row with standing",
            "tell Created"
        ]
    );
}

#[test]
fn clients_without_a_secret_are_created_with_the_id_only() {
    for spec in [
        json!({"tokenEndpointAuthMethod": "none", "grantTypes": ["authorization_code"], "redirectUris": ["https://a/cb"]}),
        json!({"tokenEndpointAuthMethod": "private_key_jwt", "jwksUri": "https://a/jwks"}),
    ] {
        let actions = scene(spec).actions();
        assert_eq!(actions[0], "write CLIENT_ID=generated-id, owned");
        assert_eq!(actions[1], "create row with no secret");
    }
}

#[test]
fn a_settled_client_needs_nothing() {
    for spec in [
        json!({}),
        json!({"clientId": "orders"}),
        json!({"secretRotation": {"period": "720h"}}),
        json!({"secret": {"labels": {"a": "b"}, "annotations": {"c": "d"}, "keys": {"issuer": "ISSUER"}}}),
        json!({"tokenEndpointAuthMethod": "private_key_jwt", "jwksUri": "https://a/jwks"}),
        json!({"metadata": {"rate": 0.1, "big": 12_345_678_901_234_567_890_u64, "nested": {"a": [null, 1.5e300]}}}),
        json!({"lifespans": {"clientCredentials": {"accessToken": "90m"}}}),
    ] {
        let settled = scene(spec).settled();
        assert!(matches!(settled.plan().standing, Standing::Ready { .. }));
        assert_eq!(settled.actions(), [""; 0]);
    }
}

#[test]
fn a_row_that_is_not_this_places_is_left_alone_whatever_else_is_to_be_done() {
    for spec in [json!({}), json!({"deletionPolicy": "Orphan"})] {
        let conflict = || scene(spec.clone());
        let owned_by = |owner: Option<ResourceRef>| {
            conflict().settled().edit(|scene| scene.row.as_mut().unwrap().manager = owner)
        };
        assert_rests(&owned_by(Some(elsewhere())), &Standing::Conflict(elsewhere()));
        assert_rests(&owned_by(None), &Standing::Unmanaged(AdoptionRefusal::NotAsked));
    }
}

#[test]
fn a_row_that_nobody_owns_is_taken_over_where_that_is_asked_for_and_allowed() {
    let unowned =
        |spec: Value| scene(spec).settled().edit(|scene| scene.row.as_mut().unwrap().manager = None);
    let adopt = || unowned(json!({"adopt": true}));
    assert_eq!(adopt().actions(), ["adopt row", "tell Adopted"]);
    let kept = unowned(json!({"adopt": true, "deletionPolicy": "Orphan"}));
    assert_eq!(kept.actions(), ["adopt row", "tell Adopted"]);
    let unmarked = adopt().edit(|scene| scene.client.metadata.finalizers = None);
    assert_eq!(unmarked.actions(), ["add finalizer", "adopt row", "tell Adopted"]);
    let elsewhere = adopt().edit(|scene| scene.adopts = false);
    assert_rests(&elsewhere, &Standing::Unmanaged(AdoptionRefusal::Namespace));
    let owned = |owner: &str, adopts: bool| {
        let owner = owner.to_owned();
        unowned(json!({})).edit(|scene| {
            scene.row.as_mut().unwrap().metadata.other.insert("owner".into(), owner.into());
            scene.adopts = adopts;
        })
    };
    for adopts in [true, false] {
        assert_eq!(owned("orders/shop", adopts).actions(), ["adopt row", "tell Adopted"]);
        for other in ["orders/attic", "others/shop", "orders", "", "shop/orders"] {
            assert_rests(&owned(other, adopts), &Standing::Unmanaged(AdoptionRefusal::NotAsked));
        }
    }
}

#[test]
fn whether_the_row_goes_with_the_resource_is_recorded_when_that_changes() {
    let settled = || scene(json!({})).settled();
    let kept = settled().edit(|scene| scene.row.as_mut().unwrap().deleted_with_manager = false);
    assert_eq!(kept.actions(), ["record: goes"]);
    let orphan = settled().respec(|spec| spec.deletion_policy = DeletionPolicy::Orphan);
    assert!(orphan.actions().contains(&"record: stays".to_owned()), "{:?}", orphan.actions());
}

#[test]
fn a_row_of_an_earlier_resource_of_this_place_is_taken_over() {
    let again = scene(json!({}))
        .settled()
        .edit(|scene| scene.row.as_mut().unwrap().manager.as_mut().unwrap().uid = "uid-0".into());
    assert_eq!(again.actions(), ["update row"]);
}

#[test]
fn an_id_that_is_added_later_must_be_the_one_that_the_client_has() {
    let named = |id: &str| {
        let id = id.to_owned();
        scene(json!({})).settled().respec(|spec| spec.client_id = Some(id))
    };
    assert_eq!(named("generated-id").actions(), [""; 0]);
    let problem = "spec.clientId: the client exists as generated-id, and its id cannot change";
    assert_rests(&named("orders"), &Standing::Invalid(problem.into()));
}

#[test]
fn deletion_takes_the_row_that_is_this_places() {
    let not_mine = |scene: Scene| scene.edit(|scene| scene.row.as_mut().unwrap().manager = Some(elsewhere()));
    let without_finalizer = |scene: Scene| scene.edit(|scene| scene.client.metadata.finalizers = None);
    let settled = || scene(json!({})).settled().deleted();
    let nothing: &[&str] = &[];
    for (what, scene, expected) in [
        ("its row", settled(), &["delete row", "remove finalizer"][..]),
        ("no row, as after a crash", scene(json!({})).deleted(), &["remove finalizer"]),
        ("another's row", not_mine(settled()), &["remove finalizer"]),
        ("let go already", without_finalizer(settled()), nothing),
        ("suspended", settled().respec(|spec| spec.suspend = true), &["delete row", "remove finalizer"]),
        (
            "an invalid spec",
            settled().respec(|spec| spec.audience = vec![String::new()]),
            &["delete row", "remove finalizer"],
        ),
    ] {
        assert_eq!(scene.actions(), expected, "{what}");
        assert_eq!(scene.plan().standing, Standing::Gone, "{what}");
    }
}

#[test]
fn no_client_is_made_under_an_id_that_may_be_anothers() {
    let limited = || scene(json!({"clientId": "c0ffee"})).edit(|scene| scene.limits.own_ids = true);
    let refused = limited().plan();
    assert!(refused.actions.is_empty(), "{:?}", refused.actions);
    let Standing::SecretUnusable(unusable) = refused.standing else { panic!("{:?}", refused.standing) };
    assert_eq!(unusable.reason, Reason::SecretInvalid);
    assert!(unusable.message.contains("has to begin with shop."), "{}", unusable.message);

    let creation = scene(json!({"clientId": "c0ffee"})).actions();
    let recorded = |scene: &mut Gathered| {
        let client_id = Some("c0ffee".to_owned());
        scene.client.status = Some(crd::OAuth2ClientStatus { client_id, ..Default::default() });
    };
    assert_eq!(limited().edit(recorded).actions(), creation, "it had this id before");
    let own = scene(json!({"clientId": "shop.orders"})).edit(|scene| scene.limits.own_ids = true);
    assert_eq!(own.actions().len(), creation.len());
    assert!(matches!(limited().settled().plan().standing, Standing::Ready { .. }), "it has it");
}

#[test]
fn a_resource_of_another_server_takes_no_client_along_that_it_never_took_over() {
    let leaving = |limits: Limits, manager: Option<ResourceRef>| {
        let scene = scene(json!({})).with_row().deleted().edit(|scene| {
            let row = scene.row.as_mut().unwrap();
            row.manager = manager;
            row.metadata.other.insert("owner".into(), "orders/shop".into());
            scene.limits = limits;
        });
        scene.actions()
    };
    let elsewhere = Limits { elsewhere: true, ..Limits::default() };
    assert_eq!(leaving(Limits::default(), None), ["delete unclaimed row", "remove finalizer"]);
    assert_eq!(leaving(elsewhere, None), ["remove finalizer"]);
    assert_eq!(leaving(elsewhere, Some(place("orders"))), ["delete row", "remove finalizer"], "it was here");
}

#[test]
fn a_switch_to_orphan_lets_go_of_finalizer_and_owner() {
    let orphaned = || scene(json!({})).settled().respec(|spec| spec.deletion_policy = DeletionPolicy::Orphan);
    let let_go = ["write CLIENT_ID=generated-id CLIENT_SECRET=standing", "record: stays", "remove finalizer"];
    assert_eq!(orphaned().actions(), let_go);
    assert_eq!(orphaned().deleted().actions(), let_go, "just before its deletion");
    let suspended = orphaned().respec(|spec| spec.suspend = true).deleted();
    assert_eq!(suspended.actions(), let_go, "even where nothing else was looked after");
    let held = scene(json!({"deletionPolicy": "Orphan"}))
        .settled()
        .edit(|scene| scene.client.metadata.finalizers = None)
        .respec(|spec| spec.deletion_policy = DeletionPolicy::Delete);
    assert_eq!(
        held.actions(),
        ["add finalizer", "write CLIENT_ID=generated-id CLIENT_SECRET=standing, owned", "record: goes"]
    );
}

#[test]
fn a_suspended_client_stays_as_it_is() {
    let drifted = scene(json!({})).settled().respec(|spec| {
        spec.suspend = true;
        spec.scopes = vec!["write".into()];
    });
    assert_rests(&drifted, &Standing::Suspended);
}

#[test]
fn what_the_server_cannot_take_is_invalid_and_names_why() {
    for (field, audience, scope) in [("spec.audience: ", "", "read"), ("spec.scopes: ", "a", "a\"b")] {
        let scene = scene(json!({})).settled().respec(|spec| {
            spec.audience = vec![audience.into()];
            spec.scopes = vec![scope.into()];
        });
        assert!(scene.actions().is_empty());
        let Standing::Invalid(problem) = scene.plan().standing else { panic!("{:?}", scene.plan()) };
        assert!(problem.starts_with(field), "{problem}");
    }
}

#[test]
fn a_changed_declaration_is_an_update_and_a_changed_row_is_drift() {
    let declared = scene(json!({})).settled().respec(|spec| spec.scopes = vec!["write".into()]);
    assert_eq!(declared.actions(), ["update row", "tell Updated"]);
    let drifted = scene(json!({}))
        .settled()
        .edit(|scene| scene.row.as_mut().unwrap().metadata.client_name = "Somebody's".into());
    assert_eq!(drifted.actions(), ["update row", "tell DriftCorrected!"]);
}

#[test]
fn what_is_registered_is_kept_up_to_date_while_the_secret_is_not_usable() {
    let scene = scene(json!({})).settled().respec(|spec| spec.scopes = vec!["write".into()]).edit(|scene| {
        let unusable = Unusable { reason: Reason::SecretConflict, message: "not mine".into() };
        scene.secret = FoundSecret::Unusable(unusable);
        scene.matched = None;
    });
    assert_eq!(scene.actions(), ["update row", "tell Updated"]);
    assert!(matches!(scene.plan().standing, Standing::SecretUnusable(_)));
}

#[test]
fn a_plan_does_not_print_what_is_in_a_secret() {
    let scene = scene(json!({})).settled().respec(|spec| spec.secret.keys.issuer = Some("ISSUER".into()));
    assert_eq!(scene.actions().len(), 1, "the Secret is to be written");
    let printed = format!("{:?} {:?}", scene.plan(), scene.0);
    assert!(!printed.contains(STANDING), "{printed}");
    let bytes = format!("{:?}", STANDING.as_bytes());
    assert!(!printed.contains(bytes.trim_matches(['[', ']'])), "{printed}");
    assert!(printed.contains("Secret(shop/orders-oauth2-client)"), "{printed}");
}

#[test]
fn the_digest_of_a_declaration_is_that_of_what_is_registered() {
    let digest = |spec| spec_hash(&client_metadata::of_spec(&scene(spec).0.client.spec).unwrap());
    assert_eq!(digest(json!({})), digest(json!({"secretRotation": {"period": "720h"}, "suspend": true})));
    assert_ne!(digest(json!({})), digest(json!({"scopes": ["write"]})));
}

/// JSON as a manifest may have it anywhere.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,4}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    /// Else each reconciliation would find drift, for ever.
    #[test]
    fn what_is_registered_reads_back_as_it_was_declared(
        metadata in prop::collection::btree_map("[a-z]{1,4}", any_json(), 0..4),
        name in ".{0,20}",
        lifetime in "([0-9]{1,3}(h|m|s|ms)){1,2}",
        scopes in prop::collection::vec("[a-z:]{1,5}", 0..4),
    ) {
        let declared = scene(json!({
            "metadata": metadata,
            "clientName": name,
            "scopes": scopes,
            "lifespans": {"clientCredentials": {"accessToken": lifetime}},
        }));
        let registered = client_metadata::of_spec(&declared.0.client.spec).unwrap();
        let stored = serde_json::to_string(&registered).unwrap();
        let read: ClientMetadata = serde_json::from_str(&stored).unwrap();
        prop_assert_eq!(&read, &registered);
        prop_assert_eq!(spec_hash(&read), spec_hash(&registered));
    }
}
