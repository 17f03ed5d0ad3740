//! The JWT bearer grant (RFC 7523 §2.1).

use std::time::Duration;

use jiff::Timestamp;
use oauth::jwt_bearer::{BearerAssertion, check_client};
use oauth::lifespan::own_or;
use oauth::{AccessToken, Client, GrantType, TrustedIssuer};
use store::MAX_FLOW_AGE;

use super::Issued;
use crate::authenticate::assertion::use_up;
use crate::authenticate::authenticate;
use crate::authorization_times::after;
use crate::error::Failure;
use crate::form::FormRequest;
use crate::issue::AccessTokenIssue;
use crate::{Server, hooks};

/// How many keys of an issuer are read at once.
const PAGE: u16 = 100;

/// One read of the issuer, and one write that uses the assertion up. The token carries itself. Everything that can fail
/// before the write does.
pub(super) async fn issue(server: &Server, request: &FormRequest) -> Result<Issued, Failure> {
    let client = authenticate(server, request).await?;
    check_client(&client)?;
    let (settings, now, entropy) = (server.settings(), server.now(), server.store().entropy());
    let policy = settings.jwt_bearer;
    let assertion = request.form.require("assertion")?;
    let assertion = BearerAssertion::parse(assertion, &settings.audiences(), policy, now)?;
    let trusted = signer(server, &assertion, now).await?;
    let granted = assertion.decide((&client, &request.form), &trusted, settings.scope_strategy(), policy)?;
    let lifetime = lifetime(server, &client);
    let (asks, rights) = ((&*client, &request.form), (&granted.scope, &granted.audience[..]));
    let times = (now, after(now, lifetime));
    let claims = hooks::own_token_claims(server, asks, GrantType::JwtBearer, rights, times).await?;
    if claims.is_some_and(|claims| !claims.access_token.is_empty()) {
        let why = "oauth2.token_hook gave claims, and a token of the JWT bearer grant carries none";
        return Err(Failure::Defect(why.to_owned()));
    }
    let now = server.now();
    let plan = AccessTokenIssue::prepare(server, settings.strategy_of(&client), lifetime, now).await?;

    let times = (now, plan.expires_at);
    let (scope, audience) = (granted.scope, granted.audience);
    let token = AccessToken::for_subject(&client, granted.subject, scope.clone(), audience, times, entropy);
    let access_token = plan.issue(server, token, None).await?;
    if let Some(used) = assertion.single_use() {
        use_up(server, used).await?;
    }
    Ok(Issued {
        access_token,
        expires_in: times.1.as_second() - now.as_second(),
        id_token: None,
        refresh_token: None,
        scope,
        token_type: "bearer",
    })
}

/// Who signed the assertion. One statement where it names its key; else all of its issuer's are read, part by part.
async fn signer(
    server: &Server,
    assertion: &BearerAssertion,
    now: Timestamp,
) -> Result<TrustedIssuer, Failure> {
    let store = server.store();
    if let Some(names) = assertion.signer_identities() {
        let known = store.trusted_issuers_named(names).await?;
        return assertion.trusted_by(&known, now).cloned().ok_or_else(|| BearerAssertion::untrusted().into());
    }
    let mut after = None;
    loop {
        let page = store.trusted_issuers_of(assertion.issuer(), after, PAGE).await?;
        if let Some(trusted) = assertion.trusted_by(&page.issuers, now) {
            return Ok(trusted.clone());
        }
        after = Some(page.next.ok_or_else(BearerAssertion::untrusted)?);
    }
}

/// No longer than revocations of the subject are remembered: the token has no row that they could mark.
fn lifetime(server: &Server, client: &Client) -> Duration {
    let own = client.metadata.lifespans.jwt_bearer_grant_access_token_lifespan;
    let longest = Duration::try_from(MAX_FLOW_AGE).unwrap_or_default();
    own_or(own, server.settings().lifetimes.access_token).min(longest)
}
