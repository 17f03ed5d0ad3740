//! The client credentials grant (RFC 6749 §4.4), decided.

use crate::access_token::MAX_PAYLOAD;
use crate::audience::Audience;
use crate::{Client, Error, ErrorCode, Form, GrantType, Scope, ScopeSet, ScopeStrategy, requested};

/// What the server's configuration says about the grant.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// How registered scopes allow requested ones.
    pub scope_strategy: ScopeStrategy,
    /// Grant all registered scopes where none is requested
    /// (`oauth2.client_credentials.default_grant_allowed_scope`).
    pub default_to_registered_scope: bool,
}

/// A token that is to be issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// The granted scopes.
    pub scope: ScopeSet,
    /// The granted audience.
    pub audience: Vec<Audience>,
}

/// Decides a request of a client that has authenticated.
///
/// # Errors
/// `unauthorized_client` where the client is not registered for the grant, `invalid_scope` and `invalid_request`
/// naming the scope or audience that it may not have.
pub fn decide(client: &Client, form: &Form, policy: Policy) -> Result<Issue, Error> {
    client.check_grant(GrantType::ClientCredentials)?;
    if client.is_public() {
        let why = "A public client has no credentials, and gets no token for itself.";
        return Err(Error::new(ErrorCode::UnauthorizedClient, why));
    }
    Ok(Issue {
        scope: granted_scope(client, form, policy)?,
        audience: requested::audience(client, form, MAX_PAYLOAD)?,
    })
}

fn granted_scope(client: &Client, form: &Form, policy: Policy) -> Result<ScopeSet, Error> {
    if let Some(requested) = requested::scope(client, form, policy.scope_strategy, MAX_PAYLOAD)? {
        return Ok(requested);
    }
    // A wildcard is a rule for what may be asked for, not a scope that a token could carry.
    let plain = |scope: &&Scope| !scope.as_str().split('.').any(|segment| segment == "*");
    let registered = client.metadata.scope.iter().filter(plain);
    Ok(registered.filter(|_| policy.default_to_registered_scope).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn client(metadata: serde_json::Value) -> Client {
        Client::example(metadata)
    }

    fn policy() -> Policy {
        Policy { scope_strategy: ScopeStrategy::Wildcard, default_to_registered_scope: false }
    }

    fn decided(metadata: serde_json::Value, form: &str, policy: Policy) -> Result<Issue, ErrorCode> {
        decide(&client(metadata), &Form::parse(form.as_bytes()).unwrap(), policy).map_err(|e| e.code)
    }

    fn service() -> serde_json::Value {
        json!({
            "grant_types": ["client_credentials"],
            "scope": "read orders.*",
            "audience": ["https://api.example.com"],
        })
    }

    #[test]
    fn scopes_and_audiences_are_granted_within_what_is_registered() {
        let cases = [
            ("", Ok(("", 0))),
            ("scope=read", Ok(("read", 0))),
            ("scope=read+orders.a.b", Ok(("read orders.a.b", 0))),
            ("scope=write", Err(ErrorCode::InvalidScope)),
            ("scope=read+%22", Err(ErrorCode::InvalidScope)),
            ("audience=https://api.example.com/v1", Ok(("", 1))),
            ("audience=https://api.example.com/a+https://api.example.com/b", Ok(("", 2))),
            ("audience=https://api.example.com/a&audience=https://api.example.com/a", Ok(("", 1))),
            ("audience=https://other.example.com", Err(ErrorCode::InvalidRequest)),
            ("resource=https://api.example.com/v1", Ok(("", 1))),
            ("resource=https://api.example.com/a&resource=https://api.example.com/b", Ok(("", 2))),
            ("resource=https://api.example.com/a&audience=https://api.example.com/a", Ok(("", 1))),
            ("resource=https://api.example.com/a+https://api.example.com/b", Err(ErrorCode::InvalidTarget)),
            ("resource=https://other.example.com", Err(ErrorCode::InvalidTarget)),
            ("resource=https://api.example.com/a%23b", Err(ErrorCode::InvalidTarget)),
            ("resource=https://api.example.com/a%23", Err(ErrorCode::InvalidTarget)),
            ("resource=/v1", Err(ErrorCode::InvalidTarget)),
            ("resource=", Ok(("", 0))),
        ];
        for (form, want) in cases {
            let got = decided(service(), form, policy()).map(|i| (i.scope.to_string(), i.audience.len()));
            assert_eq!(got, want.map(|(scope, n)| (scope.to_owned(), n)), "{form}");
        }
    }

    #[test]
    fn what_no_token_could_carry_is_refused() {
        let many = |prefix: &str| (0..2000).map(|i| format!("{prefix}{i}")).collect::<Vec<_>>().join("+");
        let scope = decided(service(), &format!("scope={}", many("orders.")), policy());
        assert_eq!(scope, Err(ErrorCode::InvalidScope));
        let audience = many("https://api.example.com/");
        let audience = decided(service(), &format!("audience={audience}"), policy());
        assert_eq!(audience, Err(ErrorCode::InvalidRequest));
        let resource = format!("resource=https://api.example.com/{}&", "a".repeat(900));
        assert_eq!(decided(service(), &resource.repeat(10), policy()), Err(ErrorCode::InvalidRequest));
    }

    #[test]
    fn without_a_scope_the_registered_ones_are_granted_only_where_configured() {
        let generous = Policy { default_to_registered_scope: true, ..policy() };
        let issue = decided(service(), "", generous).unwrap();
        assert_eq!(issue.scope.to_string(), "read", "a wildcard is no scope that a token could carry");
    }

    #[test]
    fn a_client_without_the_grant_is_refused() {
        let other = json!({"grant_types": ["authorization_code"], "scope": "read"});
        assert_eq!(decided(other, "scope=read", policy()), Err(ErrorCode::UnauthorizedClient));
    }
}
