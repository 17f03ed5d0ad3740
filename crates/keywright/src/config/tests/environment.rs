//! Variables, and the files that they name.

use server::{Hook, HookKeyPlace, IdentityProvider, ProviderHeaders};

use super::Given;

/// The problems of a start with these variables beside what is needed.
fn problems(variables: &[(&str, &str)]) -> Vec<String> {
    Given::variables(variables).problems()
}

#[test]
fn lists_come_in_three_forms() {
    for variables in [
        &[("WEBFINGER_JWKS_BROADCAST_KEYS", "a, b")][..],
        &[("WEBFINGER_JWKS_BROADCAST_KEYS", r#"["a","b"]"#)],
        &[("WEBFINGER_JWKS_BROADCAST_KEYS_0", "a"), ("WEBFINGER_JWKS_BROADCAST_KEYS_1", "b")],
    ] {
        assert_eq!(
            Given::variables(variables).config().webfinger.broadcast_keys,
            ["a", "b"],
            "{variables:?}"
        );
    }
}

#[test]
fn items_are_numbered_without_gaps_and_not_beside_the_whole_list() {
    let name = "WEBFINGER_JWKS_BROADCAST_KEYS";
    let key = "webfinger.jwks.broadcast_keys";
    assert_eq!(
        problems(&[("WEBFINGER_JWKS_BROADCAST_KEYS_0", "a"), ("WEBFINGER_JWKS_BROADCAST_KEYS_2", "b")]),
        [format!("{name}_2: {key}: items are numbered from 0 without gaps, but {name}_1 is not set")]
    );
    assert_eq!(
        problems(&[(name, "a"), ("WEBFINGER_JWKS_BROADCAST_KEYS_0", "b")]),
        [format!("{name}: {key}: {name}_0 is set too; set only one of them")]
    );
}

#[test]
fn values_are_read_by_the_schemas_type() {
    for (text, dev) in [("1", true), ("true", true), ("T", true), ("0", false), ("FALSE", false), ("", false)]
    {
        assert_eq!(Given::variables(&[("DEV", text)]).config().dev, dev, "{text:?}");
    }
    assert_eq!(Given::variables(&[("SERVE_PUBLIC_PORT", " 8080 ")]).config().serve.public.port, 8080);
    // A number in a string's place stays text.
    let listener = Given::variables(&[("SERVE_PUBLIC_HOST", "10")]).config().serve.public;
    assert_eq!(listener.to_string(), "10:4444");
    let problems =
        problems(&[("DEV", "maybe"), ("SERVE_PUBLIC_PORT", "http"), ("STRATEGIES_SCOPE", "hierarchic")]);
    let expected = [
        "DEV: dev: found \"maybe\", must be true or false",
        "SERVE_PUBLIC_PORT: serve.public.port: found \"http\", must be a whole number from 1 to 65535",
        "STRATEGIES_SCOPE: strategies.scope: found \"hierarchic\", must be one of exact, wildcard",
    ];
    assert_eq!(problems, expected);
}

#[test]
fn a_hook_is_a_plain_url_or_an_object() {
    for variables in [
        &[("OAUTH2_TOKEN_HOOK", "http://hook")][..],
        &[("OAUTH2_TOKEN_HOOK_URL", "http://hook")],
        &[("OAUTH2_TOKEN_HOOK", r#"{"url":"http://hook"}"#)],
        &[
            ("OAUTH2_TOKEN_HOOK_URL", "http://hook"),
            ("OAUTH2_TOKEN_HOOK_AUTH_TYPE", "api_key"),
            ("OAUTH2_TOKEN_HOOK_AUTH_CONFIG_NAME", "X-Key"),
            ("OAUTH2_TOKEN_HOOK_AUTH_CONFIG_VALUE", "k"),
        ],
    ] {
        let given = Given::variables(variables);
        assert!(given.warnings().is_empty(), "{:?}", given.warnings());
        let hook = Hook::new("http://hook".parse().unwrap());
        let expected = match variables.len() {
            1 => hook,
            _ => hook.with_key(HookKeyPlace::Header, "X-Key", "k").unwrap(),
        };
        assert_eq!(given.config().oauth2.hooks.token, Some(expected));
    }
}

#[test]
fn the_headers_for_the_identity_provider_are_checked_and_never_shown() {
    let with = |headers: &'static str| {
        Given::variables(&[
            ("URLS_IDENTITY_PROVIDER_URL", "http://kratos:4434"),
            ("URLS_IDENTITY_PROVIDER_HEADERS", headers),
        ])
    };
    for headers in
        [r#"{"X Key":"hush"}"#, r#"{"X-Key":"hu\nsh"}"#, r#"{"X-Key":["hush"]}"#, r#"["hush"]"#, "hush"]
    {
        let problems = with(headers).problems();
        assert!(!problems.is_empty(), "{headers}");
        for problem in problems {
            assert!(
                problem.contains("urls.identity_provider.headers") && !problem.contains("hu"),
                "{problem}"
            );
        }
    }
    let config = with(r#"{"Authorization":"Bearer hush","X-Key":"k"}"#).config();
    let provider = IdentityProvider::new("http://kratos:4434".parse().unwrap());
    let headers = ProviderHeaders::default().with("authorization", "Bearer hush").unwrap();
    let headers = headers.with("x-key", "k").unwrap();
    assert_eq!(config.urls.identity_provider, Some(provider.with_headers(headers)));
    assert!(!format!("{config:?}").contains("hush"));
}

#[test]
fn the_key_of_a_hook_is_checked_and_never_shown() {
    let with = |place: &'static str, name: &'static str, value: &'static str| {
        Given::variables(&[
            ("OAUTH2_REFRESH_TOKEN_HOOK_URL", "http://hook"),
            ("OAUTH2_REFRESH_TOKEN_HOOK_AUTH_TYPE", "api_key"),
            ("OAUTH2_REFRESH_TOKEN_HOOK_AUTH_CONFIG_IN", place),
            ("OAUTH2_REFRESH_TOKEN_HOOK_AUTH_CONFIG_NAME", name),
            ("OAUTH2_REFRESH_TOKEN_HOOK_AUTH_CONFIG_VALUE", value),
        ])
    };
    for (place, name, value) in
        [("header", "X Key", "hush"), ("header", "X-Key", "hu\nsh"), ("cookie", "a=b", "hush")]
    {
        let problems = with(place, name, value).problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems[0].contains("oauth2.refresh_token_hook") && !problems[0].contains("hu"),
            "{problems:?}"
        );
    }
    let config = with("cookie", "key", "hush").config();
    assert!(config.oauth2.hooks.refresh.is_some());
    assert!(!format!("{config:?}").contains("hush"));
}

#[test]
fn unknown_variables_are_ignored() {
    let given = Given::variables(&[
        ("SERVE_PUBLIC_PROT", "1"),
        ("PATH", "/bin"),
        ("SERVE", "x"),
        ("STRATEGIES_SCOPE_FILE", "/x"),
    ]);
    assert_eq!(given.warnings(), Vec::<String>::new());
}

#[test]
fn a_secret_may_come_from_a_file() {
    let given = Given::variables(&[]).without("DSN").without("SECRETS_SYSTEM");
    let dsn = given.write("dsn", "postgres://from-file/hydra\n");
    let secrets = given.write("secrets", "first-secret-of-16\nsecond-secret-of-16\n");
    let given = given
        .variable("DSN_FILE", dsn.to_str().unwrap())
        .variable("SECRETS_SYSTEM_FILE", secrets.to_str().unwrap())
        .variable("DB_LISTEN_DSN_FILE", dsn.to_str().unwrap());
    let config = given.config();
    assert_eq!(format!("{:?}", config.dsn), "Postgres(postgres://from-file/hydra)");
    assert_eq!(format!("{:?}", config.listen_dsn), "Some(postgres://from-file/hydra)");
    assert_eq!(config.secrets.system.len(), 2);
}

#[test]
fn a_secret_and_its_file_exclude_each_other() {
    let given = Given::variables(&[]);
    let file = given.write("dsn", "memory");
    assert_eq!(
        given.variable("DSN_FILE", file.to_str().unwrap()).problems(),
        ["DSN: dsn: DSN_FILE is set too; set only one of them"]
    );
}

#[test]
fn a_secrets_file_must_be_there_and_hold_something() {
    let given = Given::variables(&[]).without("DSN");
    let empty = given.write("empty", "\n");
    let problems = given.variable("DSN_FILE", empty.to_str().unwrap()).problems();
    assert_eq!(problems, ["DSN_FILE: dsn: empty is empty"]);

    let problems = Given::variables(&[("DSN_FILE", "/nonexistent/dsn")]).without("DSN").problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("DSN_FILE: dsn: /nonexistent/dsn cannot be read: "), "{problems:?}");
}
