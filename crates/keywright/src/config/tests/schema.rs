//! The schema itself, and that the program does what it says.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::Given;
use crate::config::layer::{merge, pointer};
use crate::config::schema::{Schema, Service};

/// A value other than the default for each key that is served.
const OTHER_VALUES: &[(&str, &str)] = &[
    ("DSN", "postgres://other/hydra"),
    ("DEV", "true"),
    ("DB_LISTEN_DSN", "postgres://direct/hydra"),
    ("DB_REPLICA_DSN", "postgres://replica/hydra"),
    ("KEYS_ALGORITHM", "ES256"),
    ("KEYS_AUTOCREATE", "false"),
    ("CLIENTS_HTTP_DISALLOW_PRIVATE_IP_RANGES", "true"),
    ("CLIENTS_HTTP_PRIVATE_IP_EXCEPTION_URLS", "http://10.0.0.1/jwks"),
    ("LOG_LEVEL", "warn"),
    ("LOG_FORMAT", "json_pretty"),
    ("SERVE_PUBLIC_HOST", "127.0.0.1"),
    ("SERVE_PUBLIC_PORT", "1"),
    ("SERVE_PUBLIC_REQUEST_LOG_DISABLE_FOR_HEALTH", "true"),
    ("SERVE_ADMIN_HOST", "127.0.0.1"),
    ("SERVE_ADMIN_PORT", "2"),
    ("SERVE_ADMIN_REQUEST_LOG_DISABLE_FOR_HEALTH", "true"),
    ("SERVE_OPERATOR_HOST", "127.0.0.1"),
    ("SERVE_OPERATOR_PORT", "3"),
    ("SERVE_OPERATOR_REQUEST_LOG_DISABLE_FOR_HEALTH", "true"),
    ("WEBFINGER_JWKS_BROADCAST_KEYS", "a"),
    ("WEBFINGER_OIDC_DISCOVERY_JWKS_URL", "https://a/jwks"),
    ("WEBFINGER_OIDC_DISCOVERY_TOKEN_URL", "https://a/token"),
    ("WEBFINGER_OIDC_DISCOVERY_SUPPORTED_CLAIMS", "email"),
    ("WEBFINGER_OIDC_DISCOVERY_SUPPORTED_SCOPE", "email"),
    ("URLS_SELF_ISSUER", "https://other/"),
    ("URLS_SELF_PUBLIC", "https://public/"),
    ("URLS_SELF_ADMIN", "https://admin/"),
    ("STRATEGIES_SCOPE", "exact"),
    ("STRATEGIES_ACCESS_TOKEN", "jwt"),
    ("STRATEGIES_JWT_SCOPE_CLAIM", "both"),
    ("TTL_ACCESS_TOKEN", "5m"),
    ("TTL_ID_TOKEN", "6m"),
    ("TTL_REFRESH_TOKEN", "7h"),
    ("OAUTH2_EXPOSE_INTERNAL_ERRORS", "true"),
    ("OAUTH2_EXCLUDE_NOT_BEFORE_CLAIM", "true"),
    ("OAUTH2_ALLOWED_TOP_LEVEL_CLAIMS", "role"),
    ("OAUTH2_MIRROR_TOP_LEVEL_CLAIMS", "false"),
    ("OAUTH2_PRESERVE_EXT_CLAIMS", "true"),
    ("OAUTH2_CLIENT_CREDENTIALS_DEFAULT_GRANT_ALLOWED_SCOPE", "true"),
    ("OIDC_DYNAMIC_CLIENT_REGISTRATION_DEFAULT_SCOPE", "read"),
    ("OIDC_SUBJECT_IDENTIFIERS_PAIRWISE_SALT", "12345678"),
    ("OIDC_SUBJECT_IDENTIFIERS_SUPPORTED_TYPES", "public,public"),
    ("OIDC_DYNAMIC_CLIENT_REGISTRATION_ENABLED", "true"),
    ("SECRETS_SYSTEM", "0123456789abcdef,fedcba9876543210"),
    ("OAUTH2_GRANT_REFRESH_TOKEN_ROTATION_GRACE_PERIOD", "10s"),
    ("OAUTH2_GRANT_JWT_IAT_OPTIONAL", "true"),
    ("OAUTH2_GRANT_JWT_JTI_OPTIONAL", "true"),
    ("OAUTH2_GRANT_JWT_MAX_TTL", "1h"),
    ("OAUTH2_GRANT_JWT_OMIT_ASSERTION_AUDIENCE", "false"),
    ("OAUTH2_PKCE_ENFORCED", "true"),
    ("OAUTH2_REFRESH_TOKEN_HOOK", "http://hook/refresh"),
    ("OAUTH2_TOKEN_HOOK", "http://hook/token"),
    ("OAUTH2_PKCE_ENFORCED_FOR_PUBLIC_CLIENTS", "true"),
    ("SERVE_COOKIES_DOMAIN", "example.com"),
    ("SERVE_COOKIES_NAMES_CONSENT_CSRF", "other"),
    ("SERVE_COOKIES_NAMES_LOGIN_CSRF", "other"),
    ("SERVE_COOKIES_NAMES_SESSION", "other"),
    ("SERVE_COOKIES_PATHS_SESSION", "/other"),
    ("SERVE_COOKIES_SAME_SITE_MODE", "Lax"),
    ("SERVE_COOKIES_SECURE", "true"),
    ("TTL_AUTHENTICATION_SESSION", "1h"),
    ("TTL_AUTH_CODE", "1m"),
    ("TTL_LOGIN_CONSENT_REQUEST", "1h"),
    ("URLS_CONSENT", "/consent"),
    ("URLS_ERROR", "https://pages.example.com/error"),
    ("URLS_IDENTITY_PROVIDER_URL", "http://kratos:4434"),
    ("URLS_LOGIN", "https://pages.example.com/login"),
    ("URLS_LOGOUT", "https://pages.example.com/logout"),
    ("URLS_POST_LOGOUT_REDIRECT", "https://pages.example.com/bye"),
    ("URLS_REGISTRATION", "https://pages.example.com/registration"),
    ("OAUTH2_DEVICE_AUTHORIZATION_TOKEN_POLLING_INTERVAL", "6s"),
    ("OAUTH2_DEVICE_AUTHORIZATION_USER_CODE_ENTROPY_PRESET", "low"),
    ("OAUTH2_DEVICE_AUTHORIZATION_USER_CODE_LENGTH", "9"),
    ("OAUTH2_DEVICE_AUTHORIZATION_USER_CODE_CHARACTER_SET", "ABCDEFGHJKLMNPQRSTUVWXYZ"),
    ("SERVE_COOKIES_NAMES_DEVICE_CSRF", "other"),
    ("TTL_DEVICE_USER_CODE", "5m"),
    ("URLS_DEVICE_SUCCESS", "https://pages.example.com/done"),
    ("URLS_DEVICE_VERIFICATION", "https://pages.example.com/device"),
    ("WEBFINGER_OIDC_DISCOVERY_DEVICE_AUTHORIZATION_URL", "https://other.example.com/device"),
    ("WEBFINGER_OIDC_DISCOVERY_AUTH_URL", "https://other.example.com/auth"),
    ("WEBFINGER_OIDC_DISCOVERY_CLIENT_REGISTRATION_URL", "https://other.example.com/register"),
    ("WEBFINGER_OIDC_DISCOVERY_USERINFO_URL", "https://other.example.com/userinfo"),
    ("SERVE_TLS_ALLOW_TERMINATION_FROM", "10.0.0.0/8"),
    ("SERVE_TLS_CERT_PATH", "/tls.crt"),
    ("SERVE_TLS_CERT_BASE64", "Y2VydA=="),
    ("SERVE_TLS_KEY_PATH", "/tls.key"),
    ("SERVE_TLS_KEY_BASE64", "a2V5"),
    ("SERVE_PUBLIC_TLS_ALLOW_TERMINATION_FROM", "10.0.0.0/8"),
    ("SERVE_PUBLIC_TLS_CERT_PATH", "/tls.crt"),
    ("SERVE_PUBLIC_TLS_CERT_BASE64", "Y2VydA=="),
    ("SERVE_PUBLIC_TLS_KEY_PATH", "/tls.key"),
    ("SERVE_PUBLIC_TLS_KEY_BASE64", "a2V5"),
    ("SERVE_ADMIN_TLS_ALLOW_TERMINATION_FROM", "10.0.0.0/8"),
    ("SERVE_ADMIN_TLS_CERT_PATH", "/tls.crt"),
    ("SERVE_ADMIN_TLS_CERT_BASE64", "Y2VydA=="),
    ("SERVE_ADMIN_TLS_KEY_PATH", "/tls.key"),
    ("SERVE_ADMIN_TLS_KEY_BASE64", "a2V5"),
    ("SERVE_PUBLIC_CORS_ENABLED", "true"),
    ("SERVE_PUBLIC_CORS_ALLOWED_ORIGINS", "https://a"),
    ("SERVE_PUBLIC_CORS_ALLOWED_METHODS", "GET"),
    ("SERVE_PUBLIC_CORS_ALLOWED_HEADERS", "X-A"),
    ("SERVE_PUBLIC_CORS_EXPOSED_HEADERS", "X-A"),
    ("SERVE_PUBLIC_CORS_ALLOW_CREDENTIALS", "false"),
    ("SERVE_PUBLIC_CORS_OPTIONS_PASSTHROUGH", "true"),
    ("SERVE_PUBLIC_CORS_MAX_AGE", "5"),
    ("SERVE_ADMIN_CORS_ENABLED", "true"),
    ("SERVE_ADMIN_CORS_ALLOWED_ORIGINS", "https://a"),
    ("SERVE_ADMIN_CORS_ALLOWED_METHODS", "GET"),
    ("SERVE_ADMIN_CORS_ALLOWED_HEADERS", "X-A"),
    ("SERVE_ADMIN_CORS_EXPOSED_HEADERS", "X-A"),
    ("SERVE_ADMIN_CORS_ALLOW_CREDENTIALS", "false"),
    ("SERVE_ADMIN_CORS_OPTIONS_PASSTHROUGH", "true"),
    ("SERVE_ADMIN_CORS_MAX_AGE", "5"),
    ("FEATURE_FLAGS_LEGACY_ALLOW_INSECURE_ORIGINS", "true"),
    ("SERVE_PUBLIC_SOCKET_OWNER", "keywright"),
    ("SERVE_PUBLIC_SOCKET_GROUP", "proxies"),
    ("SERVE_PUBLIC_SOCKET_MODE", "432"),
    ("SERVE_ADMIN_SOCKET_OWNER", "keywright"),
    ("SERVE_ADMIN_SOCKET_GROUP", "proxies"),
    ("SERVE_ADMIN_SOCKET_MODE", "432"),
    ("TRACING_PROVIDER", "otel"),
    ("TRACING_SERVICE_NAME", "id"),
    ("TRACING_DEPLOYMENT_ENVIRONMENT", "staging"),
    ("TRACING_PROVIDERS_OTLP_SERVER_URL", "collector:4318"),
    ("TRACING_PROVIDERS_OTLP_AUTHORIZATION_HEADER", "Bearer hush"),
    ("TRACING_PROVIDERS_OTLP_SAMPLING_SAMPLING_RATIO", "0.5"),
];

type Variables = &'static [(&'static str, &'static str)];

/// Keys that another one must stand beside, with a value other than the default.
const OTHER_VALUES_TOGETHER: &[(&str, &str, Variables)] = &[
    ("SERVE_TLS_ENABLED", "true", SHARED_PAIR),
    ("SERVE_PUBLIC_TLS_ENABLED", "true", PUBLIC_PAIR),
    ("SERVE_ADMIN_TLS_ENABLED", "true", ADMIN_PAIR),
    ("TRACING_PROVIDERS_OTLP_INSECURE", "true", COLLECTOR),
    ("URLS_IDENTITY_PROVIDER_HEADERS", r#"{"X-Key":"k"}"#, PROVIDER),
];
const PROVIDER: Variables = &[("URLS_IDENTITY_PROVIDER_URL", "http://kratos:4434")];
const COLLECTOR: Variables = &[("TRACING_PROVIDERS_OTLP_SERVER_URL", "collector:4318")];
const SHARED_PAIR: Variables = &[("SERVE_TLS_CERT_PATH", "/c"), ("SERVE_TLS_KEY_PATH", "/k")];
const PUBLIC_PAIR: Variables = &[("SERVE_PUBLIC_TLS_CERT_PATH", "/c"), ("SERVE_PUBLIC_TLS_KEY_PATH", "/k")];
const ADMIN_PAIR: Variables = &[("SERVE_ADMIN_TLS_CERT_PATH", "/c"), ("SERVE_ADMIN_TLS_KEY_PATH", "/k")];

#[test]
fn no_two_keys_have_one_variable() {
    let schema = Schema::new();
    let mut seen = BTreeSet::new();
    for leaf in schema.leaves() {
        assert!(seen.insert(leaf.variable()), "{}", leaf.name);
    }
    for name in
        ["DSN", "SERVE_PUBLIC_CORS_ALLOWED_ORIGINS", "URLS_IDENTITY_PROVIDER_PUBLICURL", "OAUTH2_TOKEN_HOOK"]
    {
        assert!(seen.contains(name), "{name}");
    }
}

#[test]
fn every_key_says_what_it_means_and_what_would_be_right() {
    let schema = Schema::new();
    for leaf in schema.leaves() {
        let meaning = leaf.node.text("description").unwrap_or_default();
        assert!(meaning.ends_with('.'), "{}: {meaning}", leaf.name);
        let types = leaf.node.types();
        assert!(!types.is_empty(), "{}", leaf.name);
        assert!(types.len() == 1 || leaf.node.text("x-expects").is_some(), "{}", leaf.name);
        assert!(leaf.node.get("pattern").is_none() || leaf.node.text("x-expects").is_some(), "{}", leaf.name);
    }
}

#[test]
fn a_file_of_all_defaults_is_accepted_and_warned_about_where_a_key_does_not_act() {
    let schema = Schema::new();
    let mut all = Value::Object(Map::new());
    let mut idle = Vec::new();
    for leaf in schema.leaves() {
        let Some(default) = leaf.node.get("default") else { continue };
        let object = leaf
            .name
            .rsplit('.')
            .fold(default.clone(), |value, part| Value::Object(Map::from_iter([(part.to_owned(), value)])));
        merge(&mut all, object);
        assert_eq!(all.pointer(&pointer(&leaf.name)), Some(default));
        if let Some(why) = crate::config::check::idle(leaf.node) {
            idle.push(format!("all.json: {}: {why}", leaf.name));
        }
    }
    assert_eq!(Given::variables(&[]).file("all.json", &all.to_string()).warnings(), idle);
}

#[test]
fn every_served_key_changes_the_configuration() {
    let schema = Schema::new();
    let served = schema.leaves().into_iter().filter(|leaf| leaf.node.service() == Service::Served);
    let served: BTreeSet<String> = served.map(|leaf| leaf.variable()).collect();
    let together = OTHER_VALUES_TOGETHER.iter().map(|(name, ..)| *name);
    let listed: BTreeSet<String> =
        OTHER_VALUES.iter().map(|(name, _)| *name).chain(together).map(str::to_owned).collect();
    assert_eq!(served, listed);

    let usual = format!("{:?}", Given::variables(&[]).config());
    for (name, text) in OTHER_VALUES {
        let changed = format!("{:?}", Given::variables(&[(name, text)]).config());
        assert_ne!(changed, usual, "{name}");
    }
    for (name, text, beside) in OTHER_VALUES_TOGETHER {
        let without = format!("{:?}", Given::variables(beside).config());
        let with: Vec<_> = beside.iter().copied().chain([(*name, *text)]).collect();
        assert_ne!(format!("{:?}", Given::variables(&with).config()), without, "{name}");
    }
}
