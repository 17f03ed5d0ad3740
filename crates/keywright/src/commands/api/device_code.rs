//! The device grant (RFC 8628), tried as a device does it.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::{Instant, sleep};

use super::connection::{Connection, refusal};
use super::tokens::{as_client, issued};
use crate::cli::api::DeviceCodeArgs;
use crate::commands::tell;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// How often the server is asked where it does not say (RFC 8628 §3.2), and by how much less when it asks for that (§3.5).
const INTERVAL: u64 = 5;

/// Shows a user code, and asks until somebody has entered it.
pub(super) async fn run(args: &DeviceCodeArgs) -> Result<()> {
    let connection = Connection::new(&args.flow.api)?;
    let (scope, audience) = (args.flow.scope.join(" "), args.flow.audience.join(" "));
    let mut form = vec![("client_id", args.flow.client.client_id.as_str())];
    form.extend([("scope", &*scope), ("audience", &*audience)].into_iter().filter(|(_, v)| !v.is_empty()));
    let request = connection.post(args.device_auth_url.as_ref(), "/oauth2/device/auth");
    let request = match args.flow.client.client_secret {
        Some(_) => as_client(request, &args.flow.client, form),
        None => request.form(&form),
    };
    let codes = connection.json(request).await?;
    let code = |name: &str| codes[name].as_str().with_context(|| format!("the server gave no {name}"));
    let (device_code, user_code) = (code("device_code")?, code("user_code")?);
    let complete = codes["verification_uri_complete"].as_str();
    let link = complete.map(|uri| format!("Or open {uri} at once.\n")).unwrap_or_default();
    tell(&format!("Open {} and enter {user_code}.\n{link}", code("verification_uri")?));

    let mut interval = Duration::from_secs(codes["interval"].as_u64().unwrap_or(INTERVAL));
    let ends = Instant::now() + Duration::from_secs(codes["expires_in"].as_u64().unwrap_or_default());
    while Instant::now() < ends {
        sleep(interval).await;
        let form = vec![("grant_type", GRANT), ("device_code", device_code)];
        let request = connection.post(args.flow.token_url.as_ref(), "/oauth2/token");
        let (status, answer) = connection.answer(as_client(request, &args.flow.client, form)).await?;
        match answer["error"].as_str() {
            _ if status.is_success() => return issued(&args.flow.api, &answer),
            Some("authorization_pending") => {}
            Some("slow_down") => interval += Duration::from_secs(INTERVAL),
            _ => return Err(refusal(status, &answer)),
        }
    }
    bail!("nobody entered the code in time")
}
