//! From a resource's spec to what is registered of the client.
//!
//! The spec has the names of RFC 7591 and Hydra in camelCase, so the way back is mechanical; only scopes and lifespans
//! have a shape of their own.

use std::collections::BTreeSet;

use crd::{Lifespans, OAuth2ClientSpec};
use oauth::lifespan::LONGEST_LIFESPAN;
use oauth::{ClientMetadata, GrantType, RedirectUri, ResponseType, SubjectTypes, TokenEndpointAuthMethod};
use serde_json::{Map, Value};

/// Fields that say how the resource is reconciled, and nothing of the client.
const OURS: [&str; 9] = [
    "instance",
    "suspend",
    "deletionPolicy",
    "adopt",
    "clientId",
    "secret",
    "secretRotation",
    "scopes",
    "lifespans",
];

/// Members that inform people and need no flow.
const DESCRIPTIVE: [&str; 7] =
    ["client_uri", "logo_uri", "policy_uri", "tos_uri", "contacts", "owner", "metadata"];

/// What is registered of the client, where the server serves such a client.
///
/// # Errors
/// The field at fault and why.
pub fn served(spec: &OAuth2ClientSpec, subject_types: &SubjectTypes) -> Result<ClientMetadata, String> {
    let metadata = of_spec(spec)?;
    // Who says nothing of it may need none, such as a service.
    if spec.subject_type.is_some() {
        subject_types.check_type(&metadata).map_err(|why| format!("spec.subjectType: {why}"))?;
    }
    Ok(metadata)
}

/// What is registered of the client.
///
/// # Errors
/// The field at fault and why, where the schema let something pass that the server cannot take.
pub fn of_spec(spec: &OAuth2ClientSpec) -> Result<ClientMetadata, String> {
    check_uris("redirectUris", &spec.redirect_uris)?;
    check_uris("postLogoutRedirectUris", &spec.post_logout_redirect_uris)?;
    let Ok(Value::Object(fields)) = serde_json::to_value(spec) else {
        return Err("spec: cannot be written as JSON".to_owned());
    };
    let mut members: Map<String, Value> = fields
        .into_iter()
        .filter(|(name, _)| !OURS.contains(&name.as_str()))
        .map(|(name, value)| (snake_case(&name), value))
        .collect();
    members.insert("scope".to_owned(), spec.scopes.join(" ").into());
    members.extend(spec.lifespans.as_ref().map(lifespans).unwrap_or_default());
    let metadata = metadata_of(members)?;
    if metadata.lifespans.has_longer_than(LONGEST_LIFESPAN) {
        return Err(format!(
            "spec.lifespans: access and ID tokens live for at most {} h",
            LONGEST_LIFESPAN.as_secs() / 3600
        ));
    }
    Ok(metadata)
}

fn metadata_of(members: Map<String, Value>) -> Result<ClientMetadata, String> {
    let error = match serde_json::from_value(Value::Object(members.clone())) {
        Ok(metadata) => return Ok(metadata),
        Err(error) => error,
    };
    // Each member has a default, so the one at fault is refused alone, too.
    let refused = members.into_iter().find_map(|(name, value)| {
        let alone = Map::from_iter([(name.clone(), value)]);
        let error = serde_json::from_value::<ClientMetadata>(Value::Object(alone)).err()?;
        Some(format!("spec.{}: {error}", field_of(&name)))
    });
    Err(refused.unwrap_or_else(|| format!("spec: {error}")))
}

/// The schema knows a URI's form; whether a browser could be sent there safely is for the protocol to say.
fn check_uris(field: &str, uris: &[String]) -> Result<(), String> {
    for (index, uri) in uris.iter().enumerate() {
        RedirectUri::parse(uri.as_str()).map_err(|error| format!("spec.{field}[{index}]: {error}"))?;
    }
    Ok(())
}

/// The fields of a spec that are kept but not acted on yet, under the spec's names.
pub fn not_served(metadata: &ClientMetadata) -> Vec<String> {
    let mut fields = Vec::new();
    for grant in metadata.grant_types.iter().filter(|grant| !GrantType::SERVED.contains(grant)) {
        fields.push(format!("grantTypes {grant}"));
    }
    for response_type in metadata.response_types.iter().filter(|t| !ResponseType::SERVED.contains(t)) {
        fields.push(format!("responseTypes {response_type}"));
    }
    let method = metadata.token_endpoint_auth_method;
    if !TokenEndpointAuthMethod::SERVED.contains(&method) {
        fields.push(format!("tokenEndpointAuthMethod {method}"));
    }
    let flows = metadata.other.keys().filter(|name| !DESCRIPTIVE.contains(&name.as_str()));
    fields.extend(flows.map(|name| camel_case(name)));
    fields
}

/// The fields of a spec of which two registrations say different things, under the spec's names.
pub fn differing(one: &ClientMetadata, other: &ClientMetadata) -> Vec<String> {
    let members = |metadata: &ClientMetadata| match serde_json::to_value(metadata) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    };
    let (one, other) = (members(one), members(other));
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let differ = names.into_iter().filter(|name| one.get(*name) != other.get(*name));
    let fields: BTreeSet<String> = differ.map(|name| field_of(name)).collect();
    fields.into_iter().collect()
}

/// The field of a spec that a member comes from.
fn field_of(member: &str) -> String {
    match member {
        "scope" => "scopes".to_owned(),
        lifespan if lifespan.ends_with("_lifespan") => "lifespans".to_owned(),
        member => camel_case(member),
    }
}

/// The thirteen lifetimes under Hydra's names: `deviceCode.accessToken` is
/// `device_authorization_grant_access_token_lifespan`.
fn lifespans(lifespans: &Lifespans) -> Map<String, Value> {
    let Ok(Value::Object(grants)) = serde_json::to_value(lifespans) else { return Map::new() };
    let mut members = Map::new();
    for (grant, tokens) in grants {
        let grant =
            if grant == "deviceCode" { "device_authorization".to_owned() } else { snake_case(&grant) };
        let Value::Object(tokens) = tokens else { continue };
        for (token, lifetime) in tokens {
            members.insert(format!("{grant}_grant_{}_lifespan", snake_case(&token)), lifetime);
        }
    }
    members
}

fn snake_case(camel: &str) -> String {
    let mut snake = String::with_capacity(camel.len() + 4);
    for c in camel.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

fn camel_case(snake: &str) -> String {
    let mut words = snake.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at(usize::from(!word.is_empty()));
        camel.push_str(&first.to_ascii_uppercase());
        camel.push_str(rest);
    }
    camel
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(value: Value) -> OAuth2ClientSpec {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn every_field_arrives_under_its_rfc_7591_or_hydra_name() {
        let metadata = of_spec(&spec(json!({
            "grantTypes": ["client_credentials"],
            "scopes": ["read", "api:write"],
            "audience": ["https://api.example.com"],
            "tokenEndpointAuthMethod": "client_secret_post",
            "accessTokenStrategy": "jwt",
            "clientName": "Orders",
            "backchannelLogoutUri": "https://a/logout",
            "backchannelLogoutSessionRequired": true,
            "jwksUri": "https://a/jwks",
            "userinfoSignedResponseAlg": "none",
            "subjectType": "pairwise",
            "sectorIdentifierUri": "https://a/sector",
            "metadata": {"costCentre": 7},
            "lifespans": {"clientCredentials": {"accessToken": "1h30m"}, "deviceCode": {"refreshToken": "720h"},
                "implicit": {"idToken": "5m"}},
        })))
        .unwrap();
        let written = serde_json::to_value(&metadata).unwrap();
        assert_eq!(
            written,
            json!({
                "client_name": "Orders",
                "grant_types": ["client_credentials"],
                "scope": "read api:write",
                "audience": ["https://api.example.com"],
                "token_endpoint_auth_method": "client_secret_post",
                "access_token_strategy": "jwt",
                "client_credentials_grant_access_token_lifespan": "1h30m0s",
                "device_authorization_grant_refresh_token_lifespan": "720h0m0s",
                "implicit_grant_id_token_lifespan": "5m0s",
                "backchannel_logout_uri": "https://a/logout",
                "backchannel_logout_session_required": true,
                "jwks_uri": "https://a/jwks",
                "subject_type": "pairwise",
                "sector_identifier_uri": "https://a/sector",
                "metadata": {"costCentre": 7},
            })
        );
    }

    #[test]
    fn what_is_not_served_yet_is_named_as_the_manifest_names_it() {
        let metadata = of_spec(&spec(json!({
            "grantTypes": ["authorization_code", "implicit", "urn:ietf:params:oauth:grant-type:token-exchange"],
            "responseTypes": ["code", "code id_token"],
            "redirectUris": ["https://a/cb"],
            "skipConsent": true,
            "backchannelLogoutUri": "https://a/logout",
            "jwksUri": "https://a/jwks",
            "owner": "team-a",
        })))
        .unwrap();
        assert_eq!(not_served(&metadata), ["grantTypes urn:ietf:params:oauth:grant-type:token-exchange"]);
        let served =
            of_spec(&spec(json!({"grantTypes": ["client_credentials"], "contacts": ["a@b"]}))).unwrap();
        assert!(not_served(&served).is_empty());
    }

    #[test]
    fn what_differs_is_named_as_the_manifest_names_it() {
        let declared =
            of_spec(&spec(json!({"grantTypes": ["client_credentials"], "scopes": ["read"]}))).unwrap();
        let changed = of_spec(&spec(json!({
            "grantTypes": ["client_credentials"],
            "scopes": ["read", "write"],
            "clientUri": "https://a",
            "lifespans": {"clientCredentials": {"accessToken": "1h"}, "jwtBearer": {"accessToken": "1h"}},
        })))
        .unwrap();
        assert_eq!(differing(&changed, &declared), ["clientUri", "lifespans", "scopes"]);
        assert!(differing(&declared, &declared).is_empty());
    }

    #[test]
    fn a_redirect_uri_that_runs_in_the_browser_is_refused_by_its_field() {
        let error =
            of_spec(&spec(json!({"redirectUris": ["https://a/cb", "javascript:alert(1)"]}))).unwrap_err();
        assert!(
            error.starts_with("spec.redirectUris[1]: a redirect URI does not have the scheme"),
            "{error}"
        );
    }

    #[test]
    fn what_the_schema_lets_pass_is_refused_by_its_field() {
        for (over, field) in [
            (json!({"backchannelLogoutUri": "https://me@app.example.com/out"}), "backchannelLogoutUri"),
            (json!({"frontchannelLogoutUri": "https://app.example.com/out#a"}), "frontchannelLogoutUri"),
            (json!({"requestUris": ["ftp://app.example.com/request"]}), "requestUris"),
            (json!({"userinfoSignedResponseAlg": "foo"}), "userinfoSignedResponseAlg"),
            (json!({"jwks": {"keys": [{"kty": "RSA"}]}}), "jwks"),
        ] {
            let error = of_spec(&spec(over)).unwrap_err();
            assert!(error.starts_with(&format!("spec.{field}: ")), "{error}");
        }
    }

    #[test]
    fn a_subject_type_that_the_server_does_not_serve_is_refused_by_its_field() {
        let pairwise = |uris: &[&str]| spec(json!({"subjectType": "pairwise", "redirectUris": uris}));
        let one = pairwise(&["https://a.example.com/cb"]);
        let public_alone = SubjectTypes::default();
        let salt = oauth::subject_identifier::PairwiseSalt::new("salt-of-this-server".into()).unwrap();
        let pairwise_alone = SubjectTypes { public: false, pairwise: Some(salt.clone()) };
        served(&spec(json!({"grantTypes": ["client_credentials"]})), &pairwise_alone).unwrap();
        assert!(served(&spec(json!({"subjectType": "public"})), &pairwise_alone).is_err());
        let both = SubjectTypes { pairwise: Some(salt), ..SubjectTypes::default() };
        assert_eq!(
            served(&one, &public_alone).unwrap_err(),
            "spec.subjectType: this server supports the subject type public alone"
        );
        served(&one, &both).unwrap();
        let two = pairwise(&["https://a.example.com/cb", "https://b.example.com/cb"]);
        assert!(served(&two, &both).unwrap_err().starts_with("spec.subjectType: pairwise needs"));
    }

    #[test]
    fn names_convert_both_ways() {
        for (camel, snake) in [("jwksUri", "jwks_uri"), ("clientName", "client_name"), ("jwks", "jwks")] {
            assert_eq!(snake_case(camel), snake);
            assert_eq!(camel_case(snake), camel);
        }
    }
}
