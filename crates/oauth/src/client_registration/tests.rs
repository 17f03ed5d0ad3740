use super::*;
use crate::ClientObject;
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;

fn default_scope() -> ScopeSet {
    "offline_access offline openid".parse().unwrap()
}

fn parse(document: Value) -> Result<ClientRegistration, Error> {
    let Value::Object(document) = document else { panic!("{document}") };
    ClientRegistration::parse(document, &default_scope())
}

fn ec_key() -> Value {
    let coordinate = "A".repeat(43);
    json!({"kty": "EC", "crv": "P-256", "x": coordinate, "y": coordinate, "kid": "one"})
}

#[test]
fn an_empty_document_is_a_client_with_hydras_defaults() {
    let client = parse(json!({})).unwrap();
    assert!(client.id.is_none() && client.secret.is_none());
    let expected = ClientMetadata { scope: default_scope(), ..ClientMetadata::default() };
    assert_eq!(client.metadata, expected);
}

#[test]
fn a_document_that_is_sent_back_as_it_was_shown_changes_nothing() {
    let documents = [
        json!({}),
        json!({"scope": "read", "grant_types": ["client_credentials"]}),
        json!({
            "client_name": "Orders ✓", "redirect_uris": ["https://a.example/cb"], "owner": "team-a",
            "grant_types": ["authorization_code", "refresh_token"], "response_types": ["id_token code"],
            "scope": "openid", "audience": ["https://api.example"], "policy_uri": "https://a.example/policy",
            "allowed_cors_origins": ["https://a.example:8443", "https://*.example"], "contacts": ["a@b"],
            "jwks": {"keys": [ec_key()]}, "token_endpoint_auth_method": "private_key_jwt",
            "token_endpoint_auth_signing_alg": "ES256", "request_uris": ["https://a.example/request"],
            "request_object_signing_alg": "none", "userinfo_signed_response_alg": "RS256",
            "id_token_signed_response_alg": "EdDSA", "backchannel_logout_uri": "https://a.example/logout",
            "backchannel_logout_session_required": true,
            "frontchannel_logout_uri": "https://a.example/front?x=%20", "frontchannel_logout_session_required": true,
            "post_logout_redirect_uris": ["https://a.example/bye"],
            "metadata": {"team": [1, null]}, "access_token_strategy": "jwt", "skip_consent": true,
            "skip_logout_consent": false, "implicit_grant_id_token_lifespan": "1h", "subject_type": "pairwise",
            "sector_identifier_uri": "https://a.example/sector.json",
        }),
    ];
    for document in documents {
        let first = parse(document.clone()).unwrap().metadata;
        let id = ClientId::parse("orders").unwrap();
        let object = ClientObject::new(&id, &first, Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
        let shown = serde_json::to_value(object.echoed()).unwrap();
        let second = parse(shown).unwrap();
        assert_eq!(second.metadata, first, "{document}");
        assert_eq!(second.id, Some(id));
    }
}

#[test]
fn members_that_are_unknown_or_the_servers_own_are_ignored() {
    let client = parse(json!({
        "scope": "read", "created_at": "2020-01-01T00:00:00Z", "client_secret_expires_at": 7, "x": {"y": 1},
        "registration_access_token": "t", "registration_client_uri": "https://a.example",
    }));
    let expected = ClientMetadata { scope: "read".parse().unwrap(), ..ClientMetadata::default() };
    assert_eq!(client.unwrap().metadata, expected);
}

#[test]
fn a_bad_member_is_refused_by_its_name() {
    use ErrorCode::{InvalidClientMetadata as Metadata, InvalidRedirectUri as Redirect};
    let private = json!({"kty": "OKP", "crv": "Ed25519", "x": "A".repeat(43), "d": "A".repeat(43)});
    let cases = [
        (json!({"client_id": "a b"}), Metadata, "client_id: "),
        (json!({"client_id": 7}), Metadata, "client_id: "),
        (json!({"client_name": ["a"]}), Metadata, "client_name: "),
        (json!({"redirect_uris": ["https://a/cb", "/cb"]}), Redirect, "redirect_uris[1]: "),
        (json!({"redirect_uris": ["https://a/cb#x"]}), Redirect, "redirect_uris[0]: "),
        (json!({"redirect_uris": ["javascript:alert(1)"]}), Redirect, "redirect_uris[0]: "),
        (json!({"redirect_uris": "https://a/cb"}), Metadata, "redirect_uris: "),
        (json!({"grant_types": ["password"]}), Metadata, "grant_types: "),
        (
            json!({"grant_types": ["urn:ietf:params:oauth:grant-type:token-exchange"]}),
            Metadata,
            "grant_types: this server does not serve urn:ietf:params:oauth:grant-type:token-exchange.",
        ),
        (json!({"response_types": ["none"]}), Metadata, "response_types: "),
        (json!({"scope": "a \"b\""}), Metadata, "scope: "),
        (json!({"scope": ["a"]}), Metadata, "scope: "),
        (json!({"audience": ["a b"]}), Metadata, "audience: "),
        (json!({"token_endpoint_auth_method": "tls_client_auth"}), Metadata, "token_endpoint_auth_method: "),
        (json!({"token_endpoint_auth_method": "private_key_jwt"}), Metadata, "token_endpoint_auth_method: "),
        (json!({"client_secret": "12345"}), Metadata, "client_secret: "),
        (json!({"client_secret": 123_456}), Metadata, "client_secret: "),
        (
            json!({"client_secret": "long enough", "token_endpoint_auth_method": "none"}),
            Metadata,
            "client_secret: ",
        ),
        (json!({"jwks": {"keys": []}, "jwks_uri": "https://a/jwks"}), Metadata, "jwks_uri: "),
        (json!({"jwks": []}), Metadata, "jwks: "),
        (json!({"jwks": {"keys": {}}}), Metadata, "jwks: "),
        (json!({"jwks": {"keys": [ec_key(), {"kty": "oct", "k": "c2VjcmV0"}]}}), Metadata, "jwks: key 1: "),
        (json!({"jwks": {"keys": [private]}}), Metadata, "jwks: key 0: "),
        (json!({"jwks": {"keys": [{"kty": "RSA"}]}}), Metadata, "jwks: key 0: "),
        (json!({"jwks_uri": "ftp://a/jwks"}), Metadata, "jwks_uri: "),
        (json!({"request_uris": ["a"]}), Metadata, "request_uris: "),
        (json!({"logo_uri": "javascript:alert(1)"}), Metadata, "logo_uri: "),
        (json!({"tos_uri": "a"}), Metadata, "tos_uri: "),
        (json!({"owner": 1}), Metadata, "owner: "),
        (json!({"contacts": "a@b"}), Metadata, "contacts: "),
        (json!({"contacts": ["a@b", 1]}), Metadata, "contacts: entry 1: "),
        (json!({"allowed_cors_origins": ["https://a/"]}), Metadata, "allowed_cors_origins: entry 0: "),
        (json!({"allowed_cors_origins": ["https://a?x"]}), Metadata, "allowed_cors_origins: entry 0: "),
        (json!({"allowed_cors_origins": ["https://u@a"]}), Metadata, "allowed_cors_origins: entry 0: "),
        (json!({"allowed_cors_origins": ["*"]}), Metadata, "allowed_cors_origins: entry 0: "),
        (json!({"subject_type": "private"}), Metadata, "subject_type: "),
        (json!({"sector_identifier_uri": "http://a/list"}), Metadata, "sector_identifier_uri: "),
        (json!({"sector_identifier_uri": "app:list"}), Metadata, "sector_identifier_uri: "),
        (json!({"sector_identifier_uri": ["https://a/list"]}), Metadata, "sector_identifier_uri: "),
        (json!({"token_endpoint_auth_signing_alg": "none"}), Metadata, "token_endpoint_auth_signing_alg: "),
        (json!({"request_object_signing_alg": "HS256"}), Metadata, "request_object_signing_alg: "),
        (json!({"userinfo_signed_response_alg": "HS256"}), Metadata, "userinfo_signed_response_alg: "),
        (json!({"id_token_signed_response_alg": "none"}), Metadata, "id_token_signed_response_alg: "),
        (json!({"skip_consent": "yes"}), Metadata, "skip_consent: "),
        (json!({"skip_logout_consent": 1}), Metadata, "skip_logout_consent: "),
        (
            json!({"backchannel_logout_session_required": 1}),
            Metadata,
            "backchannel_logout_session_required: ",
        ),
        (json!({"frontchannel_logout_uri": "app:/out"}), Metadata, "frontchannel_logout_uri: "),
        (json!({"frontchannel_logout_uri": "https://*.a/out"}), Metadata, "frontchannel_logout_uri: "),
        (json!({"backchannel_logout_uri": "https://a/out#x"}), Metadata, "backchannel_logout_uri: "),
        (json!({"access_token_strategy": "paseto"}), Metadata, "access_token_strategy: "),
        (
            json!({"post_logout_redirect_uris": ["https://b/bye"], "redirect_uris": ["https://a/cb"]}),
            Metadata,
            "post_logout_redirect_uris[0]: ",
        ),
        (
            json!({"post_logout_redirect_uris": ["https://a:444/bye"], "redirect_uris": ["https://a/cb"]}),
            Metadata,
            "post_logout_redirect_uris[0]: ",
        ),
        (json!({"post_logout_redirect_uris": ["https://a/bye"]}), Metadata, "post_logout_redirect_uris[0]: "),
        (
            json!({"client_credentials_grant_access_token_lifespan": "1d"}),
            Metadata,
            "client_credentials_grant_access_token_lifespan: ",
        ),
        (
            json!({"implicit_grant_id_token_lifespan": "8785h"}),
            Metadata,
            "implicit_grant_id_token_lifespan: ",
        ),
    ];
    for (document, code, start) in cases {
        let error = parse(document.clone()).unwrap_err();
        assert_eq!(error.code, code, "{document}: {error}");
        assert!(error.description.starts_with(start), "{document}: {error}");
    }
}

#[test]
fn a_secret_is_never_shown_by_what_is_wrong_with_it() {
    for secret in [json!("hush"), json!(271_828), json!(["hush"])] {
        let error = parse(json!({"client_secret": secret})).unwrap_err().to_string();
        assert!(!error.contains("hush") && !error.contains("271"), "{error}");
    }
    let client = parse(json!({"client_secret": "hush-hush"})).unwrap();
    assert!(!format!("{client:?}").contains("hush"));
    assert_eq!(client.secret.unwrap().expose(), "hush-hush");
}

#[test]
fn lifespans_are_read_alone_and_what_is_not_named_is_the_servers() {
    let Value::Object(document) = json!({
        "authorization_code_grant_access_token_lifespan": "90s",
        "refresh_token_grant_refresh_token_lifespan": "87840h",
        "implicit_grant_id_token_lifespan": null,
        "scope": 7,
    }) else {
        unreachable!()
    };
    let lifespans = parse_lifespans(document).unwrap();
    let written = serde_json::to_value(lifespans).unwrap();
    assert_eq!(
        written,
        json!({
            "authorization_code_grant_access_token_lifespan": "1m30s",
            "refresh_token_grant_refresh_token_lifespan": "87840h0m0s",
        })
    );
}

proptest! {
    #[test]
    fn any_member_is_read_or_refused(name in prop::sample::select(vec![
        "client_id", "redirect_uris", "jwks", "allowed_cors_origins", "post_logout_redirect_uris", "metadata", "scope",
    ]), text in "\\PC{0,40}") {
        for value in [json!(text), json!([text]), json!({"keys": [{"kty": text}]})] {
            let _ = parse(json!({(name): value}));
        }
    }
}
