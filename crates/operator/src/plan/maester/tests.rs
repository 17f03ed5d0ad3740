use jiff::SignedDuration;
use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use serde_json::{Value, json};

use super::*;
use crate::plan::scene::now;

/// A resource of Maester's; `edit` changes its JSON.
fn maester(edit: impl FnOnce(&mut Value)) -> maester::OAuth2Client {
    let mut resource = json!({
        "apiVersion": maester::API_VERSION, "kind": "OAuth2Client",
        "metadata": {
            "name": "orders", "namespace": "shop", "uid": "u", "generation": 3, "finalizers": [FINALIZER, "other"],
        },
        "spec": {"grantTypes": ["client_credentials"], "scope": "read", "secretName": "orders-secret"},
    });
    edit(&mut resource);
    serde_json::from_value(resource).unwrap()
}

fn secret(entries: &[(&str, &str)], label: Option<&str>) -> Secret {
    let mut secret = Secret::default();
    secret.metadata.name = Some("orders-secret".into());
    secret.metadata.labels = label.map(|label| [(label.to_owned(), "true".to_owned())].into());
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    secret.data = Some(entries.iter().map(|(key, text)| ((*key).to_owned(), bytes(text))).collect());
    secret
}

fn read(from: &maester::OAuth2Client, secret: Option<&Secret>) -> Result<OAuth2Client, Refusal> {
    as_ours(from, secret, "blue", &MaesterSettings::default())
}

#[test]
fn without_a_secret_one_is_made_and_with_one_its_id_is_the_clients() {
    let from = maester(|_| ());
    let made = read(&from, None).unwrap();
    assert_eq!((made.spec.secret.source, made.spec.client_id.as_deref()), (SecretSource::Generate, None));
    assert_eq!(made.secret_name(), "orders-secret");
    assert_eq!(made.spec.instance, "blue");
    assert!(!made.spec.adopt, "only what has Maester's signature is taken over");
    assert_eq!(made.spec.owner.as_deref(), Some("orders/shop"), "as Maester signed its clients");
    assert_eq!(made.finalizers(), [names::CLIENT_FINALIZER, "other"]);
    assert_eq!((made.uid(), made.metadata.generation), (from.uid(), Some(3)));

    let own = secret(&[("CLIENT_ID", "c0ffee"), ("CLIENT_SECRET", "hush")], None);
    let used = read(&from, Some(&own)).unwrap();
    assert_eq!(
        (used.spec.secret.source, used.spec.client_id.as_deref()),
        (SecretSource::Reference, Some("c0ffee"))
    );
    let ours = secret(&[("CLIENT_ID", "c0ffee")], Some(names::MANAGED));
    let kept = read(&from, Some(&ours)).unwrap();
    assert_eq!((kept.spec.secret.source, kept.spec.client_id), (SecretSource::Generate, None));
}

#[test]
fn a_secret_that_a_resource_names_is_meant_for_it() {
    let presented_as = |label| presented(secret(&[], label)).metadata.labels.unwrap();
    assert_eq!(presented_as(None)[names::SECRET_OPT_IN], names::LABEL_TRUE);
    assert!(!presented_as(Some(names::MANAGED)).contains_key(names::SECRET_OPT_IN));
}

#[test]
fn the_owner_of_a_secret_is_of_maesters_kind() {
    let mut ours = secret(&[], Some(names::MANAGED));
    let owner = OwnerReference { api_version: names::API_VERSION.into(), ..OwnerReference::default() };
    ours.metadata.owner_references = Some(vec![owner]);
    assert_eq!(owned(ours).owner_references()[0].api_version, maester::API_VERSION);
}

#[test]
fn what_cannot_be_read_is_refused_by_maesters_codes_unless_it_is_on_its_way_out() {
    let lifespan = |resource: &mut Value| {
        let lifespans = json!({"client_credentials_grant_access_token_lifespan": "10s, or so"});
        resource["spec"]["tokenLifespans"] = lifespans;
    };
    let elsewhere = |resource: &mut Value| {
        resource["spec"]["hydraAdmin"] = json!({"url": "http://elsewhere", "port": 4445});
    };
    let nameless = secret(&[("CLIENT_SECRET", "hush-hush")], None);
    let whole = |_: &mut Value| ();
    let edits: [&dyn Fn(&mut Value); 3] = [&lifespan, &elsewhere, &whole];
    let refusals = [
        (None, REGISTRATION_FAILED, "client_credentials_grant_access_token_lifespan"),
        (None, INVALID_ADDRESS, "elsewhere"),
        (Some(&nameless), INVALID_SECRET, "CLIENT_ID"),
    ];
    for (edit, (secret, code, named)) in edits.into_iter().zip(refusals) {
        let from = maester(|resource| edit(resource));
        let refusal = read(&from, secret).unwrap_err();
        assert_eq!(refusal.code, code);
        let status = refused(&from, &refusal, now());
        let error = status.reconciliation_error.unwrap();
        assert_eq!(error.status_code.as_deref(), Some(code));
        assert!(error.description.unwrap().contains(named), "{named}");
        assert_eq!(status.conditions[0].type_, "Ready");
        assert_eq!(status.conditions[0].status, ConditionStatus::False);
        assert_eq!(status.observed_generation, Some(3));

        let mut leaving = from;
        leaving.metadata.deletion_timestamp = Some(Time(now()));
        assert!(read(&leaving, secret).is_ok(), "{code}");
    }
}

#[test]
fn what_is_no_name_of_a_secret_is_never_asked_for() {
    for (name, is_name) in [
        ("a", true),
        ("orders-secret", true),
        ("a.b-c.d0", true),
        (&"a".repeat(253), true),
        (&"a".repeat(254), false),
        ("", false),
        (".", false),
        ("..", false),
        ("a..b", false),
        ("-a", false),
        ("a-", false),
        ("A", false),
        ("a/b", false),
        ("a/../../other/secrets/b", false),
        ("a b", false),
        ("%2e", false),
        ("a\n", false),
    ] {
        let from = maester(|resource| resource["spec"]["secretName"] = json!(name));
        assert_eq!(read(&from, None).is_ok(), is_name, "{name:?}");
    }
    let from = maester(|resource| resource["spec"]["secretName"] = json!("a/../b"));
    let refusal = read(&from, None).unwrap_err();
    assert_eq!((refusal.code, refusal.message.contains("spec.secretName")), (INVALID_SECRET, true));
}

#[test]
fn an_address_that_means_this_installation_is_accepted() {
    let from = maester(|resource| resource["spec"]["hydraAdmin"] = json!({"url": "http://hydra-admin/"}));
    let settings = MaesterSettings { admin_urls: vec!["http://hydra-admin".into()], ..Default::default() };
    assert!(as_ours(&from, None, "blue", &settings).is_ok());
    assert!(read(&from, None).is_err());
}

#[test]
fn a_status_comes_back_as_it_went() {
    let condition = |type_, status, reason| Wanted::new(type_, status, reason, "why");
    let wanted = [
        condition(ConditionType::Ready, ConditionStatus::True, Reason::Synced),
        condition(ConditionType::SecretReady, ConditionStatus::True, Reason::Synced),
    ];
    let ours = OAuth2ClientStatus {
        observed_generation: Some(3),
        client_id: Some("c0ffee".into()),
        secret_name: Some("orders-secret".into()),
        secret_rotation: None,
        conditions: conditions(&[], &wanted, Some(3), now()),
    };
    let theirs = status(&ours);
    let error = theirs.reconciliation_error.clone().unwrap();
    assert_eq!((error.status_code.as_deref(), error.description.as_deref()), (Some(""), Some("")));
    assert_eq!(known_status(&theirs), ours);

    let of_maester = json!({"conditions": [{"type": "Ready", "status": "True"}], "observedGeneration": 2});
    let known = known_status(&serde_json::from_value(of_maester).unwrap());
    assert!(known.conditions.is_empty());
}

#[test]
fn failures_have_the_code_that_maester_gave_them() {
    for (reason, secret_fails, registered, code) in [
        (Reason::DatabaseUnavailable, false, false, REGISTRATION_FAILED),
        (Reason::DatabaseUnavailable, false, true, UPDATE_FAILED),
        (Reason::InvalidSpec, false, true, UPDATE_FAILED),
        (Reason::Progressing, true, true, SECRET_FAILED),
        (Reason::SecretInvalid, true, false, INVALID_SECRET),
        (Reason::ClientIdConflict, false, false, INVALID_SECRET),
        (Reason::AdoptionRefused, false, false, INVALID_SECRET),
    ] {
        let failed = |type_| Wanted::new(type_, ConditionStatus::False, reason.clone(), "why");
        let mut wanted = vec![failed(ConditionType::Ready)];
        if secret_fails {
            wanted.push(failed(ConditionType::SecretReady));
        }
        let ours = OAuth2ClientStatus {
            client_id: registered.then(|| "c0ffee".to_owned()),
            conditions: conditions(&[], &wanted, Some(3), now()),
            ..OAuth2ClientStatus::default()
        };
        let error = status(&ours).reconciliation_error.unwrap();
        assert_eq!(error.status_code.as_deref(), Some(code), "{reason}");
        assert_eq!(error.description.as_deref(), Some("why"));
    }
}

#[test]
fn a_maester_that_still_runs_is_seen_by_its_writes() {
    let entry = |manager: &str, subresource: &str, seconds: i64| ManagedFieldsEntry {
        manager: Some(manager.to_owned()),
        subresource: Some(subresource.to_owned()),
        time: Some(Time(now() + SignedDuration::from_secs(seconds))),
        ..ManagedFieldsEntry::default()
    };
    let (ours, earlier) = (entry("us", "status", 10), entry("manager", "status", 5));
    let (later, spec) = (entry("manager", "status", 20), entry("kubectl", "", 30));
    assert_eq!(rival(&[earlier.clone(), spec.clone(), ours.clone()], "us"), None);
    assert_eq!(rival(&[later.clone(), spec.clone()], "us"), None, "we did not write yet");
    let all = [ours, later, spec];
    assert_eq!(rival(&all, "us").map(|(manager, _)| manager), Some("manager"));
}

#[test]
fn a_resource_is_limited_by_its_namespace_and_its_address() {
    for (namespaces, own_ids) in
        [(None, false), (Some(vec![]), true), (Some(vec!["another"]), true), (Some(vec!["shop"]), false)]
    {
        for (url, elsewhere) in [("", false), ("http://hydra-admin/", false), ("http://elsewhere", true)] {
            let from = maester(|resource| resource["spec"]["hydraAdmin"] = json!({"url": url}));
            let id_namespaces: Option<Vec<&str>> = namespaces.clone();
            let settings = MaesterSettings {
                id_namespaces: id_namespaces.map(|all| all.into_iter().map(str::to_owned).collect()),
                admin_urls: vec!["http://hydra-admin".into()],
                ..MaesterSettings::default()
            };
            assert_eq!(limits(&from, &settings), Limits { own_ids, elsewhere }, "{namespaces:?} {url}");
        }
    }
}
