use serde_json::json;

use super::*;
use crate::plan::scene::{STANDING, scene};

fn client(name: &str, spec: serde_json::Value) -> OAuth2Client {
    let mut client = scene(spec).0.client;
    client.metadata.name = Some(name.into());
    client.metadata.uid = Some(format!("uid of {name}"));
    client
}

fn id() -> ClientId {
    ClientId::parse("id").unwrap()
}

fn written_for(client: &OAuth2Client) -> Secret {
    let (issuer, secret) = (scene(json!({})).0.issuer, ClientSecret::new(STANDING));
    desired(client, &id(), Some(&secret), &issuer, None)
}

fn refusal(client: &OAuth2Client, object: Secret) -> Option<(Reason, String)> {
    match judge(client, Some(object)) {
        FoundSecret::Unusable(unusable) => Some((unusable.reason, unusable.message)),
        _ => None,
    }
}

#[test]
fn a_secret_belongs_to_the_resource_that_it_was_written_for() {
    // Two resources of one namespace name the same Secret; one of them was first.
    for (first, second) in
        [("Delete", "Delete"), ("Delete", "Orphan"), ("Orphan", "Delete"), ("Orphan", "Orphan")]
    {
        let named = |name: &str, policy: &str| {
            client(name, json!({"deletionPolicy": policy, "secret": {"name": "shared"}}))
        };
        let (orders, thief) = (named("orders", first), named("thief", second));
        let object = written_for(&orders);
        assert_eq!(refusal(&orders, object.clone()), None, "{first} {second}");
        let (reason, message) = refusal(&thief, object.clone()).unwrap();
        assert_eq!(reason, Reason::SecretConflict, "{first} {second}");
        assert!(
            message.ends_with("resource, orders") || message.ends_with("OAuth2Client orders"),
            "{message}"
        );
        // The resource that outlives its Secret's label, or its owner reference, still knows it.
        let mut stripped = object;
        (stripped.metadata.labels, stripped.metadata.owner_references) = (None, None);
        assert_eq!(refusal(&orders, stripped.clone()), None, "{first} {second}");
        assert!(refusal(&thief, stripped).is_some(), "{first} {second}");
    }
}

#[test]
fn a_secret_of_hydra_maesters_is_taken_over_with_the_client_of_its_resource() {
    let object = |kind: &str, name: &str| -> Secret {
        let owner =
            json!({"apiVersion": "hydra.ory.sh/v1alpha1", "kind": kind, "name": name, "uid": "theirs"});
        let metadata = json!({"name": "orders-secret", "ownerReferences": [owner]});
        let made = json!({"metadata": metadata, "type": "Opaque", "data": {"CLIENT_ID": "aWQ="}});
        serde_json::from_value(made).unwrap()
    };
    let with = |over: serde_json::Value| {
        let mut spec = json!({"adopt": true, "clientId": "id", "secret": {"name": "orders-secret"}});
        spec.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
        client("orders", spec)
    };
    let (orders, theirs) = (with(json!({})), object("OAuth2Client", "orders"));
    assert_eq!(refusal(&orders, theirs.clone()), None);
    for over in [
        json!({"adopt": false}),
        json!({"clientId": null}),
        json!({"clientId": "another"}),
        json!({"deletionPolicy": "Orphan"}),
    ] {
        assert_eq!(refusal(&with(over.clone()), theirs.clone()).unwrap().0, Reason::SecretConflict, "{over}");
    }
    for other in [object("OAuth2Client", "others"), object("Deployment", "orders"), Secret::default()] {
        assert_eq!(refusal(&orders, other).unwrap().0, Reason::SecretConflict);
    }
    let mut foreign = theirs.clone();
    foreign.metadata.owner_references.as_mut().unwrap()[0].api_version = "keywright.dev/v1alpha1".into();
    assert!(refusal(&orders, foreign).is_some());
    let typed = Secret { type_: Some("kubernetes.io/tls".into()), ..theirs };
    assert!(refusal(&orders, typed).is_some());
}

#[test]
fn a_resource_that_is_made_anew_takes_up_what_outlived_it_but_nothing_that_goes_with_it() {
    let orphan = |uid: &str| {
        let mut client = client("orders", json!({"deletionPolicy": "Orphan"}));
        client.metadata.uid = Some(uid.into());
        client
    };
    assert_eq!(refusal(&orphan("2"), written_for(&orphan("1"))), None);
    let owned = written_for(&client("orders", json!({})));
    assert_eq!(
        refusal(&orphan("2"), owned).unwrap().0,
        Reason::SecretConflict,
        "it is about to be collected"
    );
}

#[test]
fn what_keywright_never_wrote_is_left_alone_unless_it_is_labelled() {
    let orders = client("orders", json!({}));
    let labelled = |labels: serde_json::Value| -> Secret {
        serde_json::from_value(json!({"metadata": {"name": "orders-oauth2-client", "labels": labels}}))
            .unwrap()
    };
    for (labels, free) in [
        (json!({}), false),
        (json!({names::MANAGED: "false"}), false),
        (json!({names::SECRET_OPT_IN: "true"}), false),
        (json!({names::MANAGED: "true"}), true),
    ] {
        assert_eq!(refusal(&orders, labelled(labels.clone())).is_none(), free, "{labels}");
    }
    let mut somebodys = labelled(json!({names::MANAGED: "true"}));
    somebodys.metadata.owner_references = Some(vec![OwnerReference {
        kind: "Deployment".into(),
        name: "shop".into(),
        uid: "uid-9".into(),
        controller: Some(true),
        ..OwnerReference::default()
    }]);
    let (reason, message) = refusal(&orders, somebodys).unwrap();
    assert_eq!(reason, Reason::SecretConflict);
    assert_eq!(message, "Secret orders-oauth2-client belongs to Deployment shop");
}

#[test]
fn a_secret_of_another_type_cannot_be_used() {
    let orders = client("orders", json!({}));
    let mut object = written_for(&orders);
    object.type_ = Some("kubernetes.io/basic-auth".into());
    assert_eq!(refusal(&orders, object).unwrap().0, Reason::SecretInvalid);
}

#[test]
fn what_the_spec_asks_for_cannot_displace_what_the_operator_needs() {
    let orders = client(
        "orders",
        json!({"secret": {
            "labels": {names::MANAGED: "false", "team": "a"},
            "annotations": {WRITTEN_FOR: "payments", WRITTEN_FIELDS: "none", "note": "b"},
        }}),
    );
    let object = written_for(&orders);
    assert_eq!(object.labels()[names::MANAGED], "true");
    assert_eq!(object.labels()["team"], "a");
    assert_eq!(object.annotations()[WRITTEN_FOR], "orders");
    assert_eq!(object.annotations()["note"], "b");
    assert_ne!(object.annotations()[WRITTEN_FIELDS], "none");
    assert!(is_as(&object, &object));
}

#[test]
fn the_digest_tells_of_names_and_of_nothing_else() {
    let digest =
        |spec: serde_json::Value| written_for(&client("orders", spec)).annotations()[WRITTEN_FIELDS].clone();
    let plain = digest(json!({}));
    for (spec, same) in [
        (json!({"scopes": ["write"]}), true),
        (json!({"clientId": "other"}), true),
        (json!({"deletionPolicy": "Orphan"}), false),
        (json!({"secret": {"keys": {"clientId": "A"}}}), false),
        (json!({"secret": {"keys": {"issuer": "A"}}}), false),
        (json!({"secret": {"labels": {"a": "b"}}}), false),
        (json!({"secret": {"annotations": {"a": "b"}}}), false),
    ] {
        assert_eq!(digest(spec.clone()) == plain, same, "{spec}");
    }
    let value_of = |value: &str| {
        let orders = client("orders", json!({}));
        let issuer = scene(json!({})).0.issuer;
        desired(&orders, &id(), Some(&ClientSecret::new(value)), &issuer, None).annotations()[WRITTEN_FIELDS]
            .clone()
    };
    assert_eq!(value_of("one"), value_of("another"), "no digest of a secret leaves the database");
}

#[test]
fn the_longest_names_fit() {
    let name = "n".repeat(200);
    let longest = client(&name, json!({"secret": {"keys": {"clientId": "k".repeat(253)}}}));
    let object = written_for(&longest);
    assert!(object.name_any().len() <= 253);
    assert_eq!(refusal(&longest, object), None);
    let named = client("orders", json!({"secret": {"name": "s".repeat(253)}}));
    assert_eq!(refusal(&named, written_for(&named)), None);
}
