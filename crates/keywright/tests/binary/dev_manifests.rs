//! Manifests that cannot be applied, and those that contradict each other.

use serde_json::Value;

use crate::support::Dev;
use crate::support::dev::client;

/// All problems of the manifests are lines of the log that name the file and what is wrong in it.
#[tokio::test]
async fn a_bad_manifest_is_told_with_file_and_field_and_stops_no_other() {
    let dev = Dev::started(&[("good.yaml", client("good", &[]))]).await;
    let cases = [
        ("field.yaml", client("field", &["scope: a"]), "the OAuth2Client \"field\" is invalid: unknown field \"spec.scope\""),
        ("rule.yaml", client("rule", &["tokenEndpointAuthMethod: none"]), "spec: Invalid value: a public client (tokenEndpointAuthMethod none) cannot use client_credentials"),
        ("pattern.yaml", client("pattern", &["scopes: ['a b']"]), "spec.scopes[0]: Invalid value: \"a b\""),
        ("enum.yaml", client("enum", &["deletionPolicy: Keep"]), "spec.deletionPolicy: Unsupported value: \"Keep\""),
        ("twice.yaml", client("twice", &["scopes: [a]", "scopes: [b]"]), "duplicate entry with key \"scopes\""),
        ("yaml.yaml", client("yaml", &["scopes: [a"]), "did not find expected"),
        ("kind.yaml", client("kind", &[]).replace("Client\n", "Clients\n"), "no matches for kind \"OAuth2Clients\""),
        ("set.yaml", "{apiVersion: keywright.dev/v1alpha1, kind: JsonWebKeySet, metadata: {name: x}, spec: {rotation: \
                      {period: 24h}}}".to_owned(), "publishBefore must be shorter"),
        ("twin.yaml", client("good", &[]), "OAuth2Client default/good is declared in"),
        ("secret.yaml", "{apiVersion: v1, kind: Secret, metadata: {name: x}, data: {a: '%'}}".to_owned(), "the Secret is invalid"),
    ];
    for (file, text, _) in &cases {
        dev.write(file, text);
    }
    dev.write("late.yaml", &client("late", &[]));
    dev.stands("late", "True", "Synced").await;
    for (file, _, message) in &cases {
        dev.logs(message).await;
        let log = dev.process().stderr();
        let told = |line: &str| {
            line.contains("ERROR") && line.contains(&format!("/{file}: ")) && line.contains(message)
        };
        assert!(log.lines().any(told), "{file}: {message}\n{log}");
    }
    dev.token("good", &dev.client_secret("good")).await.unwrap();
    dev.token("late", &dev.client_secret("late")).await.unwrap();
}

#[tokio::test]
async fn a_broken_file_keeps_what_it_declared() {
    let both = format!("{}---\n{}", client("a", &["scopes: [read]"]), client("b", &[]));
    let dev = Dev::started(&[("both.yaml", both)]).await;
    let (a, b) = (dev.client_secret("a"), dev.client_secret("b"));
    for (broken, message) in [
        ("apiVersion: keywright.dev/v1alpha1\nkind: [".to_owned(), "its resources stay as they were"),
        (String::new(), "the file is empty"),
        (client("a", &["scopes: [write]", "zzz: 1"]), "unknown field \"spec.zzz\""),
        (client("a", &[]).replace("name: a", "nam: a"), "unknown field \"metadata.nam\""),
    ] {
        dev.write("both.yaml", &broken);
        dev.logs(message).await;
        dev.token_for("a", &a, "read").await.unwrap();
        dev.token("b", &b).await.unwrap();
    }
    assert_eq!((dev.client_secret("a"), dev.client_secret("b")), (a.clone(), b.clone()));

    // Once it is whole again, what it does not declare is gone.
    dev.write("both.yaml", &client("a", &["scopes: [write]"]));
    dev.logs("OAuth2Client default/b is gone").await;
    dev.token_for("a", &a, "write").await.unwrap();
    assert_eq!(dev.token("b", &b).await, Err("invalid_client".to_owned()));
}

#[tokio::test]
async fn a_file_that_breaks_while_nobody_looks_keeps_what_it_declared() {
    let mut dev = Dev::started(&[("a.yaml", client("a", &[])), ("b.yaml", client("b", &[]))]).await;
    let secrets = [dev.client_secret("a"), dev.client_secret("b")];
    dev.stop().await;
    dev.write("a.yaml", "{");
    dev.remove("b.yaml");
    dev.write("renamed.yaml", "{");
    dev.start().await;
    for (name, secret) in ["a", "b"].into_iter().zip(&secrets) {
        dev.token(name, secret).await.unwrap();
    }
    let welcome = dev.process().stdout();
    assert!(welcome.contains("not applied: ") && welcome.contains("/a.yaml: "), "{welcome}");
}

#[tokio::test]
async fn a_client_id_belongs_to_the_first_and_then_to_the_next() {
    let claims = |name: &str, scope: &str| {
        client(name, &[&format!("scopes: [{scope}]")])
            .replace(&format!("clientId: {name}"), "clientId: shared")
    };
    let dev = Dev::started(&[("first.yaml", claims("first", "one"))]).await;
    dev.write("second.yaml", &claims("second", "two"));
    let stands = dev.stands("second", "False", "ClientIdConflict").await;
    assert_eq!(stands.message, "clientId shared belongs to default/first");
    assert_eq!(dev.ready("first").status, "True");
    let secret = dev.client_secret("first");
    dev.token_for("shared", &secret, "one").await.unwrap();
    assert!(dev.secret("second-oauth2-client").is_none(), "who lost gets no credentials");

    // Taking over does not wait for anybody.
    dev.remove("first.yaml");
    dev.stands("second", "True", "Synced").await;
    dev.token_for("shared", &dev.client_secret("second"), "two").await.unwrap();
    assert_eq!(dev.token("shared", &secret).await, Err("invalid_client".to_owned()));
}

#[tokio::test]
async fn a_client_that_two_files_declare_is_the_first_files() {
    let named = |scope: &str| client("a", &[&format!("scopes: [{scope}]")]);
    let dev = Dev::started(&[("1.yaml", named("one")), ("2.yaml", named("two"))]).await;
    let secret = dev.client_secret("a");
    dev.token_for("a", &secret, "one").await.unwrap();
    dev.remove("1.yaml");
    dev.logs("updated client a").await;
    dev.token_for("a", &secret, "two").await.unwrap();
}

#[tokio::test]
async fn metrics_and_conditions_tell_how_resources_stand() {
    let dev = Dev::started(&[("a.yaml", client("a", &[]))]).await;
    let resource: Value = dev.resource("OAuth2Client", "a");
    assert_eq!(resource["status"]["observedGeneration"], 1);
    assert_eq!(resource["status"]["secretName"], "a-oauth2-client");
    let metrics = dev.get(dev.admin_url("/admin/metrics/prometheus")).await;
    assert!(metrics.contains("kind=\"OAuth2Client\""), "{metrics}");
}
