//! The discovery document (OpenID Connect Discovery §3, RFC 8414 §2): what this server really does, and nothing else.

use jose::SigningAlgorithm;
use serde::Serialize;

use crate::{GrantType, Issuer, TokenEndpointAuthMethod};

/// What the configuration adds to or changes in the document (Hydra's `webfinger.oidc_discovery`).
#[derive(Debug, Clone, Default)]
pub struct DiscoveryPolicy {
    /// Replaces the URL of the key set.
    pub jwks_url: Option<String>,
    /// Replaces the URL of the token endpoint.
    pub token_url: Option<String>,
    /// Claims named beside `sub`.
    pub supported_claims: Vec<String>,
    /// Scopes named beside the standard ones.
    pub supported_scope: Vec<String>,
}

/// The document.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the members of RFC 8414 §2 and OpenID Connect Discovery §3")]
pub struct Discovery {
    pub claims_supported: Vec<String>,
    pub grant_types_supported: Vec<GrantType>,
    pub id_token_signing_alg_values_supported: Vec<SigningAlgorithm>,
    pub issuer: Issuer,
    pub jwks_uri: String,
    pub response_types_supported: Vec<String>,
    pub revocation_endpoint: String,
    pub revocation_endpoint_auth_methods_supported: Vec<TokenEndpointAuthMethod>,
    pub scopes_supported: Vec<String>,
    pub subject_types_supported: Vec<&'static str>,
    pub token_endpoint: String,
    pub token_endpoint_auth_methods_supported: Vec<TokenEndpointAuthMethod>,
}

/// Makes the document. `public` is the base of the endpoints' URLs, `id_token_algorithms` what the ID token key set
/// signs with now.
pub fn document(
    issuer: &Issuer,
    public: &Issuer,
    policy: &DiscoveryPolicy,
    id_token_algorithms: Vec<SigningAlgorithm>,
) -> Discovery {
    let with = |first: &str, more: &[String]| {
        let mut all = vec![first.to_owned()];
        all.extend(more.iter().filter(|m| *m != first).cloned());
        all
    };
    Discovery {
        claims_supported: with("sub", &policy.supported_claims),
        grant_types_supported: GrantType::SERVED.to_vec(),
        id_token_signing_alg_values_supported: id_token_algorithms,
        issuer: issuer.clone(),
        jwks_uri: policy.jwks_url.clone().unwrap_or_else(|| public.join(".well-known/jwks.json")),
        // No authorization endpoint is served yet, hence no response types.
        response_types_supported: Vec::new(),
        revocation_endpoint: public.join("oauth2/revoke"),
        revocation_endpoint_auth_methods_supported: TokenEndpointAuthMethod::SERVED.to_vec(),
        scopes_supported: policy.supported_scope.clone(),
        subject_types_supported: vec!["public"],
        token_endpoint: policy.token_url.clone().unwrap_or_else(|| public.join("oauth2/token")),
        token_endpoint_auth_methods_supported: TokenEndpointAuthMethod::SERVED.to_vec(),
    }
}
