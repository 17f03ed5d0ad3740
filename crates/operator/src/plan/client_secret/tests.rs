use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};
use store::SecretState::{Current, Pending, Previous};

use super::super::client::Standing;
use super::*;
use crate::plan::scene::{STANDING, Scene, merge, scene};

const OWN: &str = "write CLIENT_ID=generated-id CLIENT_SECRET=fresh, owned";

fn unusable(scene: &Scene) -> (Reason, String) {
    match scene.plan().standing {
        Standing::SecretUnusable(unusable) => (unusable.reason, unusable.message),
        other => panic!("{other:?}"),
    }
}

/// A row with a current secret, and the Secret with what `edit` makes of it, whose value matches nothing.
fn tampered(edit: impl FnOnce(&mut Secret)) -> Scene {
    scene(json!({})).with_row().secret(Current, None).found(edit)
}

fn set(object: &mut Secret, key: &str, value: &[u8]) {
    object.data.get_or_insert_default().insert(key.into(), ByteString(value.to_vec()));
}

fn unset(object: &mut Secret, key: &str) {
    object.data.get_or_insert_default().remove(key);
}

#[test]
fn a_rotation_makes_the_secret_work_before_it_writes_it_and_writes_it_before_the_old_ones_time_runs() {
    let by_age = scene(json!({"secretRotation": {"period": "20m", "overlap": "10m"}})).settled();
    assert_eq!(by_age.actions(), ["pending fresh", OWN, "promote, former +0h", "tell SecretRotated"]);
    let asked = scene(json!({})).settled().annotated("monday");
    assert_eq!(asked.actions(), ["pending fresh", OWN, "promote, former +24h", "tell SecretRotated"]);
}

#[test]
fn a_rotation_waits_for_the_overlap_of_the_one_before() {
    let waiting = scene(json!({})).settled().annotated("monday").secret(Previous, Some(2));
    assert_eq!(waiting.actions(), [""; 0]);
}

#[test]
fn a_crash_is_finished_from_where_it_happened() {
    let asked = || scene(json!({})).with_row().secret(Current, None).annotated("monday");
    let not_written = asked().secret(Pending, None).found(|_| {}).matched(Current);
    assert_eq!(
        not_written.actions(),
        ["pending fresh", OWN, "promote, former +24h", "tell SecretRotated"],
        "the Secret still holds the current one, so that the pending one was never in it"
    );
    let written = asked().secret(Pending, None).found(|_| {}).matched(Pending);
    assert_eq!(written.actions(), ["promote, former +24h", "tell SecretRotated"]);
    let first = scene(json!({})).with_row().secret(Pending, None).found(|_| {}).matched(Pending);
    assert_eq!(first.actions(), ["promote, former +24h", "tell SecretRotated"]);
}

#[test]
fn what_was_done_to_the_secret_is_told_apart() {
    let recreated = ["pending fresh", OWN, "promote, former +24h", "tell SecretRecreated!"];
    let replaced = ["pending fresh", OWN, "promote, former +24h", "tell SecretTampered!"];
    let deleted = scene(json!({})).with_row().secret(Current, None);
    assert_eq!(deleted.actions(), recreated);
    for (what, scene) in [
        ("another value", tampered(|object| set(object, "CLIENT_SECRET", b"somebody-else's-choice"))),
        ("a former value", tampered(|_| {}).matched(Previous)),
        ("no text", tampered(|object| set(object, "CLIENT_SECRET", &[0xff, 0xfe, 0, 1]))),
        ("empty", tampered(|object| set(object, "CLIENT_SECRET", b""))),
        ("no entry", tampered(|object| unset(object, "CLIENT_SECRET"))),
        ("nothing at all", tampered(|object| object.data = None)),
    ] {
        assert_eq!(scene.actions(), replaced, "{what}");
    }
}

type Edit = fn(&mut Secret);

#[test]
fn what_does_not_touch_the_secret_is_written_back_without_a_new_one() {
    let written_back = ["write CLIENT_ID=generated-id CLIENT_SECRET=standing, owned"];
    let edits: [(&str, Edit); 6] = [
        ("the id", |object| set(object, "CLIENT_ID", b"other")),
        ("no id", |object| unset(object, "CLIENT_ID")),
        ("the label", |object| object.metadata.labels = None),
        ("the annotations", |object| object.metadata.annotations = None),
        ("the owner", |object| object.metadata.owner_references = None),
        ("the owner, no longer the controller", |object| {
            object.metadata.owner_references.as_mut().unwrap()[0].controller = None;
        }),
    ];
    for (what, edit) in edits {
        let scene = scene(json!({})).with_row().secret(Current, None).found(edit).matched(Current);
        assert_eq!(scene.actions(), written_back, "{what}");
    }
}

#[test]
fn what_others_add_to_the_secret_stays() {
    let added = scene(json!({})).with_row().secret(Current, None).matched(Current).found(|object| {
        set(object, "CA_CERTIFICATE", b"pem");
        object.metadata.labels.get_or_insert_default().insert("team".into(), "a".into());
        object.metadata.annotations.get_or_insert_default().insert("note".into(), "b".into());
    });
    assert_eq!(added.actions(), [""; 0]);
}

#[test]
fn a_pending_secret_that_may_have_been_in_the_secret_gets_its_overlap() {
    let pending = || scene(json!({})).with_row().secret(Current, None).secret(Pending, None);
    let both = |event| ["promote, former +24h", "pending fresh", OWN, "promote, former +24h", event];
    assert_eq!(pending().actions(), both("tell SecretRecreated!"));
    let edited = pending().found(|object| set(object, "CLIENT_SECRET", b"somebody-else's-choice"));
    assert_eq!(edited.actions(), both("tell SecretTampered!"));
}

#[test]
fn a_secret_that_changes_too_often_waits() {
    let again = |scene: Scene| {
        let scene = scene.secret(Previous, Some(20)).secret(Previous, Some(24));
        scene.edit(|scene| scene.row.as_mut().unwrap().secret_rotated_at = Some(scene.now))
    };
    let deleted = again(scene(json!({})).with_row().secret(Current, None));
    assert_eq!(deleted.actions(), [""; 0]);
    let message = "Secret orders-oauth2-client changes too often; it is seen to at 2026-03-01T12:05:00Z";
    assert_eq!(unusable(&deleted), (Reason::SecretNotFound, message.into()));
    let changed = again(tampered(|object| set(object, "CLIENT_SECRET", b"somebody-else's-choice")));
    assert_eq!(changed.actions(), [""; 0]);
    assert_eq!(unusable(&changed).0, Reason::SecretInvalid);
    let referenced = again(referenced(json!({})).with_row().secret(Current, None).object(opted_in(STANDING)));
    assert_eq!(referenced.actions(), [""; 0]);
    assert_eq!(unusable(&referenced).0, Reason::SecretInvalid);
    let unchanged = again(scene(json!({})).settled());
    assert_eq!(unchanged.actions(), [""; 0]);
    assert!(matches!(unchanged.plan().standing, Standing::Ready { .. }));
}

#[test]
fn a_client_that_no_longer_has_a_secret_loses_it_everywhere() {
    for method in [crd::TokenEndpointAuthMethod::None, crd::TokenEndpointAuthMethod::PrivateKeyJwt] {
        let switched = scene(json!({})).settled().respec(|spec| spec.token_endpoint_auth_method = method);
        assert_eq!(
            switched.actions(),
            ["remove secrets", "write CLIENT_ID=generated-id, owned", "update row", "tell Updated"]
        );
    }
    let referenced = referenced(json!({}))
        .with_row()
        .secret(Current, None)
        .object(opted_in(STANDING))
        .respec(|spec| spec.token_endpoint_auth_method = crd::TokenEndpointAuthMethod::PrivateKeyJwt);
    assert_eq!(referenced.actions()[0], "remove secrets");
    assert!(!referenced.actions().iter().any(|action| action.starts_with("write")));
}

#[test]
fn a_client_that_now_has_a_secret_gets_its_first() {
    let switched = scene(json!({"tokenEndpointAuthMethod": "private_key_jwt", "jwksUri": "https://a/jwks"}))
        .settled()
        .respec(|spec| spec.token_endpoint_auth_method = crd::TokenEndpointAuthMethod::ClientSecretPost);
    assert_eq!(
        switched.actions(),
        ["pending fresh", OWN, "promote, former +24h", "tell SecretCreated", "update row", "tell Updated"]
    );
    let note = switched.plan().actions.into_iter().find_map(|action| match action {
        Action::Publish(event) if event.reason == EventReason::SecretCreated => Some(event.note),
        _ => None,
    });
    assert_eq!(
        note.unwrap(),
        "Secret orders-oauth2-client holds a new client secret",
        "there is no former one"
    );
}

#[test]
fn entries_that_are_declared_otherwise_are_written() {
    let with_issuer = |key: Option<&str>| {
        let key = key.map(str::to_owned);
        scene(json!({})).settled().respec(move |spec| spec.secret.keys.issuer = key)
    };
    assert_eq!(with_issuer(None).actions(), [""; 0]);
    assert_eq!(
        with_issuer(Some("ISSUER")).actions(),
        ["write CLIENT_ID=generated-id CLIENT_SECRET=standing ISSUER=https://id.example.com/, owned"]
    );
    let withdrawn = scene(json!({"secret": {"keys": {"issuer": "ISSUER"}}}))
        .settled()
        .respec(|spec| spec.secret.keys.issuer = None);
    assert_eq!(withdrawn.actions(), ["write CLIENT_ID=generated-id CLIENT_SECRET=standing, owned"]);
    let label = scene(json!({"secret": {"labels": {"team": "a"}}}))
        .settled()
        .respec(|spec| spec.secret.labels.clear());
    assert_eq!(label.actions().len(), 1);
    let renamed = scene(json!({})).settled().respec(|spec| spec.secret.keys.client_id = "id".into());
    assert_eq!(renamed.actions(), ["write CLIENT_SECRET=standing id=generated-id, owned"]);
}

#[test]
fn a_renamed_entry_is_a_rotation_and_no_tampering() {
    let mut renamed = scene(json!({})).settled().respec(|spec| spec.secret.keys.client_secret = "key".into());
    renamed.0.matched = None;
    assert_eq!(
        renamed.actions(),
        [
            "pending fresh",
            "write CLIENT_ID=generated-id key=fresh, owned",
            "promote, former +24h",
            "tell SecretRotated"
        ]
    );
}

fn referenced(spec: Value) -> Scene {
    let mut whole = json!({"clientId": "orders", "secret": {"source": "Reference", "name": "vault"}});
    merge(&mut whole, spec);
    scene(whole)
}

fn opted_in(value: &str) -> Secret {
    serde_json::from_value(json!({
        "metadata": {"name": "vault", "namespace": "shop", "labels": {"keywright.dev/oauth2-client": "true"}},
        "type": "example.com/any",
        "data": {"CLIENT_SECRET": ByteString(value.as_bytes().to_vec())},
    }))
    .unwrap()
}

#[test]
fn a_referenced_secret_is_read_and_never_written() {
    let new = referenced(json!({})).object(opted_in(STANDING));
    assert_eq!(new.actions(), ["create row with standing", "tell Created"]);
    let settled = || referenced(json!({})).with_row().secret(Current, None).object(opted_in(STANDING));
    assert_eq!(settled().matched(Current).actions(), [""; 0]);
    let taken_over = ["pending standing", "promote, former +24h", "tell SecretRotated"];
    assert_eq!(settled().actions(), taken_over, "another value");
    assert_eq!(settled().matched(Previous).actions(), taken_over, "a former value");
    assert_eq!(settled().secret(Pending, None).matched(Pending).actions(), taken_over[1..], "after a crash");
    let mut superseded = vec!["promote, former +24h"];
    superseded.extend(taken_over);
    assert_eq!(settled().secret(Pending, None).actions(), superseded, "a crash, then another value");
}

#[test]
fn a_referenced_secret_that_cannot_be_used_is_waited_for() {
    let edited = |edit: &dyn Fn(&mut Secret)| {
        let mut object = opted_in(STANDING);
        edit(&mut object);
        referenced(json!({})).object(object)
    };
    let needs_label = "Secret vault needs the label keywright.dev/oauth2-client: \"true\"";
    let too_short =
        "CLIENT_SECRET in Secret vault is too short: at least 6 characters, better 32 random ones";
    let other_id = "CLIENT_ID in Secret vault is not the client's id, orders, which spec.clientId fixes before the \
                    client exists";
    for (scene, reason, message) in [
        (referenced(json!({})), Reason::SecretNotFound, "waiting for Secret vault"),
        (edited(&|object| object.metadata.labels = None), Reason::SecretNotOptedIn, needs_label),
        (
            edited(&|object| {
                object
                    .metadata
                    .labels
                    .as_mut()
                    .unwrap()
                    .insert(crd::names::SECRET_OPT_IN.into(), "yes".into());
            }),
            Reason::SecretNotOptedIn,
            needs_label,
        ),
        (edited(&|object| set(object, "CLIENT_SECRET", b"12345")), Reason::SecretInvalid, too_short),
        (
            edited(&|object| set(object, "CLIENT_SECRET", &[0xc3, 0x28])),
            Reason::SecretInvalid,
            "Secret vault has no text under CLIENT_SECRET",
        ),
        (
            edited(&|object| unset(object, "CLIENT_SECRET")),
            Reason::SecretInvalid,
            "Secret vault has no text under CLIENT_SECRET",
        ),
        (edited(&|object| set(object, "CLIENT_ID", b"other")), Reason::SecretInvalid, other_id),
    ] {
        assert_eq!(scene.actions(), [""; 0], "{message}");
        assert_eq!(unusable(&scene), (reason, message.to_owned()));
    }
    let with_id = edited(&|object| set(object, "CLIENT_ID", b"orders"));
    assert_eq!(with_id.actions(), ["create row with standing", "tell Created"]);
}

#[test]
fn a_referenced_secret_of_a_client_without_one_needs_no_value() {
    let spec = json!({"tokenEndpointAuthMethod": "private_key_jwt", "jwksUri": "https://a/jwks"});
    let scene = referenced(spec).object({
        let mut object = opted_in(STANDING);
        unset(&mut object, "CLIENT_SECRET");
        object
    });
    assert_eq!(scene.actions(), ["create row with no secret", "tell Created"]);
}

#[test]
fn a_switch_of_the_source_rotates_where_the_value_differs() {
    let to_reference = scene(json!({"clientId": "orders"})).with_row().secret(Current, None).edit(|scene| {
        scene.client.spec.secret.source = SecretSource::Reference;
        scene.client.spec.secret.name = Some("vault".into());
    });
    assert_eq!(
        to_reference.object(opted_in(STANDING)).actions(),
        ["pending standing", "promote, former +24h", "tell SecretRotated"]
    );
    let to_generated = referenced(json!({})).with_row().secret(Current, None).edit(|scene| {
        scene.client.spec.secret = crd::ClientSecret::default();
    });
    assert_eq!(to_generated.actions()[0], "pending fresh");
    assert!(to_generated.actions()[1].starts_with("write CLIENT_ID=orders CLIENT_SECRET=fresh"));
    let same_name = referenced(json!({}))
        .with_row()
        .secret(Current, None)
        .respec(|spec| spec.secret.source = SecretSource::Generate)
        .object(opted_in(STANDING));
    assert_eq!(same_name.actions(), [""; 0]);
    assert_eq!(unusable(&same_name).0, Reason::SecretConflict);
}
