//! Tokens: introspection by the admin API, revocation and the client credentials grant by the public one.

use anyhow::Result;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use super::connection::Connection;
use super::output::{self, Columns};
use crate::cli::api::{ApiArgs, ClientCredentialsArgs, IntrospectCommand, RevokeCommand};
use crate::commands::print;

const INTROSPECTED: Columns = &[
    ("ACTIVE", "active"),
    ("SUBJECT", "sub"),
    ("CLIENT ID", "client_id"),
    ("SCOPE", "scope"),
    ("EXPIRY", "exp"),
    ("TOKEN USE", "token_use"),
];
const ISSUED: Columns = &[
    ("ACCESS TOKEN", "access_token"),
    ("REFRESH TOKEN", "refresh_token"),
    ("ID TOKEN", "id_token"),
    ("EXPIRES IN", "expires_in"),
    ("SCOPE", "scope"),
];

pub(in crate::commands) async fn introspect(
    IntrospectCommand::Token { token, scope, api }: IntrospectCommand,
) -> Result<()> {
    let connection = Connection::new(&api)?;
    let scope = scope.join(" ");
    let form = [("token", token.as_str()), ("scope", scope.as_str())];
    let form: Vec<_> = form.iter().filter(|(_, value)| !value.is_empty()).collect();
    let request = connection.request(Method::POST, "/admin/oauth2/introspect").form(&form);
    output::one(&api, INTROSPECTED, "active", &connection.json(request).await?)
}

pub(in crate::commands) async fn revoke(
    RevokeCommand::Token { token, client, api }: RevokeCommand,
) -> Result<()> {
    let connection = Connection::new(&api)?;
    let form = vec![("token", token.as_str())];
    connection.send(as_client(connection.request(Method::POST, "/oauth2/revoke"), &client, form)).await?;
    print(&format!("{token}\n"))
}

pub(super) async fn client_credentials(
    client: &ClientCredentialsArgs,
    (scope, audience): (&[String], &[String]),
    api: &ApiArgs,
) -> Result<()> {
    let connection = Connection::new(api)?;
    let (scope, audience) = (scope.join(" "), audience.join(" "));
    let mut form = vec![("grant_type", "client_credentials"), ("scope", &scope), ("audience", &audience)];
    form.retain(|(_, value)| !value.is_empty());
    let request = as_client(connection.request(Method::POST, "/oauth2/token"), client, form);
    issued(api, &connection.json(request).await?)
}

/// Prints what the token endpoint gave.
pub(super) fn issued(api: &ApiArgs, tokens: &Value) -> Result<()> {
    output::one(api, ISSUED, "access_token", tokens)
}

/// With HTTP Basic, its parts form-encoded first (RFC 6749 §2.3.1); a public client by its id alone.
pub(super) fn as_client<'a>(
    request: RequestBuilder,
    client: &'a ClientCredentialsArgs,
    mut form: Vec<(&'a str, &'a str)>,
) -> RequestBuilder {
    let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    if let Some(secret) = &client.client_secret {
        return request.basic_auth(encode(&client.client_id), Some(encode(secret))).form(&form);
    }
    form.push(("client_id", &client.client_id));
    request.form(&form)
}
