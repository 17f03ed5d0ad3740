//! A client that registers itself (RFC 7591, RFC 7592): what it may not choose.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{ClientRegistration, invalid};
use crate::{ClientId, ClientMetadata, ClientObject, Error, Lifespans, ScopeSet};

/// Members that are the administrator's alone, beside the lifetimes.
const RESERVED: [&str; 4] = ["metadata", "access_token_strategy", "skip_consent", "skip_logout_consent"];

impl ClientRegistration {
    /// Reads the document of a client that registers itself. The id is the server's to choose, so one that the document
    /// has is ignored.
    ///
    /// # Errors
    /// As of [`Self::parse`]; `invalid_client_metadata` also for a secret, and for members that are the administrator's.
    pub fn parse_new(mut document: Map<String, Value>, default_scope: &ScopeSet) -> Result<Self, Error> {
        document.remove("client_id");
        if document.remove("client_secret").is_some_and(|value| says_something(&value)) {
            return Err(invalid("client_secret", "the server makes it"));
        }
        take_reserved(&mut document, None)?;
        Self::parse(document, default_scope)
    }

    /// Reads the document by which a client replaces its registration, `held`. What is the administrator's stays: the
    /// document may repeat it.
    ///
    /// A secret in the document is for the caller to compare: RFC 7592 §2.2 lets the client repeat its own.
    ///
    /// # Errors
    /// As of [`Self::parse`]; `invalid_client_metadata` also for another id, and for other values of members that are the
    /// administrator's.
    pub fn parse_replacement(
        mut document: Map<String, Value>,
        default_scope: &ScopeSet,
        (id, held): (&ClientId, &ClientMetadata),
    ) -> Result<Self, Error> {
        if document.remove("client_id").is_some_and(|named| says_something(&named) && named != id.as_str()) {
            return Err(invalid("client_id", "it is not the client's"));
        }
        take_reserved(&mut document, Some((id, held)))?;
        let mut registration = Self::parse(document, default_scope)?;
        let metadata = &mut registration.metadata;
        metadata.lifespans = held.lifespans.clone();
        // It was given to the client as it was: users are asked again about another one.
        let is_as_it_was = metadata.redirect_uris == held.redirect_uris
            && metadata.scope == held.scope
            && metadata.audience == held.audience
            && metadata.grant_types == held.grant_types
            && metadata.token_endpoint_auth_method == held.token_endpoint_auth_method;
        metadata.skip_consent = held.skip_consent && is_as_it_was;
        metadata.skip_logout_consent = held.skip_logout_consent;
        metadata.access_token_strategy = held.access_token_strategy;
        if let Some(kept) = held.other.get("metadata") {
            metadata.other.insert("metadata".to_owned(), kept.clone());
        }
        Ok(registration)
    }
}

/// Takes the members away that are the administrator's, as long as they say what holds anyway.
fn take_reserved(
    document: &mut Map<String, Value>,
    held: Option<(&ClientId, &ClientMetadata)>,
) -> Result<(), Error> {
    let never = Timestamp::UNIX_EPOCH;
    let shown =
        held.and_then(|(id, held)| serde_json::to_value(ClientObject::new(id, held, never, never)).ok());
    let mut lifespans = Lifespans::default();
    let lifespans = lifespans.members_mut().map(|(name, _)| name);
    for name in RESERVED.into_iter().chain(lifespans) {
        let Some(value) = document.remove(name).filter(says_something) else { continue };
        if shown.as_ref().and_then(|shown| shown.get(name)) != Some(&value) {
            return Err(invalid(name, "it is the administrator's to set"));
        }
    }
    Ok(())
}

/// False for what is as good as absent.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Object(members) => !members.is_empty(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document(more: &Value) -> Map<String, Value> {
        let mut document = json!({"redirect_uris": ["https://app.example.com/cb"]});
        document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        document.as_object().unwrap().clone()
    }

    fn new(more: &Value) -> Result<ClientRegistration, Error> {
        ClientRegistration::parse_new(document(more), &"openid".parse().unwrap())
    }

    #[test]
    fn what_conformance_tests_send_is_taken() {
        let taken = new(&json!({
            "client_id": "chosen", "application_type": "web", "client_name": "Tests", "contacts": ["a@example.com"],
            "grant_types": ["authorization_code"], "response_types": ["code"],
            "logo_uri": "https://app.example.com/logo.png", "policy_uri": "https://app.example.com/policy",
            "tos_uri": "https://app.example.com/tos", "client_uri": "https://app.example.com",
            "initiate_login_uri": "https://app.example.com/login", "default_max_age": 3600, "require_auth_time": true,
            "id_token_signed_response_alg": "RS256", "userinfo_signed_response_alg": "none",
            "subject_type": "public", "token_endpoint_auth_method": "client_secret_post",
            "software_id": "x", "software_version": "1", "client_name#de": "Prüfung",
            "metadata": {}, "skip_consent": false, "skip_logout_consent": null, "client_secret": "",
            "authorization_code_grant_id_token_lifespan": null,
        }))
        .unwrap();
        assert!(taken.id.is_none() && taken.secret.is_none());
        assert_eq!(taken.metadata.scope.to_string(), "openid");
        assert_eq!(taken.metadata.other["contacts"], json!(["a@example.com"]));
        assert_eq!(taken.metadata.other["logo_uri"], "https://app.example.com/logo.png");
    }

    #[test]
    fn what_is_not_its_own_to_choose_is_refused_by_name() {
        for more in [
            json!({"client_secret": "a secret of its own"}),
            json!({"metadata": {"trusted": true}}),
            json!({"access_token_strategy": "jwt"}),
            json!({"skip_consent": true}),
            json!({"skip_logout_consent": true}),
            json!({"client_credentials_grant_access_token_lifespan": "8000h"}),
        ] {
            let error = new(&more).unwrap_err();
            let name = more.as_object().unwrap().keys().next().unwrap();
            assert_eq!(error.code, crate::ErrorCode::InvalidClientMetadata);
            assert!(error.description.starts_with(name), "{more}: {error}");
        }
        let error = new(&json!({"redirect_uris": ["https://app.example.com/#a"]})).unwrap_err();
        assert_eq!(error.code, crate::ErrorCode::InvalidRedirectUri);
    }

    #[test]
    fn a_replacement_keeps_what_the_administrator_set() {
        let held: ClientMetadata = serde_json::from_value(json!({
            "skip_consent": true, "access_token_strategy": "jwt", "metadata": {"team": 1},
            "client_credentials_grant_access_token_lifespan": "31h", "client_name": "before",
            "redirect_uris": ["https://app.example.com/cb"],
        }))
        .unwrap();
        let id = ClientId::parse("app").unwrap();
        let replace = |more: &Value| {
            let scope = ScopeSet::default();
            ClientRegistration::parse_replacement(document(more), &scope, (&id, &held))
        };
        for more in [
            json!({}),
            json!({"client_id": "app", "skip_consent": true, "access_token_strategy": "jwt", "metadata": {},
                "client_credentials_grant_access_token_lifespan": "31h0m0s"}),
        ] {
            let metadata = replace(&more).unwrap().metadata;
            assert!(metadata.skip_consent && metadata.client_name.is_empty());
            assert_eq!(metadata.lifespans, held.lifespans);
            assert_eq!(metadata.access_token_strategy, held.access_token_strategy);
            assert_eq!(metadata.other["metadata"], json!({"team": 1}));
        }
        for more in [
            json!({"redirect_uris": ["https://other.example.com/cb"]}),
            json!({"scope": "read"}),
            json!({"token_endpoint_auth_method": "none"}),
        ] {
            assert!(!replace(&more).unwrap().metadata.skip_consent, "users are asked again: {more}");
        }
        for more in [
            json!({"client_id": "other"}),
            json!({"skip_logout_consent": true}),
            json!({"metadata": {"team": 2}}),
            json!({"access_token_strategy": "opaque"}),
        ] {
            assert!(replace(&more).is_err(), "{more}");
        }
        assert_eq!(
            replace(&json!({"client_secret": "repeated"})).unwrap().secret.unwrap().expose(),
            "repeated"
        );
    }
}
