//! From Hydra Maester's resource to ours.

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use serde_json::json;

use super::oauth2_client::{DeletionPolicy, OAuth2Client, OAuth2ClientSpec};
use super::{API_VERSION, TokenLifespans, owner};
use crate::{
    AccessTokenLifespan, ClientSecret, GoDuration, GrantType, ImplicitLifespans, Lifespans, SecretKeys,
    SecretSource, SigningAlgorithm, names,
};

/// Where `kubectl apply` keeps what it was given.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A lifetime that we cannot keep.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("spec.tokenLifespans.{field}: {text:?} is no duration of whole milliseconds, such as 1h30m")]
pub struct LifespanError {
    field: &'static str,
    text: String,
}

/// A resource of ours, and what somebody should know before they apply it.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversion {
    /// The resource. Whether it is valid is for [`crate::Validator`] to say.
    pub client: crate::OAuth2Client,
    /// What is different, or to be done by hand.
    pub notices: Vec<String>,
}

/// The same client as a resource of ours that takes over the client in the database and its Secret.
///
/// `secret` is the Secret that the resource names, where it is known: it holds the client's id, and its owner tells
/// whether Maester generated it. `keys` are the names of its entries.
///
/// # Errors
/// [`LifespanError`] where a lifetime is not a duration, or finer than a millisecond.
pub fn convert(
    from: &OAuth2Client,
    secret: Option<&Secret>,
    keys: &SecretKeys,
) -> Result<Conversion, LifespanError> {
    let name = &from.spec.secret_name;
    let mut spec = spec(&from.spec, keys)?;
    let mut notices = differences(&from.spec);
    spec.owner = Some(owner(&from.name_any(), &from.namespace().unwrap_or_default()));
    spec.adopt = true;
    spec.client_id = secret.and_then(|secret| entry(secret, &keys.client_id));
    if spec.client_id.is_none() {
        notices.push(format!("set spec.clientId to the {} in the Secret {name}", keys.client_id));
    }
    if secret.is_some_and(|secret| !is_generated(secret)) {
        spec.secret.source = SecretSource::Reference;
        let label = format!("{}={}", names::SECRET_OPT_IN, names::LABEL_TRUE);
        notices.push(format!("the Secret {name} is your own: give it the label {label}"));
    }
    let mut client = crate::OAuth2Client::new(&from.name_any(), spec);
    client.metadata = metadata(&from.metadata);
    Ok(Conversion { client, notices })
}

/// What the client is to be, whatever becomes of its id and its Secret.
///
/// # Errors
/// [`LifespanError`] where a lifetime is not a duration, or finer than a millisecond.
pub fn spec(from: &OAuth2ClientSpec, keys: &SecretKeys) -> Result<crate::OAuth2ClientSpec, LifespanError> {
    let lifespans = from.token_lifespans.as_ref().map(lifespans).transpose()?;
    Ok(crate::OAuth2ClientSpec {
        instance: crate::schema::default_instance(),
        suspend: false,
        deletion_policy: match from.deletion_policy {
            Some(DeletionPolicy::Orphan) => crate::DeletionPolicy::Orphan,
            Some(DeletionPolicy::Delete) | None => crate::DeletionPolicy::Delete,
        },
        adopt: false,
        client_id: None,
        secret: ClientSecret {
            name: Some(from.secret_name.clone()),
            keys: keys.clone(),
            ..ClientSecret::default()
        },
        secret_rotation: None,
        client_name: text(from.client_name.as_ref()),
        grant_types: grant_types(from),
        response_types: once(&from.response_types),
        redirect_uris: once(&from.redirect_uris),
        post_logout_redirect_uris: once(&from.post_logout_redirect_uris),
        request_uris: once(&from.request_uris),
        allowed_cors_origins: once(&from.allowed_cors_origins),
        scopes: scopes(from),
        audience: once(&from.audience),
        token_endpoint_auth_method: from.token_endpoint_auth_method.unwrap_or_default(),
        token_endpoint_auth_signing_alg: signing_algorithm(from),
        jwks_uri: text(from.jwks_uri.as_ref()),
        jwks: None,
        request_object_signing_alg: text(from.request_object_signing_alg.as_ref()),
        userinfo_signed_response_alg: text(from.userinfo_signed_response_alg.as_ref()),
        id_token_signed_response_alg: None,
        subject_type: from.subject_type,
        sector_identifier_uri: text(from.sector_identifier_uri.as_ref()),
        access_token_strategy: from.access_token_strategy,
        skip_consent: from.skip_consent,
        skip_logout_consent: from.skip_logout_consent.then_some(true),
        frontchannel_logout_uri: text(from.front_channel_logout_uri.as_ref()),
        frontchannel_logout_session_required: from.front_channel_logout_session_required,
        backchannel_logout_uri: text(from.back_channel_logout_uri.as_ref()),
        backchannel_logout_session_required: from.back_channel_logout_session_required,
        client_uri: text(from.client_uri.as_ref()),
        logo_uri: text(from.logo_uri.as_ref()),
        policy_uri: text(from.policy_uri.as_ref()),
        tos_uri: text(from.tos_uri.as_ref()),
        contacts: once(&from.contacts),
        owner: None,
        metadata: from.metadata.clone().unwrap_or_default(),
        lifespans: lifespans.filter(|lifespans| *lifespans != Lifespans::default()),
    })
}

/// What our resource does not say.
fn differences(from: &OAuth2ClientSpec) -> Vec<String> {
    let mut notices = Vec::new();
    if from.hydra_admin.as_ref().is_some_and(|admin| !admin.is_empty()) {
        notices
            .push("hydraAdmin is left out: spec.instance names the server that a client is for".to_owned());
    }
    if grant_types(from).len() < once(&from.grant_types).len() {
        let why = "no other grant of this client gives refresh tokens";
        notices.push(format!("the grant type refresh_token is left out: {why}"));
    }
    if let (Some(algorithm), None) =
        (text(from.token_endpoint_auth_signing_alg.as_ref()), signing_algorithm(from))
    {
        notices.push(format!("tokenEndpointAuthSigningAlg {algorithm} is left out: it is not supported"));
    }
    notices
}

fn signing_algorithm(from: &OAuth2ClientSpec) -> Option<SigningAlgorithm> {
    serde_json::from_value(json!(from.token_endpoint_auth_signing_alg.as_ref()?)).ok()
}

/// Hydra took a refresh grant that nothing can lead to; it means nothing.
fn grant_types(from: &OAuth2ClientSpec) -> Vec<GrantType> {
    let mut grants = once(&from.grant_types);
    if !grants.contains(&GrantType::AuthorizationCode) {
        grants.retain(|grant| *grant != GrantType::RefreshToken);
    }
    grants
}

fn scopes(from: &OAuth2ClientSpec) -> Vec<String> {
    let all = from.scope_array.iter().chain(&from.scope);
    let words: Vec<String> = all.flat_map(|text| text.split_whitespace()).map(str::to_owned).collect();
    once(&words)
}

/// Each value, the first time that it comes.
fn once<T: Clone + PartialEq>(values: &[T]) -> Vec<T> {
    let mut unique: Vec<T> = Vec::with_capacity(values.len());
    for value in values {
        if !unique.contains(value) {
            unique.push(value.clone());
        }
    }
    unique
}

/// A text; Maester takes the empty one for none.
fn text(value: Option<&String>) -> Option<String> {
    value.filter(|text| !text.is_empty()).cloned()
}

fn entry(secret: &Secret, key: &str) -> Option<String> {
    let bytes = secret.data.as_ref().and_then(|data| data.get(key)).map(|bytes| bytes.0.clone());
    let value = match bytes {
        Some(bytes) => String::from_utf8(bytes).ok(),
        None => secret.string_data.as_ref()?.get(key).cloned(),
    };
    value.filter(|value| !value.is_empty())
}

/// True for a Secret that Maester made: it gave it the resource as owner.
fn is_generated(secret: &Secret) -> bool {
    let mut owners = secret.owner_references().iter();
    owners.any(|owner| owner.api_version == API_VERSION && owner.kind == "OAuth2Client")
}

/// What somebody wrote of the metadata; the rest is the API server's.
fn metadata(from: &ObjectMeta) -> ObjectMeta {
    let mut annotations = from.annotations.clone().unwrap_or_default();
    annotations.remove(LAST_APPLIED);
    ObjectMeta {
        name: from.name.clone(),
        namespace: from.namespace.clone(),
        labels: from.labels.clone().filter(|labels| !labels.is_empty()),
        annotations: Some(annotations).filter(|annotations| !annotations.is_empty()),
        ..ObjectMeta::default()
    }
}

fn lifespans(from: &TokenLifespans) -> Result<Lifespans, LifespanError> {
    macro_rules! lifespan {
        ($field:ident) => {
            duration(stringify!($field), from.$field.as_deref())?
        };
    }
    let code = crate::TokenLifespans {
        access_token: lifespan!(authorization_code_grant_access_token_lifespan),
        id_token: lifespan!(authorization_code_grant_id_token_lifespan),
        refresh_token: lifespan!(authorization_code_grant_refresh_token_lifespan),
    };
    let refresh = crate::TokenLifespans {
        access_token: lifespan!(refresh_token_grant_access_token_lifespan),
        id_token: lifespan!(refresh_token_grant_id_token_lifespan),
        refresh_token: lifespan!(refresh_token_grant_refresh_token_lifespan),
    };
    let implicit = ImplicitLifespans {
        access_token: lifespan!(implicit_grant_access_token_lifespan),
        id_token: lifespan!(implicit_grant_id_token_lifespan),
    };
    let access = |access_token: Option<GoDuration>| {
        access_token.map(|lifespan| AccessTokenLifespan { access_token: Some(lifespan) })
    };
    Ok(Lifespans {
        authorization_code: given(code),
        refresh_token: given(refresh),
        device_code: None,
        implicit: given(implicit),
        client_credentials: access(lifespan!(client_credentials_grant_access_token_lifespan)),
        jwt_bearer: access(lifespan!(jwt_bearer_grant_access_token_lifespan)),
    })
}

fn given<T: Default + PartialEq>(lifespans: T) -> Option<T> {
    (lifespans != T::default()).then_some(lifespans)
}

/// A duration in Go's notation, fractions and all, to the millisecond.
fn duration(field: &'static str, text: Option<&str>) -> Result<Option<GoDuration>, LifespanError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let refused = || LifespanError { field, text: text.to_owned() };
    if let Ok(duration) = text.parse() {
        return Ok(Some(duration));
    }
    let exact: SignedDuration = text.parse().map_err(|_| refused())?;
    if exact.is_negative() || exact.subsec_nanos() % 1_000_000 != 0 {
        return Err(refused());
    }
    format!("{}ms", exact.as_millis()).parse().map(Some).map_err(|_| refused())
}

#[cfg(test)]
mod tests;
