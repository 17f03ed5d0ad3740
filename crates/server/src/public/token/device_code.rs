//! A device asks for its tokens (RFC 8628 §3.4).

use oauth::device_authorization::DeviceCode;
use oauth::grant::Grant;
use oauth::{Client, Error, ErrorCode, GrantType};
use store::{DeviceDecision, NewGrant};

use super::Issued;
use super::first_tokens::{FirstTokens, OwnLifespans, claims};
use crate::Server;
use crate::authenticate::authenticate;
use crate::error::Failure;
use crate::form::FormRequest;
use crate::lost_answer::repeated_once;

/// One statement while nobody has decided, and none for a device that asks too often; two where it gets its tokens, after
/// the hook where there is one.
pub(super) async fn issue(server: &Server, request: &FormRequest) -> Result<Issued, Failure> {
    let client = authenticate(server, request).await?;
    client.check_grant(GrantType::DeviceCode)?;
    let now = server.now();
    let code = DeviceCode::open(server.store().ring(), request.form.require("device_code")?);
    let code = code.ok_or_else(|| Error::invalid_grant("The device code is not one of this server."))?;
    code.check(&client, now)?;
    server.device_polls().ask(code.id, server.settings().flow.device_polling_interval, now)?;

    let mut grant = granted(server, &client, &code).await?;
    let lifespans = &client.metadata.lifespans;
    let own = OwnLifespans {
        access: lifespans.device_authorization_grant_access_token_lifespan,
        id: lifespans.device_authorization_grant_id_token_lifespan,
        refresh: lifespans.device_authorization_grant_refresh_token_lifespan,
    };
    let kind = (GrantType::DeviceCode, own.access);
    grant.claims = claims(server, request, &client, &grant, kind).await?;
    let tokens = FirstTokens::prepare(server, &client, &grant, own, server.now()).await?;
    // There is one code for each flow, which is named by the flow's id.
    redeem(server, &tokens.row(server, *code.id.as_bytes(), code.expires_at())).await?;
    tokens.issue(server).await
}

/// What somebody has granted. What is sealed counts, and names its row.
async fn granted(server: &Server, client: &Client, code: &DeviceCode) -> Result<Grant, Failure> {
    let pending = "Nobody has decided yet: ask again.";
    let content = match server.store().device_decision(code.id).await? {
        Some(DeviceDecision::Granted(content)) => content,
        Some(DeviceDecision::Pending) => {
            return Err(Error::new(ErrorCode::AuthorizationPending, pending).into());
        }
        Some(DeviceDecision::Denied) => {
            let why = "The user, or the login or consent app, refused.";
            return Err(Error::new(ErrorCode::AccessDenied, why).into());
        }
        None => return Err(Error::invalid_grant("The device code is not known any more.").into()),
    };
    Grant::open(server.store().ring(), code.id, &content)
        .filter(|grant| grant.client_id == client.id)
        .ok_or_else(|| Failure::Defect(format!("the row of the device {} was changed", code.id)))
}

/// Uses the code up.
async fn redeem(server: &Server, grant: &NewGrant) -> Result<(), Failure> {
    let store = server.store();
    if repeated_once(|| store.redeem_device(grant)).await? {
        return Ok(());
    }
    Err(Error::invalid_grant("The device code has already been used, or what was granted was revoked.")
        .into())
}
