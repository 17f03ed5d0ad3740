use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::Value;

use super::*;
use crate::{Resource, Validator};

/// A resource of Maester's with these fields beside those that it needs.
fn maester(spec: Value) -> OAuth2Client {
    let mut whole = json!({"grantTypes": ["client_credentials"], "secretName": "orders-secret"});
    let Value::Object(fields) = spec else { panic!("fields") };
    whole.as_object_mut().unwrap().extend(fields);
    serde_json::from_value(json!({
        "apiVersion": API_VERSION, "kind": "OAuth2Client",
        "metadata": {"name": "orders", "namespace": "shop"},
        "spec": whole,
    }))
    .unwrap()
}

/// The Secret of that resource; `generated` is true for one that Maester made.
fn secret(generated: bool) -> Secret {
    let owner = OwnerReference {
        api_version: API_VERSION.into(),
        kind: "OAuth2Client".into(),
        name: "orders".into(),
        uid: "1".into(),
        ..OwnerReference::default()
    };
    let entries = [("CLIENT_ID", "c0ffee"), ("CLIENT_SECRET", "hush-hush-hush")];
    Secret {
        metadata: ObjectMeta { owner_references: generated.then(|| vec![owner]), ..ObjectMeta::default() },
        data: Some(entries.map(|(key, text)| (key.into(), ByteString(text.into()))).into()),
        ..Secret::default()
    }
}

fn converted(spec: Value) -> crate::OAuth2ClientSpec {
    convert(&maester(spec), Some(&secret(true)), &SecretKeys::default()).unwrap().client.spec
}

#[test]
fn every_field_has_its_place() {
    let native = converted(json!({
        "clientName": "Orders",
        "grantTypes": ["authorization_code", "refresh_token", "implicit"],
        "responseTypes": ["code", "id_token token"],
        "redirectUris": ["https://shop.example.com/cb", "com.example.shop:/cb"],
        "requestUris": ["https://shop.example.com/request.jwt"],
        "postLogoutRedirectUris": ["https://shop.example.com/bye"],
        "allowedCorsOrigins": ["https://shop.example.com"],
        "audience": ["https://api.example.com"],
        "scope": "openid offline_access",
        "scopeArray": ["read", "openid"],
        "skipConsent": true, "skipLogoutConsent": true,
        "tokenEndpointAuthMethod": "private_key_jwt", "tokenEndpointAuthSigningAlg": "ES256",
        "jwksUri": "https://shop.example.com/jwks.json",
        "logoUri": "https://shop.example.com/logo.png", "clientUri": "https://shop.example.com/",
        "policyUri": "https://shop.example.com/policy", "tosUri": "https://shop.example.com/tos",
        "sectorIdentifierUri": "https://shop.example.com/sector.json",
        "frontChannelLogoutURI": "https://shop.example.com/front", "frontChannelLogoutSessionRequired": true,
        "backChannelLogoutURI": "https://shop.example.com/back", "backChannelLogoutSessionRequired": true,
        "accessTokenStrategy": "jwt", "subjectType": "pairwise", "contacts": ["shop@example.com"],
        "requestObjectSigningAlg": "RS256", "userinfoSignedResponseAlg": "ES256",
        "metadata": {"tier": {"level": 1}}, "deletionPolicy": "orphan", "clientSecretExpiresAt": 0,
        "hydraAdmin": {},
    }));
    assert_eq!(
        serde_json::to_value(native).unwrap(),
        json!({
            "instance": "default", "deletionPolicy": "Orphan", "adopt": true, "clientId": "c0ffee",
            "secret": {
                "source": "Generate", "name": "orders-secret",
                "keys": {"clientId": "CLIENT_ID", "clientSecret": "CLIENT_SECRET"},
            },
            "clientName": "Orders", "owner": "orders/shop",
            "grantTypes": ["authorization_code", "refresh_token", "implicit"],
            "responseTypes": ["code", "id_token token"],
            "redirectUris": ["https://shop.example.com/cb", "com.example.shop:/cb"],
            "requestUris": ["https://shop.example.com/request.jwt"],
            "postLogoutRedirectUris": ["https://shop.example.com/bye"],
            "allowedCorsOrigins": ["https://shop.example.com"],
            "audience": ["https://api.example.com"],
            "scopes": ["read", "openid", "offline_access"],
            "skipConsent": true, "skipLogoutConsent": true,
            "tokenEndpointAuthMethod": "private_key_jwt", "tokenEndpointAuthSigningAlg": "ES256",
            "jwksUri": "https://shop.example.com/jwks.json",
            "logoUri": "https://shop.example.com/logo.png", "clientUri": "https://shop.example.com/",
            "policyUri": "https://shop.example.com/policy", "tosUri": "https://shop.example.com/tos",
            "sectorIdentifierUri": "https://shop.example.com/sector.json",
            "frontchannelLogoutUri": "https://shop.example.com/front",
            "frontchannelLogoutSessionRequired": true,
            "backchannelLogoutUri": "https://shop.example.com/back",
            "backchannelLogoutSessionRequired": true,
            "accessTokenStrategy": "jwt", "subjectType": "pairwise", "contacts": ["shop@example.com"],
            "requestObjectSigningAlg": "RS256", "userinfoSignedResponseAlg": "ES256",
            "metadata": {"tier": {"level": 1}},
        })
    );
}

#[test]
fn lifespans_keep_their_length() {
    let mut lifespans = serde_json::Map::new();
    for (index, field) in [
        "authorization_code_grant_access_token_lifespan",
        "authorization_code_grant_id_token_lifespan",
        "authorization_code_grant_refresh_token_lifespan",
        "refresh_token_grant_access_token_lifespan",
        "refresh_token_grant_id_token_lifespan",
        "refresh_token_grant_refresh_token_lifespan",
        "implicit_grant_access_token_lifespan",
        "implicit_grant_id_token_lifespan",
        "client_credentials_grant_access_token_lifespan",
        "jwt_bearer_grant_access_token_lifespan",
    ]
    .into_iter()
    .enumerate()
    {
        lifespans.insert(field.into(), format!("{}m", index + 1).into());
    }
    let three = |first: u8| {
        let minutes = |n| format!("{}m", first + n);
        json!({"accessToken": minutes(0), "idToken": minutes(1), "refreshToken": minutes(2)})
    };
    assert_eq!(
        serde_json::to_value(converted(json!({"tokenLifespans": lifespans})).lifespans).unwrap(),
        json!({
            "authorizationCode": three(1), "refreshToken": three(4),
            "implicit": {"accessToken": "7m", "idToken": "8m"},
            "clientCredentials": {"accessToken": "9m"}, "jwtBearer": {"accessToken": "10m"},
        })
    );
    assert_eq!(converted(json!({"tokenLifespans": {}})).lifespans, None);
}

#[test]
fn a_lifespan_is_read_as_go_reads_it() {
    for (text, wanted) in [
        ("1h30m", Some("1h30m")),
        ("1.5h", Some("5400000ms")),
        ("3000us", Some("3ms")),
        ("1500us", None),
        ("10s, or so", None),
        ("-5s", None),
    ] {
        let field = "client_credentials_grant_access_token_lifespan";
        let from = maester(json!({"tokenLifespans": {field: text}}));
        let spec = spec(&from.spec, &SecretKeys::default());
        let problem = spec.as_ref().err().map(ToString::to_string);
        let problem_names_it =
            problem.is_none_or(|problem| problem.contains(field) && problem.contains(text));
        assert!(problem_names_it, "{text}");
        let found = spec.ok().map(|spec| spec.lifespans.unwrap().client_credentials.unwrap());
        let found = found.and_then(|lifespan| lifespan.access_token);
        assert_eq!(found.as_ref().map(GoDuration::as_str), wanted, "{text}");
    }
}

#[test]
fn somebodys_own_secret_stays_their_own() {
    let native = convert(&maester(json!({})), Some(&secret(false)), &SecretKeys::default()).unwrap();
    assert_eq!(native.client.spec.secret.source, SecretSource::Reference);
    assert_eq!(
        native.notices,
        ["the Secret orders-secret is your own: give it the label keywright.dev/oauth2-client=true"]
    );
}

#[test]
fn the_id_is_in_the_secret_under_the_name_that_maester_was_given() {
    let keys = SecretKeys { client_id: "id".into(), ..SecretKeys::default() };
    let mut secret = secret(true);
    secret.data = None;
    secret.string_data = Some(BTreeMap::from([("id".to_owned(), "c0ffee".to_owned())]));
    let native = convert(&maester(json!({})), Some(&secret), &keys).unwrap();
    assert_eq!(native.client.spec.client_id.as_deref(), Some("c0ffee"));
    assert_eq!(native.client.spec.secret.keys, keys);
    assert!(native.notices.is_empty());

    for known in [None, Some(&Secret::default())] {
        let native = convert(&maester(json!({})), known, &keys).unwrap();
        assert_eq!(native.client.spec.client_id, None);
        assert_eq!(native.notices[0], "set spec.clientId to the id in the Secret orders-secret");
    }
}

#[test]
fn what_we_do_not_have_is_said() {
    let from = maester(json!({
        "grantTypes": ["client_credentials", "refresh_token"],
        "tokenEndpointAuthSigningAlg": "HS256",
        "hydraAdmin": {"url": "http://hydra", "port": 4445},
    }));
    let native = convert(&from, Some(&secret(true)), &SecretKeys::default()).unwrap();
    assert_eq!(native.client.spec.grant_types, [GrantType::ClientCredentials]);
    assert_eq!(native.client.spec.token_endpoint_auth_signing_alg, None);
    assert_eq!(
        native.notices,
        [
            "hydraAdmin is left out: spec.instance names the server that a client is for",
            "the grant type refresh_token is left out: no other grant of this client gives refresh tokens",
            "tokenEndpointAuthSigningAlg HS256 is left out: it is not supported",
        ]
    );
}

#[test]
fn what_maester_wrote_itself_is_no_declaration() {
    let mut from = maester(json!({
        "hydraAdmin": {"url": "", "port": 0, "endpoint": "", "forwardedProto": ""},
        "tokenLifespans": {}, "metadata": null, "jwksUri": "", "scope": "",
    }));
    from.metadata.annotations = Some(BTreeMap::from([(LAST_APPLIED.into(), "{}".into())]));
    from.metadata.labels = Some(BTreeMap::from([("team".into(), "shop".into())]));
    from.metadata.uid = Some("1".into());
    from.metadata.finalizers = Some(vec!["finalizer.ory.hydra.sh".into()]);
    let native = convert(&from, Some(&secret(true)), &SecretKeys::default()).unwrap();
    assert!(native.notices.is_empty(), "{:?}", native.notices);
    assert_eq!(native.client.spec.jwks_uri, None);
    assert_eq!(
        native.client.metadata,
        ObjectMeta {
            name: Some("orders".into()),
            namespace: Some("shop".into()),
            labels: from.metadata.labels,
            ..ObjectMeta::default()
        }
    );
}

#[test]
fn what_comes_out_is_valid_or_says_why() {
    let validator = Validator::new();
    let judged = |spec: Value| {
        let client = convert(&maester(spec), Some(&secret(true)), &SecretKeys::default()).unwrap().client;
        validator.parse(&serde_json::to_value(client).unwrap(), None)
    };
    let sound = judged(json!({"scope": "read,write", "redirectUris": ["https://a.example.com/"]})).unwrap();
    let Resource::OAuth2Client(sound) = sound else { panic!("{sound:?}") };
    assert_eq!(sound.spec.scopes, ["read,write"]);
    let error = judged(json!({"grantTypes": ["authorization_code"]})).unwrap_err();
    assert!(error.to_string().contains("need at least one redirectUris entry"), "{error}");
}
