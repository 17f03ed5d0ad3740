//! Secrets and tokens appear where they belong and nowhere else.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::dev::{client, files};
use crate::support::{Collector, Dev};

const CHOSEN: &str = "chosen-by-somebody-0123456789-abcdef";
const WRONG: &str = "a-wrong-secret-0123456789-abcdef";
const JWT: &str = "accessTokenStrategy: jwt";

fn manifests() -> Vec<(&'static str, String)> {
    let theirs = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: theirs, labels: {{keywright.dev/oauth2-client: \"true\"}}}}\n\
         stringData: {{CLIENT_SECRET: {CHOSEN}}}\n"
    );
    let posts = client("posts", &["tokenEndpointAuthMethod: client_secret_post"]);
    let referenced = client("referenced", &["secret: {source: Reference, name: theirs}"]);
    vec![
        ("clients.yaml", [client("a", &["scopes: [read]"]), client("jwt", &[JWT]), posts].join("---\n")),
        ("referenced.yaml", format!("{referenced}---\n{theirs}")),
    ]
}

/// Uses everything in every way, and gives what must not be seen.
async fn use_everything(dev: &Dev) -> BTreeSet<String> {
    let mut canaries = BTreeSet::from([CHOSEN.to_owned(), WRONG.to_owned()]);
    let secrets = ["a", "jwt", "posts"].map(|name| dev.client_secret(name));
    for (name, secret) in [("a", &secrets[0]), ("jwt", &secrets[1]), ("referenced", &CHOSEN.to_owned())] {
        canaries.insert(dev.token(name, secret).await.unwrap());
        assert_eq!(dev.token(name, WRONG).await, Err("invalid_client".to_owned()));
        assert_eq!(dev.token(WRONG, secret).await, Err("invalid_client".to_owned()));
        assert_eq!(dev.token_for(name, secret, "unknown").await, Err("invalid_scope".to_owned()));
    }
    let grant = ("grant_type", "client_credentials");
    let posts = [grant, ("client_id", "posts"), ("client_secret", &*secrets[2])];
    let answer = dev.post(dev.url("/oauth2/token"), &posts).send().await.unwrap();
    let answer: serde_json::Value = answer.json().await.unwrap();
    canaries.insert(answer["access_token"].as_str().unwrap().to_owned());

    // What clients do wrong: credentials in the query, in a parameter's name, twice, in a path.
    let secret = &secrets[0];
    for url in [
        format!("/oauth2/token?client_id=a&client_secret={secret}"),
        format!("/oauth2/{secret}"),
        format!("/oauth2/token/?{secret}"),
    ] {
        dev.post(dev.url(&url), &[grant, (secret, secret), (secret, "x")]).send().await.unwrap();
    }
    dev.post(dev.url("/oauth2/token"), &[(&**secret, "x"), (secret, "y")]).send().await.unwrap();
    dev.post(dev.url("/oauth2/token"), &posts).basic_auth("a", Some(secret)).send().await.unwrap();
    dev.post(dev.url("/oauth2/token"), &[grant]).bearer_auth(secret).send().await.unwrap();

    let tokens: Vec<String> = canaries.iter().filter(|text| text.contains('.')).cloned().collect();
    assert_eq!(tokens.len(), 4);
    for token in &tokens {
        assert!(dev.is_active(token).await);
        dev.post(dev.admin_url(&format!("/admin/oauth2/introspect?token={token}")), &[])
            .send()
            .await
            .unwrap();
    }
    for (name, secret) in [("a", &secrets[0]), ("jwt", &secrets[1])] {
        for token in &tokens {
            let revoke = dev.post(dev.url("/oauth2/revoke"), &[("token", &**token)]);
            revoke.basic_auth(name, Some(secret)).send().await.unwrap();
        }
    }
    canaries.extend(secrets);
    canaries
}

/// The parts of a token count too: none of them is a secret by itself, but none belongs into a log.
fn parts(canaries: &BTreeSet<String>) -> BTreeSet<String> {
    let prefixes = ["ory_at_", "ory_rt_"];
    let plain = |text: &str| prefixes.iter().fold(text.to_owned(), |text, prefix| text.replace(prefix, ""));
    let parts = canaries.iter().flat_map(|text| text.split('.').map(plain).collect::<Vec<_>>());
    // A JWT's header is the same for all of them, and holds nothing.
    let telling = parts
        .filter(|part| part.len() >= 20 && !part.starts_with("eyJ0eXAi") && !part.starts_with("eyJhbGci"));
    telling.chain(canaries.iter().cloned()).collect()
}

fn assert_free(what: &str, text: &[u8], canaries: &BTreeSet<String>) {
    for canary in canaries {
        let found = text.windows(canary.len()).any(|window| window == canary.as_bytes());
        assert!(!found, "{what} holds {canary}");
    }
}

#[tokio::test]
async fn no_secret_and_no_token_is_logged_counted_or_kept() {
    let mut dev = Dev::prepared();
    dev.variables =
        vec![("LOG_LEVEL", "trace".to_owned()), ("OAUTH2_EXPOSE_INTERNAL_ERRORS", "true".to_owned())];
    let collector = Collector::start().await;
    dev.variables.push(("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", collector.address)));
    for (file, text) in manifests() {
        dev.write(file, &text);
    }
    dev.start().await;
    let mut canaries = use_everything(&dev).await;
    let first = dev.client_secret("a");
    // A rotation, a tampered Secret, and a bad one.
    fs::remove_file(dev.secret_file("a-oauth2-client")).unwrap();
    fs::write(dev.secret_file("jwt-oauth2-client"), format!("{first}: [")).unwrap();
    let file = dev.secret_file("posts-oauth2-client");
    let tampered = fs::read_to_string(&file).unwrap().replace("CLIENT_SECRET: ", "CLIENT_SECRET: bm90");
    fs::write(&file, tampered).unwrap();
    dev.write(
        "bad.yaml",
        &format!("{{apiVersion: v1, kind: Secret, metadata: {{name: x}}, data: {{a: '{first}'}}}}"),
    );
    dev.logs("reason=SecretRecreated").await;
    dev.logs("Secret jwt-oauth2-client holds a new client secret").await;
    dev.logs("reason=SecretTampered").await;
    dev.logs("the Secret is invalid").await;
    canaries.extend(["a", "jwt", "posts"].map(|name| dev.client_secret(name)));
    let metrics = dev.get(dev.admin_url("/admin/metrics/prometheus")).await;
    let ended = dev.stop().await;
    let system_secret = fs::read_to_string(dev.data().join("system-secret")).unwrap();
    canaries.insert(system_secret.trim().to_owned());

    let canaries = parts(&canaries);
    assert!(canaries.len() > 15 && canaries.iter().all(|canary| canary.len() >= 20), "{canaries:?}");
    assert!(ended.stderr.contains("TRACE") || ended.stderr.contains("DEBUG"), "{}", ended.stderr);
    assert_free("standard output", ended.stdout.as_bytes(), &canaries);
    assert_free("the log", ended.stderr.as_bytes(), &canaries);
    assert!(collector.spans().len() > 20);
    assert_free("the traces", &collector.bytes(), &canaries);
    assert!(metrics.contains("# EOF"));
    assert_free("the metrics", metrics.as_bytes(), &canaries);
    let belongs =
        |path: &Path| path.starts_with(dev.data().join("secrets")) || path.ends_with("system-secret");
    let kept: Vec<PathBuf> = files(&dev.data()).into_iter().filter(|path| !belongs(path)).collect();
    assert!(kept.iter().any(|path| path.ends_with("keywright.db")), "{kept:?}");
    for file in kept {
        assert_free(&file.display().to_string(), &fs::read(&file).unwrap(), &canaries);
    }
}
