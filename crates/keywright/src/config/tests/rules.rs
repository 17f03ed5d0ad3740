//! Rules beyond the schema: issuers, the second DSN, listeners, lifetimes.

use std::time::Duration;

use super::Given;
use crate::config::{Dsn, RefreshTokenLifetime};

#[test]
fn an_issuer_stays_as_it_was_written() {
    for issuer in ["https://id.example.com", "https://id.example.com/", "https://ID.example.com:443/a/"] {
        let config = Given::variables(&[("URLS_SELF_ISSUER", issuer)]).config();
        assert_eq!(config.urls.issuer.as_str(), issuer);
        assert_eq!(config.urls.public.as_str(), issuer);
    }
}

#[test]
fn plain_http_is_for_loopback_hosts_and_development() {
    let cases = [
        ("https://id.example.com", "false", Some(0)),
        ("http://id.example.com", "true", Some(0)),
        ("http://localhost:4444", "true", Some(0)),
        ("http://localhost:4444", "false", Some(1)),
        ("http://127.0.0.1:4444/", "false", Some(1)),
        ("http://127.8.9.1", "false", Some(1)),
        ("http://[::1]:4444", "false", Some(1)),
        ("http://id.localhost", "false", Some(1)),
        ("http://id.example.com", "false", None),
        ("http://localhost.example.com", "false", None),
        ("http://notlocalhost", "false", None),
        ("http://10.0.0.1", "false", None),
    ];
    for (issuer, dev, warnings) in cases {
        let given = Given::variables(&[("URLS_SELF_ISSUER", issuer), ("DEV", dev)]);
        assert_eq!(given.load().ok().map(|loaded| loaded.warnings.len()), warnings, "{issuer} dev={dev}");
    }
}

#[test]
fn what_is_no_issuer_is_refused() {
    for (issuer, fragment) in [
        ("id.example.com", "an absolute URL"),
        ("ftp://id.example.com", "an http or https URL"),
        ("https://id.example.com?a=b", "without query and fragment"),
        ("https://id.example.com#a", "without query and fragment"),
        ("https://user@id.example.com", "without user and password"),
    ] {
        let problems = Given::variables(&[("URLS_SELF_ISSUER", issuer)]).problems();
        assert!(problems.len() == 1 && problems[0].contains(fragment), "{problems:?}");
    }
}

#[test]
fn without_an_issuer_one_on_this_machine_is_assumed() {
    let given = Given::variables(&[("SERVE_PUBLIC_PORT", "4433")]).without("URLS_SELF_ISSUER");
    assert_eq!(given.config().urls.issuer.as_str(), "http://localhost:4433/");
    assert_eq!(given.warnings(), ["urls.self.issuer: not set; http://localhost:4433/ is assumed"]);
}

#[test]
fn the_listener_has_its_own_dsn_or_the_databases() {
    let shown = |given: Given| format!("{:?}", given.config().listen_dsn);
    assert_eq!(shown(Given::variables(&[])), "Some(postgres://db:5432/hydra)");
    assert_eq!(
        shown(Given::variables(&[("DB_LISTEN_DSN", "postgres://direct/hydra")])),
        "Some(postgres://direct/hydra)"
    );
    assert_eq!(shown(Given::variables(&[("DSN", "memory")])), "None");
}

#[test]
fn a_replica_has_a_dsn_of_its_own() {
    let shown = |given: Given| format!("{:?}", given.config().replica_dsn);
    assert_eq!(shown(Given::variables(&[])), "None");
    let given = Given::variables(&[("DB_REPLICA_DSN", "postgres://u:p@replica/hydra?max_conns=3")]);
    let replica = given.config().replica_dsn.unwrap();
    assert_eq!((replica.url(), replica.pool().max_connections), ("postgres://u:p@replica/hydra", Some(3)));
}

#[test]
fn further_dsns_are_of_the_databases_kind() {
    for (variable, key) in [("DB_LISTEN_DSN", "db.listen_dsn"), ("DB_REPLICA_DSN", "db.replica_dsn")] {
        let sqlite = Given::variables(&[("DSN", "sqlite:///x.db"), (variable, "postgres://other/hydra")]);
        assert_eq!(
            sqlite.warnings(),
            [format!("{variable}: {key}: has no effect, as dsn is not a PostgreSQL database")]
        );
        assert_eq!(
            Given::variables(&[(variable, "memory")]).problems(),
            [format!(
                "{variable}: {key}: must be postgres://user:password@host:port/database, as dsn is one"
            )]
        );
    }
}

#[test]
fn a_dsn_is_needed_and_must_be_of_a_kind_that_is_supported() {
    let missing = Given::variables(&[]).without("DSN").problems();
    assert!(
        missing.len() == 1 && missing[0].starts_with("dsn: missing; set dsn in a file, or DSN or DSN_FILE"),
        "{missing:?}"
    );
    let mysql = Given::variables(&[("DSN", "mysql://u:p@tcp(h:3306)/db")]).problems();
    assert!(mysql.len() == 1 && mysql[0].ends_with("MySQL is not supported"), "{mysql:?}");
    assert_eq!(Given::variables(&[("DSN", "memory")]).config().dsn, Dsn::Memory);
}

#[test]
fn listeners_are_addresses() {
    for (host, shown) in [("::1", "[::1]:4444"), ("[::]", "[::]:4444"), ("localhost", "localhost:4444")] {
        let config = Given::variables(&[("SERVE_PUBLIC_HOST", host)]).config();
        assert_eq!(config.serve.public.to_string(), shown);
    }
    assert_eq!(Given::yaml("serve: {public: {host: ''}}").config().serve.public.to_string(), "0.0.0.0:4444");
    let socket = Given::yaml("serve: {public: {host: 'unix:/run/keywright.sock'}}").config().serve.public;
    assert_eq!(socket.to_string(), "unix:/run/keywright.sock");
}

#[test]
fn lifetimes_are_gos_durations() {
    for (text, seconds) in [("90s", 90), ("1h30m", 5400), ("30m1h", 5400), ("720h0m0s", 2_592_000)] {
        let ttl = Given::variables(&[("TTL_ACCESS_TOKEN", text), ("TTL_REFRESH_TOKEN", text)]).config().ttl;
        assert_eq!(ttl.access_token, Duration::from_secs(seconds), "{text}");
        assert_eq!(ttl.refresh_token, RefreshTokenLifetime::Limited(ttl.access_token), "{text}");
    }
}

#[test]
fn a_refresh_token_may_live_for_ever() {
    for given in [
        Given::variables(&[("TTL_REFRESH_TOKEN", "-1")]),
        Given::yaml("ttl: {refresh_token: -1}"),
        Given::yaml("ttl: {refresh_token: '-1'}"),
    ] {
        assert_eq!(given.config().ttl.refresh_token, RefreshTokenLifetime::Unlimited);
    }
}

#[test]
fn hydras_most_important_levels_are_errors() {
    for (text, level) in
        [("panic", tracing::Level::ERROR), ("fatal", tracing::Level::ERROR), ("trace", tracing::Level::TRACE)]
    {
        assert_eq!(Given::variables(&[("LOG_LEVEL", text)]).config().log.level, level);
    }
}

#[test]
fn keys_without_anything_to_act_on_are_silent() {
    let text = "version: v2.2.0\nsqa: {opt_out: true, other: 1}\ncgroups: {v1: {auto_max_procs_enabled: true}}\n\
                db: {ignore_unknown_table_columns: true}\n";
    assert_eq!(Given::yaml(text).warnings(), Vec::<String>::new());
}

#[test]
fn a_page_may_be_a_path_below_the_public_url() {
    let page = |text: &str| {
        let given =
            Given::variables(&[("URLS_SELF_PUBLIC", "https://public.example.com/"), ("URLS_LOGIN", text)]);
        given.config().urls.login.map(String::from)
    };
    assert_eq!(page("/login?a=b").as_deref(), Some("https://public.example.com/login?a=b"));
    assert_eq!(page("https://pages.example.com/").as_deref(), Some("https://pages.example.com/"));
    assert_eq!(page(""), None, "an empty variable counts as not set");
    let problems = Given::variables(&[("URLS_LOGIN", "javascript:x")]).problems();
    assert!(problems.len() == 1 && problems[0].contains("an http or https URL, or a path"), "{problems:?}");
}

#[test]
fn flows_cookies_and_grace_periods_have_limits() {
    for (name, text, fragment) in [
        ("TTL_LOGIN_CONSENT_REQUEST", "13h", "no longer than 12h"),
        ("TTL_AUTH_CODE", "0s", "longer than 0s"),
        ("OAUTH2_GRANT_REFRESH_TOKEN_ROTATION_GRACE_PERIOD", "6m", "no longer than 5m"),
        ("SERVE_COOKIES_NAMES_SESSION", "a b", "a cookie's name"),
        ("TTL_DEVICE_USER_CODE", "13h", "no longer than 12h"),
        ("OAUTH2_DEVICE_AUTHORIZATION_TOKEN_POLLING_INTERVAL", "1500ms", "whole seconds"),
        ("OAUTH2_DEVICE_AUTHORIZATION_TOKEN_POLLING_INTERVAL", "0s", "whole seconds"),
        ("OAUTH2_DEVICE_AUTHORIZATION_USER_CODE_LENGTH", "5", "at least 6"),
        ("OAUTH2_DEVICE_AUTHORIZATION_USER_CODE_LENGTH", "41", "at most 40"),
        ("OAUTH2_DEVICE_AUTHORIZATION_USER_CODE_CHARACTER_SET", "ABCDEFGH", "as nine digits"),
        ("OAUTH2_DEVICE_AUTHORIZATION_USER_CODE_CHARACTER_SET", "ABCDEFGH-JKLMNPQ", "letters and digits"),
    ] {
        let problems = Given::variables(&[(name, text)]).problems();
        assert!(problems.len() == 1 && problems[0].contains(fragment), "{problems:?}");
    }
}

#[test]
fn a_grace_period_that_hydra_takes_with_a_count_is_shortened_and_warned_about() {
    const PERIOD: &str = "OAUTH2_GRANT_REFRESH_TOKEN_ROTATION_GRACE_PERIOD";
    const COUNT: (&str, &str) = ("OAUTH2_GRANT_REFRESH_TOKEN_ROTATION_GRACE_REUSE_COUNT", "3");
    let minutes = Duration::from_mins;
    for (text, expected, is_shortened) in
        [("10s", Duration::from_secs(10), false), ("5m", minutes(5), false), ("24h", minutes(5), true)]
    {
        let given = Given::variables(&[(PERIOD, text), COUNT]);
        assert_eq!(given.config().oauth2.rotation_grace_period, expected, "{text}");
        let warned = given.warnings().iter().any(|warning| warning.contains("5m in its place"));
        assert_eq!(warned, is_shortened, "{:?}", given.warnings());
    }
    for (variables, fragment) in [
        (&[(PERIOD, "4321h"), COUNT][..], "no longer than 4320h"),
        (&[(PERIOD, "24h"), (COUNT.0, "0")], "no longer than 5m"),
    ] {
        let problems = Given::variables(variables).problems();
        assert!(problems.len() == 1 && problems[0].contains(fragment), "{problems:?}");
    }
}

#[test]
fn pairwise_subjects_need_a_salt() {
    let types = ("OIDC_SUBJECT_IDENTIFIERS_SUPPORTED_TYPES", "public,pairwise");
    let problems = Given::variables(&[types]).problems();
    assert!(problems.len() == 1 && problems[0].contains("pairwise.salt: missing"), "{problems:?}");
    for (salt, right) in [("seven c", false), ("eight ch", true)] {
        let given = Given::variables(&[types, ("OIDC_SUBJECT_IDENTIFIERS_PAIRWISE_SALT", salt)]);
        assert_eq!(given.load().is_ok(), right, "{salt}");
    }
}

#[test]
fn tls_needs_a_certificate_unless_a_proxy_ends_it() {
    let enabled = ("SERVE_PUBLIC_TLS_ENABLED", "true");
    let problems = Given::variables(&[enabled]).problems();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(
        problems[0].starts_with("serve.public.tls.cert: missing; serve.public.tls.enabled needs"),
        "{problems:?}"
    );
    assert!(problems[1].starts_with("serve.public.tls.key: missing;"), "{problems:?}");
    let proxied =
        Given::variables(&[enabled, ("SERVE_PUBLIC_TLS_ALLOW_TERMINATION_FROM", "10.0.0.0/8,fd00::/8")]);
    assert_eq!(proxied.config().serve.public.tls.allow_termination_from.len(), 2);
    let range = Given::variables(&[("SERVE_TLS_ALLOW_TERMINATION_FROM", "10.0.0.0/99")]).problems();
    assert!(range.len() == 1 && range[0].contains("a list of address ranges"), "{range:?}");

    let secret = "Y2FuYXJ5"; // "canary" in base64
    let given = Given::variables(&[
        enabled,
        ("SERVE_PUBLIC_TLS_CERT_PATH", "/c"),
        ("SERVE_PUBLIC_TLS_KEY_BASE64", secret),
    ]);
    let shown = format!("{:?}", given.config());
    assert!(!shown.contains(secret) && !shown.contains("canary"), "{shown}");
    let wrong = Given::variables(&[("SERVE_TLS_KEY_BASE64", "canary!")]).problems();
    assert!(wrong.len() == 1 && wrong[0].contains("base64") && !wrong[0].contains("canary"), "{wrong:?}");
    let both = Given::variables(&[("SERVE_TLS_KEY_BASE64", secret), ("SERVE_TLS_KEY_PATH", "/k")]).problems();
    assert!(both.len() == 1 && both[0].contains("either path or base64"), "{both:?}");
}

#[test]
fn origins_that_are_none_are_refused_and_those_of_other_people_left_out() {
    let origins = |text: &str| Given::variables(&[("SERVE_PUBLIC_CORS_ALLOWED_ORIGINS", text)]);
    let allowed = |given: &Given| format!("{:?}", given.config().serve.public.cors.unwrap().allowed_origins);
    assert_eq!(allowed(&Given::variables(&[])), "[*]");
    assert_eq!(
        allowed(&origins("https://a.example,https://*.b.example")),
        "[https://a.example, https://*.b.example]"
    );
    let unbounded = origins("https://*.co.uk,https://a.example");
    assert_eq!(allowed(&unbounded), "[https://a.example]");
    assert!(
        unbounded.warnings()[0].contains("\"https://*.co.uk\" is left out"),
        "{:?}",
        unbounded.warnings()
    );
    assert_eq!(allowed(&origins("https://*.co.uk")), "[]", "one that is left out does not leave all");
    let lifted = origins("https://*.co.uk").variable("FEATURE_FLAGS_LEGACY_ALLOW_INSECURE_ORIGINS", "true");
    assert_eq!(allowed(&lifted), "[https://*.co.uk]");
    let problems = origins("app.example.com").problems();
    assert!(problems.len() == 1 && problems[0].contains("an origin is a scheme, a host"), "{problems:?}");
    let open = Given::variables(&[("SERVE_ADMIN_CORS_ENABLED", "true")]).warnings();
    assert!(open.len() == 1 && open[0].contains("any page"), "{open:?}");
}

#[test]
fn secrets_that_are_not_needed_are_accepted_and_noted() {
    let given = Given::variables(&[
        ("SECRETS_COOKIE", "0123456789abcdef"),
        ("SECRETS_PAGINATION", "0123456789abcdef"),
    ]);
    let warnings = given.warnings();
    assert_eq!(
        warnings,
        [
            "SECRETS_COOKIE: secrets.cookie: accepted, and has no effect: secrets of cookies; those are derived from the \
             root key",
            "SECRETS_PAGINATION: secrets.pagination: accepted, and has no effect: secrets of page tokens; those are \
             derived from the root key",
        ]
    );
}

#[test]
fn cookies_say_that_no_other_host_sets_them_where_the_server_has_its_origin_to_itself() {
    let names = |more: &[(&str, &str)]| {
        let cookies = crate::wiring::server_settings(&Given::variables(more).config()).cookies;
        (cookies.login_csrf, cookies.session)
    };
    let plain = ("ory_hydra_login_csrf".to_owned(), "ory_hydra_session".to_owned());
    let issuer = |url| ("URLS_SELF_ISSUER", url);
    let (login, session) = names(&[issuer("https://id.example.com/")]);
    assert_eq!(login, format!("__Host-{}", plain.0));
    assert_eq!(session, format!("__Host-{}", plain.1));
    for more in [
        [issuer("https://id.example.com/tenant/"), ("SERVE_COOKIES_SECURE", "true")],
        [issuer("https://id.example.com/"), ("URLS_SELF_PUBLIC", "https://id.example.com/tenant/")],
        [issuer("https://id.example.com/"), ("SERVE_COOKIES_DOMAIN", "example.com")],
    ] {
        assert_eq!(names(&more), plain, "{more:?}");
    }
    let (login, session) = names(&[
        issuer("https://id.example.com/"),
        ("SERVE_COOKIES_NAMES_LOGIN_CSRF", "ory_hydra_login_csrf"),
    ]);
    assert_eq!((login, session), (plain.0.clone(), format!("__Host-{}", plain.1)), "what is chosen stays");
    let (login, session) =
        names(&[issuer("https://id.example.com/"), ("SERVE_COOKIES_PATHS_SESSION", "/oauth2")]);
    assert_eq!((login, session), (format!("__Host-{}", plain.0), plain.1));
}

#[test]
fn proxies_that_are_named_are_believed_whoever_ends_tls() {
    let public = |more: &[(&str, &str)]| {
        let settings = crate::wiring::server_settings(&Given::variables(more).config());
        (settings.public.proxies.len(), settings.public.forwarders.len(), settings.admin.forwarders.len())
    };
    let own = ("SERVE_PUBLIC_TLS_ALLOW_TERMINATION_FROM", "10.0.0.0/8,fd00::/8");
    assert_eq!(public(&[]), (0, 0, 0));
    assert_eq!(public(&[own]), (0, 2, 0));
    assert_eq!(public(&[own, ("SERVE_PUBLIC_TLS_ENABLED", "true")]), (2, 2, 0));
    assert_eq!(public(&[("SERVE_TLS_ALLOW_TERMINATION_FROM", "10.0.0.0/8")]), (0, 1, 1));
}

#[test]
fn discovery_names_the_registration_that_is_configured_or_served() {
    let url = ("WEBFINGER_OIDC_DISCOVERY_CLIENT_REGISTRATION_URL", "https://portal.example.com/clients");
    let served = ("OIDC_DYNAMIC_CLIENT_REGISTRATION_ENABLED", "true");
    for (more, named) in [
        (&[][..], None),
        (&[served], Some("https://id.example.com/oauth2/register")),
        (&[url], Some(url.1)),
        (&[url, served], Some(url.1)),
    ] {
        let settings = crate::wiring::server_settings(&Given::variables(more).config());
        assert_eq!(settings.discovery.registration_url.as_deref(), named, "{more:?}");
    }
}
