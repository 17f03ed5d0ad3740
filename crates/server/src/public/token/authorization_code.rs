//! The exchange of an authorization code (RFC 6749 §4.1.3, OpenID Connect Core §3.1.3).

use oauth::authorization_code::{AuthorizationCode, PREFIX};
use oauth::{Error, GrantType};
use store::{NewGrant, Redemption};

use super::Issued;
use super::first_tokens::{FirstTokens, OwnLifespans, claims};
use crate::Server;
use crate::authenticate::authenticate;
use crate::error::Failure;
use crate::form::FormRequest;
use crate::lost_answer::repeated_once;
use crate::sealed_value::restore;

/// One statement, after the hook where there is one. Everything that can fail before it does: a code that is refused is not
/// used up.
pub(super) async fn issue(server: &Server, request: &FormRequest) -> Result<Issued, Failure> {
    let client = authenticate(server, request).await?;
    let times = &server.settings().flow;
    let mut code = presented(server, request).await?;
    code.check(&client, &request.form, times.auth_code, server.now())?;

    let lifespans = &client.metadata.lifespans;
    let own = OwnLifespans {
        access: lifespans.authorization_code_grant_access_token_lifespan,
        id: lifespans.authorization_code_grant_id_token_lifespan,
        refresh: lifespans.authorization_code_grant_refresh_token_lifespan,
    };
    let kind = (GrantType::AuthorizationCode, own.access);
    code.grant.claims = claims(server, request, &client, &code.grant, kind).await?;
    let tokens = FirstTokens::prepare(server, &client, &code.grant, own, server.now()).await?;
    redeem(server, &tokens.row(server, code.id, code.expires_at(times.auth_code))).await?;
    tokens.issue(server).await
}

async fn presented(server: &Server, request: &FormRequest) -> Result<AuthorizationCode, Failure> {
    let text = request.form.require("code")?;
    let sealed = restore(server, text.strip_prefix(PREFIX).unwrap_or(text)).await?;
    let code = AuthorizationCode::open(server.store().ring(), &sealed);
    code.ok_or_else(|| Error::invalid_grant("The code is not one of this server, or has expired.").into())
}

/// Uses the code up.
async fn redeem(server: &Server, grant: &NewGrant) -> Result<(), Failure> {
    let store = server.store();
    match repeated_once(|| store.redeem_code(grant)).await? {
        Redemption::Redeemed => Ok(()),
        Redemption::Reused => Err(Error::invalid_grant(
            "The authorization code has already been used. All tokens that came of it are revoked.",
        )
        .into()),
        Redemption::Refused => {
            Err(Error::invalid_grant("The authorization code has been revoked, or another one was used.")
                .into())
        }
    }
}
