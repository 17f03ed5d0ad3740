//! What a problem says, and what it must not say.

use serde_json::json;

use super::Given;

const CANARY: &str = "canary-8f3a";

#[test]
fn an_unknown_key_names_the_one_that_was_meant() {
    for (text, problem) in [
        ("sevre: {}", "sevre: unknown key; did you mean serve?"),
        ("serve: {public: {prot: 1}}", "serve.public.prot: unknown key; did you mean serve.public.port?"),
        ("ttl: {accessToken: 1h}", "ttl.accessToken: unknown key; did you mean ttl.access_token?"),
        ("issuer: https://a", "issuer: unknown key; did you mean urls.self.issuer?"),
        ("cors: {enabled: true}", "cors: unknown key; did you mean serve.admin.cors or serve.public.cors?"),
        ("keys: {zzzzzz: 1}", "keys.zzzzzz: unknown key; known here: algorithm, autocreate"),
        ("\"a/b~c\": 1", "a/b~c: unknown key; known here: "),
        (
            "oauth2: {token_hook: {url: 'http://a', body: x}}",
            "oauth2.token_hook.body: unknown key; known here: ",
        ),
    ] {
        let problems = Given::yaml(text).problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(&format!("keywright.yaml: {problem}")), "{problems:?}");
    }
}

#[test]
fn a_wrong_value_says_what_would_be_right() {
    for (text, problem) in [
        ("serve: 1", "serve: found a number (not shown), must be an object"),
        ("serve:", "serve: found nothing (null), must be an object"),
        (
            "log: {level: loud}",
            "log.level: found \"loud\", must be one of panic, fatal, error, warn, info, debug, trace",
        ),
        (
            "ttl: {id_token: 1d}",
            "ttl.id_token: found \"1d\", must be a duration such as 90s or 1h30m, in units of ns, us, ms, s, m and h",
        ),
        ("ttl: {id_token: 60}", "ttl.id_token: found 60, must be a duration such as 90s"),
        ("ttl: {id_token: 0s}", "ttl.id_token: found \"0s\", must be a duration longer than 0s"),
        (
            "ttl: {id_token: 99999999999h}",
            "ttl.id_token: found \"99999999999h\", must be a duration longer than 0s",
        ),
        (
            "ttl: {refresh_token: -2}",
            "ttl.refresh_token: found -2, must be a duration such as 720h, or -1 for no end",
        ),
        (
            "webfinger: {jwks: {broadcast_keys: a}}",
            "webfinger.jwks.broadcast_keys: found \"a\", must be a list, each item a string",
        ),
        (
            "webfinger: {jwks: {broadcast_keys: [1]}}",
            "webfinger.jwks.broadcast_keys.0: found 1, must be a string",
        ),
        (
            "serve: {tls: {key: {}}}",
            "serve.tls.key: found an object, must be an object with either path or base64",
        ),
        ("oauth2: {token_hook: {}}", "oauth2.token_hook.url: missing; must be an absolute URL"),
        ("urls: {login: 'a b'}", "urls.login: found \"a b\", must be a URL"),
        (
            "serve: {public: {host: 'unix:run/x'}}",
            "serve.public.host: found \"unix:run/x\", must be an IP address, a host name, or unix: and an absolute path",
        ),
        (
            "tracing: {providers: {otlp: {server_url: 'grpc://a:4317'}}}",
            "tracing.providers.otlp.server_url: found \"grpc://a:4317\", must be a host and a port",
        ),
        (
            "oauth2: {hashers: {bcrypt: {cost: 3}}}",
            "oauth2.hashers.bcrypt.cost: found 3, must be a whole number from 4 to 31",
        ),
        ("serve: {public: {port: 4444.0}}", "serve.public.port: found 4444.0, must be "),
    ] {
        let problems = Given::yaml(text).problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(&format!("keywright.yaml: {problem}")), "{problems:?}");
    }
}

#[test]
fn a_long_value_is_cut() {
    let problems = Given::variables(&[("DEV", &"x".repeat(5000))]).problems();
    assert!(problems[0].len() < 200, "{problems:?}");
}

#[test]
fn nothing_says_a_secret() {
    let wrong = [
        json!({"dsn": format!("oracle://{CANARY}")}),
        json!({"dsn": format!("postgres://u:{CANARY}#@db/x")}),
        json!({"dsn": [CANARY]}),
        json!({"db": CANARY}),
        json!({"db": {"listen_dsn": {CANARY: CANARY}}}),
        json!({"db": {"replica_dsn": {CANARY: CANARY}}}),
        json!({"secrets": CANARY}),
        json!({"secrets": {"system": CANARY}}),
        json!({"secrets": {"system": [CANARY]}}),
        json!({"secrets": {"cookie": [[CANARY]], "pagination": CANARY}}),
        json!({"oidc": {"subject_identifiers": {"pairwise": CANARY}}}),
        json!({"oauth2": {"token_hook": {"url": format!("https://u:{CANARY}@ a"), "auth": {"type": "api_key", "config": CANARY}}}}),
        json!({"tracing": {"providers": {"otlp": CANARY}}}),
        json!({"serve": {"tls": {"key": CANARY}}}),
    ];
    for file in wrong {
        let given =
            Given::variables(&[]).without("DSN").without("SECRETS_SYSTEM").file("c.json", &file.to_string());
        let error = given.load().unwrap_err();
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(text.contains("c.json") && !text.contains(CANARY), "{text}");
        }
    }
    for (name, text) in [
        ("c.yaml", format!("secrets:\n  system: [\"{CANARY}\n")),
        ("c.yaml", format!("dsn: \"{CANARY}\\q\"\n")),
        ("c.toml", format!("dsn = \"{CANARY}\n")),
        ("c.toml", format!("dsn = {CANARY}\n")),
        ("c.json", format!("{{\"dsn\": \"{CANARY}")),
    ] {
        let problems = Given::variables(&[]).file(name, &text).problems();
        assert!(!problems.concat().contains(CANARY), "{problems:?}");
    }
}

#[test]
fn a_configuration_shows_no_secret() {
    let dsn = format!("postgres://u:{CANARY}@db/x?password={CANARY}");
    let secret = format!("{CANARY}-{CANARY}");
    let given = Given::variables(&[
        ("DSN", &dsn),
        ("DB_LISTEN_DSN", &dsn),
        ("DB_REPLICA_DSN", &dsn),
        ("SECRETS_SYSTEM", &secret),
    ]);
    let shown = format!("{:?}", given.load().unwrap());
    assert!(!shown.contains(CANARY), "{shown}");
}
