//! The discovery document (OpenID Connect Discovery §3, RFC 8414 §2): what this server really does, and nothing else.

use jose::SigningAlgorithm;
use serde::Serialize;

use crate::request_object::RequestObjectAlgorithm;
use crate::response_mode::ResponseMode;
use crate::{GrantType, Issuer, ResponseType, SubjectTypes, TokenEndpointAuthMethod};

/// What the configuration adds to or changes in the document (Hydra's `webfinger.oidc_discovery`).
#[derive(Debug, Clone, Default)]
pub struct DiscoveryPolicy {
    /// Replaces the URL of the key set.
    pub jwks_url: Option<String>,
    /// Replaces the URL of the token endpoint.
    pub token_url: Option<String>,
    /// Replaces the URL of the authorization endpoint.
    pub auth_url: Option<String>,
    /// Replaces the URL of the device authorization endpoint.
    pub device_authorization_url: Option<String>,
    /// Replaces the URL of the userinfo endpoint.
    pub userinfo_url: Option<String>,
    /// The URL at which clients register themselves; `None` where they may not.
    pub registration_url: Option<String>,
    /// Claims named beside `sub`.
    pub supported_claims: Vec<String>,
    /// Scopes named beside the standard ones.
    pub supported_scope: Vec<String>,
}

/// The document.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the members of RFC 8414 §2 and OpenID Connect Discovery §3")]
#[expect(clippy::struct_excessive_bools, reason = "the document says yes or no to each of them")]
pub struct Discovery {
    pub authorization_endpoint: String,
    pub authorization_response_iss_parameter_supported: bool,
    pub backchannel_logout_session_supported: bool,
    pub backchannel_logout_supported: bool,
    pub claims_parameter_supported: bool,
    pub claims_supported: Vec<String>,
    pub code_challenge_methods_supported: [&'static str; 1],
    pub device_authorization_endpoint: String,
    pub end_session_endpoint: String,
    pub frontchannel_logout_session_supported: bool,
    pub frontchannel_logout_supported: bool,
    pub grant_types_supported: Vec<GrantType>,
    /// What ID tokens are signed with now. Hydra's; its client libraries read no document without it.
    pub id_token_signed_response_alg: Vec<SigningAlgorithm>,
    pub id_token_signing_alg_values_supported: Vec<SigningAlgorithm>,
    pub introspection_endpoint: String,
    pub introspection_endpoint_auth_methods_supported: Vec<TokenEndpointAuthMethod>,
    pub introspection_endpoint_auth_signing_alg_values_supported: [SigningAlgorithm; 10],
    pub issuer: Issuer,
    pub jwks_uri: String,
    pub prompt_values_supported: [&'static str; 4],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registration_endpoint: Option<String>,
    pub request_object_signing_alg_values_supported: Vec<RequestObjectAlgorithm>,
    pub request_parameter_supported: bool,
    pub request_uri_parameter_supported: bool,
    pub require_request_uri_registration: bool,
    pub response_modes_supported: [ResponseMode; 3],
    pub response_types_supported: [ResponseType; 7],
    pub revocation_endpoint: String,
    pub revocation_endpoint_auth_methods_supported: Vec<TokenEndpointAuthMethod>,
    pub revocation_endpoint_auth_signing_alg_values_supported: [SigningAlgorithm; 10],
    pub scopes_supported: Vec<String>,
    pub subject_types_supported: Vec<&'static str>,
    pub token_endpoint: String,
    pub token_endpoint_auth_methods_supported: Vec<TokenEndpointAuthMethod>,
    pub token_endpoint_auth_signing_alg_values_supported: [SigningAlgorithm; 10],
    pub userinfo_endpoint: String,
    /// What signed userinfo is signed with now. Hydra's, as above.
    pub userinfo_signed_response_alg: Vec<SigningAlgorithm>,
    pub userinfo_signing_alg_values_supported: Vec<&'static str>,
}

/// Makes the document. `public` is the base of the endpoints' URLs, `id_token_algorithms` what the ID token key set
/// signs with now.
pub fn document(
    issuer: &Issuer,
    public: &Issuer,
    policy: &DiscoveryPolicy,
    subject_types: &SubjectTypes,
    id_token_algorithms: Vec<SigningAlgorithm>,
) -> Discovery {
    let with = |first: &str, more: &[String]| {
        let mut all = vec![first.to_owned()];
        all.extend(more.iter().filter(|m| *m != first).cloned());
        all
    };
    let url = |configured: &Option<String>, path| configured.clone().unwrap_or_else(|| public.join(path));
    let scopes = ["openid", "offline", "offline_access"].map(str::to_owned);
    let more = policy.supported_scope.iter().filter(|scope| !scopes.contains(scope)).cloned();
    Discovery {
        authorization_endpoint: url(&policy.auth_url, "oauth2/auth"),
        authorization_response_iss_parameter_supported: true,
        backchannel_logout_session_supported: true,
        backchannel_logout_supported: true,
        claims_parameter_supported: true,
        claims_supported: with("sub", &policy.supported_claims),
        code_challenge_methods_supported: ["S256"],
        device_authorization_endpoint: url(&policy.device_authorization_url, "oauth2/device/auth"),
        end_session_endpoint: public.join("oauth2/sessions/logout"),
        frontchannel_logout_session_supported: true,
        frontchannel_logout_supported: true,
        grant_types_supported: GrantType::SERVED.to_vec(),
        userinfo_signing_alg_values_supported: std::iter::once("none")
            .chain(id_token_algorithms.iter().map(|algorithm| algorithm.as_str()))
            .collect(),
        id_token_signed_response_alg: id_token_algorithms.clone(),
        userinfo_signed_response_alg: id_token_algorithms.clone(),
        id_token_signing_alg_values_supported: id_token_algorithms,
        introspection_endpoint: public.join("oauth2/introspect"),
        introspection_endpoint_auth_methods_supported: TokenEndpointAuthMethod::SERVED
            .into_iter()
            .filter(|method| *method != TokenEndpointAuthMethod::None)
            .collect(),
        introspection_endpoint_auth_signing_alg_values_supported: SigningAlgorithm::ALL,
        issuer: issuer.clone(),
        jwks_uri: url(&policy.jwks_url, ".well-known/jwks.json"),
        prompt_values_supported: ["none", "login", "consent", "select_account"],
        registration_endpoint: policy.registration_url.clone(),
        request_object_signing_alg_values_supported: RequestObjectAlgorithm::supported(),
        request_parameter_supported: true,
        request_uri_parameter_supported: true,
        require_request_uri_registration: true,
        response_modes_supported: ResponseMode::ALL,
        response_types_supported: ResponseType::SERVED,
        revocation_endpoint: public.join("oauth2/revoke"),
        revocation_endpoint_auth_methods_supported: TokenEndpointAuthMethod::SERVED.to_vec(),
        revocation_endpoint_auth_signing_alg_values_supported: SigningAlgorithm::ALL,
        scopes_supported: scopes.iter().cloned().chain(more).collect(),
        subject_types_supported: subject_types.names(),
        token_endpoint: url(&policy.token_url, "oauth2/token"),
        token_endpoint_auth_methods_supported: TokenEndpointAuthMethod::SERVED.to_vec(),
        token_endpoint_auth_signing_alg_values_supported: SigningAlgorithm::ALL,
        userinfo_endpoint: url(&policy.userinfo_url, "userinfo"),
    }
}
