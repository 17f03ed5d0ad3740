//! The client's document, as Hydra sends it: the members, their order, and what stands for what is not set.

use jiff::Timestamp;
use jose::SigningAlgorithm;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::go_duration::GoDuration;
use crate::request_object::RequestObjectAlgorithm;
use crate::{
    AccessTokenStrategy, Audience, Client, ClientId, ClientMetadata, ClientSecret, GrantType, LogoutUri,
    RedirectUri, RegisteredKeys, ResponseType, ScopeSet, TokenEndpointAuthMethod, WebUrl,
};

/// A client as the admin API shows it, and as login and consent apps see the client of a request.
///
/// It holds no secret but one that is told on purpose ([`Self::with_secret`]), hence no `Debug`.
#[derive(Serialize)]
pub struct ClientObject<'a> {
    client_id: &'a ClientId,
    client_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
    redirect_uris: &'a [RedirectUri],
    grant_types: Option<&'a [GrantType]>,
    response_types: Option<&'a [ResponseType]>,
    scope: &'a ScopeSet,
    audience: &'a [Audience],
    owner: &'a str,
    policy_uri: &'a str,
    allowed_cors_origins: &'a [String],
    tos_uri: &'a str,
    client_uri: &'a str,
    logo_uri: &'a str,
    contacts: Option<&'a [Value]>,
    client_secret_expires_at: i64,
    subject_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sector_identifier_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwks_uri: Option<&'a WebUrl>,
    jwks: OrEmpty<'a>,
    token_endpoint_auth_method: TokenEndpointAuthMethod,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_endpoint_auth_signing_alg: Option<SigningAlgorithm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_uris: Option<&'a [WebUrl]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_object_signing_alg: Option<RequestObjectAlgorithm>,
    userinfo_signed_response_alg: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token_signed_response_alg: Option<SigningAlgorithm>,
    created_at: Timestamp,
    updated_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    frontchannel_logout_uri: Option<&'a LogoutUri>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    frontchannel_logout_session_required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    post_logout_redirect_uris: Option<&'a [RedirectUri]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backchannel_logout_uri: Option<&'a LogoutUri>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    backchannel_logout_session_required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<OrEmpty<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_access_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_client_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token_strategy: Option<AccessTokenStrategy>,
    skip_consent: bool,
    skip_logout_consent: Option<bool>,
    authorization_code_grant_access_token_lifespan: Option<GoDuration>,
    authorization_code_grant_id_token_lifespan: Option<GoDuration>,
    authorization_code_grant_refresh_token_lifespan: Option<GoDuration>,
    client_credentials_grant_access_token_lifespan: Option<GoDuration>,
    implicit_grant_access_token_lifespan: Option<GoDuration>,
    implicit_grant_id_token_lifespan: Option<GoDuration>,
    jwt_bearer_grant_access_token_lifespan: Option<GoDuration>,
    refresh_token_grant_id_token_lifespan: Option<GoDuration>,
    refresh_token_grant_access_token_lifespan: Option<GoDuration>,
    refresh_token_grant_refresh_token_lifespan: Option<GoDuration>,
    device_authorization_grant_id_token_lifespan: Option<GoDuration>,
    device_authorization_grant_access_token_lifespan: Option<GoDuration>,
    device_authorization_grant_refresh_token_lifespan: Option<GoDuration>,
}

impl<'a> ClientObject<'a> {
    /// The document of what is registered.
    pub fn new(
        id: &'a ClientId,
        metadata: &'a ClientMetadata,
        created_at: Timestamp,
        updated_at: Timestamp,
    ) -> Self {
        let (kept, lifespans) = (Kept(&metadata.other), &metadata.lifespans);
        Self {
            client_id: id,
            client_name: &metadata.client_name,
            client_secret: None,
            redirect_uris: &metadata.redirect_uris,
            grant_types: Some(&metadata.grant_types),
            response_types: Some(&metadata.response_types),
            scope: &metadata.scope,
            audience: &metadata.audience,
            owner: kept.text("owner"),
            policy_uri: kept.text("policy_uri"),
            allowed_cors_origins: &metadata.allowed_cors_origins,
            tos_uri: kept.text("tos_uri"),
            client_uri: kept.text("client_uri"),
            logo_uri: kept.text("logo_uri"),
            contacts: Some(kept.list("contacts")),
            client_secret_expires_at: 0,
            subject_type: metadata.subject_type.as_str(),
            sector_identifier_uri: metadata.sector_identifier_uri.as_deref(),
            jwks_uri: metadata.jwks_uri.as_ref(),
            jwks: OrEmpty(metadata.jwks.as_ref().map(RegisteredKeys::document)),
            token_endpoint_auth_method: metadata.token_endpoint_auth_method,
            token_endpoint_auth_signing_alg: metadata.token_endpoint_auth_signing_alg,
            request_uris: Some(&metadata.request_uris[..]).filter(|uris| !uris.is_empty()),
            request_object_signing_alg: metadata.request_object_signing_alg,
            userinfo_signed_response_alg: metadata
                .userinfo_signed_response_alg
                .map_or("none", SigningAlgorithm::as_str),
            id_token_signed_response_alg: metadata.id_token_signed_response_alg,
            created_at,
            updated_at,
            frontchannel_logout_uri: metadata.frontchannel_logout_uri.as_ref(),
            frontchannel_logout_session_required: metadata.frontchannel_logout_session_required,
            post_logout_redirect_uris: Some(&metadata.post_logout_redirect_uris[..])
                .filter(|uris| !uris.is_empty()),
            backchannel_logout_uri: metadata.backchannel_logout_uri.as_ref(),
            backchannel_logout_session_required: metadata.backchannel_logout_session_required,
            metadata: Some(OrEmpty(kept.said("metadata"))),
            registration_access_token: None,
            registration_client_uri: None,
            access_token_strategy: metadata.access_token_strategy,
            skip_consent: metadata.skip_consent,
            skip_logout_consent: metadata.skip_logout_consent,
            authorization_code_grant_access_token_lifespan: lifespans
                .authorization_code_grant_access_token_lifespan,
            authorization_code_grant_id_token_lifespan: lifespans.authorization_code_grant_id_token_lifespan,
            authorization_code_grant_refresh_token_lifespan: lifespans
                .authorization_code_grant_refresh_token_lifespan,
            client_credentials_grant_access_token_lifespan: lifespans
                .client_credentials_grant_access_token_lifespan,
            implicit_grant_access_token_lifespan: lifespans.implicit_grant_access_token_lifespan,
            implicit_grant_id_token_lifespan: lifespans.implicit_grant_id_token_lifespan,
            jwt_bearer_grant_access_token_lifespan: lifespans.jwt_bearer_grant_access_token_lifespan,
            refresh_token_grant_id_token_lifespan: lifespans.refresh_token_grant_id_token_lifespan,
            refresh_token_grant_access_token_lifespan: lifespans.refresh_token_grant_access_token_lifespan,
            refresh_token_grant_refresh_token_lifespan: lifespans.refresh_token_grant_refresh_token_lifespan,
            device_authorization_grant_id_token_lifespan: lifespans
                .device_authorization_grant_id_token_lifespan,
            device_authorization_grant_access_token_lifespan: lifespans
                .device_authorization_grant_access_token_lifespan,
            device_authorization_grant_refresh_token_lifespan: lifespans
                .device_authorization_grant_refresh_token_lifespan,
        }
    }

    /// The document of a client.
    pub fn of(client: &'a Client) -> Self {
        Self::new(&client.id, &client.metadata, client.created_at, client.updated_at)
    }

    /// As it answers its own creation or replacement: there, Hydra has `null` for some lists that are empty.
    #[must_use]
    pub fn echoed(mut self) -> Self {
        self.grant_types = self.grant_types.filter(|list| !list.is_empty());
        self.response_types = self.response_types.filter(|list| !list.is_empty());
        self.contacts = self.contacts.filter(|list| !list.is_empty());
        self
    }

    /// With a secret, to the one who made it or had it made.
    #[must_use]
    pub fn with_secret(mut self, secret: Option<&'a ClientSecret>) -> Self {
        self.client_secret = secret.map(ClientSecret::expose);
        self
    }

    /// With what lets the client manage its own registration: a token, and the URL to use it at (RFC 7592 §3).
    #[must_use]
    pub fn with_registration(mut self, registration: Option<(&'a str, &'a str)>) -> Self {
        self.registration_access_token = registration.map(|(token, _)| token);
        self.registration_client_uri = registration.map(|(_, uri)| uri);
        self
    }

    /// Without what the administrator noted of the client, as the client itself sees it.
    #[must_use]
    pub fn without_metadata(mut self) -> Self {
        self.metadata = None;
        self
    }
}

/// Members that are registered, and read by no flow yet.
struct Kept<'a>(&'a Map<String, Value>);

impl<'a> Kept<'a> {
    fn text(&self, name: &str) -> &'a str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    fn list(&self, name: &str) -> &'a [Value] {
        self.0.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    /// A member that is left out where it says no more than its absence.
    fn said(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| match value {
            Value::Null | Value::Bool(false) => false,
            Value::String(text) => !text.is_empty(),
            Value::Array(list) => !list.is_empty(),
            _ => true,
        })
    }
}

/// A value, or `{}`.
struct OrEmpty<'a>(Option<&'a Value>);

impl Serialize for OrEmpty<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(value) => value.serialize(serializer),
            None => Map::new().serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn written(registered: Value) -> Value {
        let metadata: ClientMetadata = serde_json::from_value(registered).unwrap();
        let id = ClientId::parse("orders").unwrap();
        let (created_at, updated_at) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(86_400).unwrap());
        serde_json::to_value(ClientObject::new(&id, &metadata, created_at, updated_at)).unwrap()
    }

    #[test]
    fn what_is_not_set_is_written_as_hydra_writes_it() {
        let mut expected = json!({
            "client_id": "orders", "client_name": "", "redirect_uris": [], "grant_types": [], "response_types": [],
            "scope": "", "audience": [], "owner": "", "policy_uri": "", "allowed_cors_origins": [], "tos_uri": "",
            "client_uri": "", "logo_uri": "", "contacts": [], "client_secret_expires_at": 0, "subject_type": "public",
            "jwks": {}, "token_endpoint_auth_method": "client_secret_basic", "userinfo_signed_response_alg": "none",
            "created_at": "1970-01-01T00:00:00Z", "updated_at": "1970-01-02T00:00:00Z", "metadata": {},
            "skip_consent": false, "skip_logout_consent": null,
        });
        for (lifespan, _) in crate::Lifespans::default().members_mut() {
            expected[lifespan] = Value::Null;
        }
        assert_eq!(written(json!({})), expected);
    }

    #[test]
    fn members_come_in_hydras_order_with_the_secret_in_its_place() {
        let (id, metadata) = (ClientId::parse("orders").unwrap(), ClientMetadata::default());
        let object = ClientObject::new(&id, &metadata, Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
        let secret = ClientSecret::new("told");
        let text = serde_json::to_string(&object.with_secret(Some(&secret)).echoed()).unwrap();
        let start = r#"{"client_id":"orders","client_name":"","client_secret":"told","redirect_uris":[],"grant_types":null,"response_types":null,"scope":"","audience":[],"owner":"","policy_uri":"","allowed_cors_origins":[],"tos_uri":"","client_uri":"","logo_uri":"","contacts":null,"#;
        assert!(text.starts_with(start), "{text}");
        assert!(text.ends_with(r#""device_authorization_grant_refresh_token_lifespan":null}"#), "{text}");
    }

    #[test]
    fn what_is_set_is_written_and_falsehood_is_left_out() {
        let client = written(json!({
            "client_credentials_grant_access_token_lifespan": "31h",
            "jwks": {"keys": []},
            "metadata": [1],
            "skip_logout_consent": false,
            "backchannel_logout_session_required": false,
            "frontchannel_logout_session_required": true,
            "request_uris": [],
            "access_token_strategy": "jwt",
        }));
        assert_eq!(client["client_credentials_grant_access_token_lifespan"], "31h0m0s");
        assert_eq!((&client["jwks"], &client["metadata"]), (&json!({"keys": []}), &json!([1])));
        assert_eq!(client["skip_logout_consent"], false);
        assert_eq!(client["frontchannel_logout_session_required"], true);
        assert_eq!(client["access_token_strategy"], "jwt");
        for absent in ["backchannel_logout_session_required", "request_uris", "client_secret", "jwks_uri"] {
            assert_eq!(client.get(absent), None, "{absent}");
        }
    }
}
