//! The client credentials grant (RFC 6749 §4.4).

use oauth::lifespan::own_or;
use oauth::{AccessToken, GrantType, client_credentials};

use super::Issued;
use crate::authenticate::authenticate;
use crate::authorization_times::after;
use crate::error::Failure;
use crate::form::FormRequest;
use crate::issue::AccessTokenIssue;
use crate::{Server, hooks};

/// The token carries itself: nothing is written.
pub(super) async fn issue(server: &Server, request: &FormRequest) -> Result<Issued, Failure> {
    let client = authenticate(server, request).await?;
    let (settings, now, entropy) = (server.settings(), server.now(), server.store().entropy());
    let granted = client_credentials::decide(&client, &request.form, settings.client_credentials)?;
    let own = client.metadata.lifespans.client_credentials_grant_access_token_lifespan;
    let lifetime = own_or(own, settings.lifetimes.access_token);
    let (asks, rights) = ((&*client, &request.form), (&granted.scope, &granted.audience[..]));
    let times = (now, after(now, lifetime));
    let claims = hooks::own_token_claims(server, asks, GrantType::ClientCredentials, rights, times)
        .await?
        .unwrap_or_default();
    let now = server.now();
    let plan = AccessTokenIssue::prepare(server, settings.strategy_of(&client), lifetime, now).await?;
    let times = (now, plan.expires_at);
    let token = AccessToken::for_client(&client, granted.scope.clone(), granted.audience, times, entropy)
        .with_claims(&claims.access_token);
    Ok(Issued {
        access_token: plan.issue(server, token, None).await?,
        expires_in: times.1.as_second() - now.as_second(),
        id_token: None,
        refresh_token: None,
        scope: granted.scope,
        token_type: "bearer",
    })
}
