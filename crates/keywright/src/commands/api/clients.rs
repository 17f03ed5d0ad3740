//! Clients, by the admin API.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use reqwest::Method;
use reqwest::header::LINK;
use serde_json::{Map, Value, json};

use super::connection::{self, Connection, segment};
use super::output::{self, Columns};
use crate::cli::api::{ApiArgs, ClientIdsArgs, ListCommand, UpdateCommand, WriteClientArgs};
use crate::commands::print;

const CLIENTS: &str = "/admin/clients";
const COLUMNS: Columns = &[
    ("CLIENT ID", "client_id"),
    ("CLIENT SECRET", "client_secret"),
    ("GRANT TYPES", "grant_types"),
    ("RESPONSE TYPES", "response_types"),
    ("SCOPE", "scope"),
    ("AUDIENCE", "audience"),
    ("REDIRECT URIS", "redirect_uris"),
];

pub(super) async fn create(args: WriteClientArgs) -> Result<()> {
    let connection = Connection::new(&args.api)?;
    let mut client = match &args.client.file {
        Some(file) => object(read(file)?)?,
        None => args.client.members().context("--metadata")?,
    };
    if let Some(id) = &args.id {
        client.insert("client_id".to_owned(), json!(id));
    }
    let created = connection.json(connection.request(Method::POST, CLIENTS).json(&client)).await?;
    output::one(&args.api, COLUMNS, "client_id", &created)
}

pub(super) async fn get(args: ClientIdsArgs) -> Result<()> {
    let connection = Connection::new(&args.api)?;
    let mut clients = Vec::new();
    for id in &args.ids {
        let request = connection.request(Method::GET, &format!("{CLIENTS}/{}", segment(id)));
        clients.push(connection.json(request).await.with_context(|| id.clone())?);
    }
    match &clients[..] {
        [client] => output::one(&args.api, COLUMNS, "client_id", client),
        several => output::several(&args.api, COLUMNS, "client_id", (several, &json!(several))),
    }
}

pub(in crate::commands) async fn list(ListCommand::Clients(args): ListCommand) -> Result<()> {
    let connection = Connection::new(&args.api)?;
    let query = [("page_size", args.page_size.to_string()), ("page_token", args.page_token.clone())];
    let query: Vec<_> = query.iter().filter(|(_, value)| !value.is_empty()).collect();
    let response = connection.send(connection.request(Method::GET, CLIENTS).query(&query)).await?;
    let links = response.headers().get(LINK).and_then(|links| links.to_str().ok()).unwrap_or_default();
    let next = next_page(links);
    let clients: Vec<Value> = response.json().await.context("the server's answer is no list of clients")?;
    let document = json!({
        "items": clients, "next_page_token": next.clone().unwrap_or_default(), "is_last_page": next.is_none(),
    });
    output::several(&args.api, COLUMNS, "client_id", (&clients, &document))?;
    match next {
        Some(token) if args.api.format == "table" && !args.api.quiet => {
            print(&format!("\nNEXT PAGE TOKEN  {token}\n"))
        }
        _ => Ok(()),
    }
}

pub(in crate::commands) async fn update(UpdateCommand::Client(args): UpdateCommand) -> Result<()> {
    let connection = Connection::new(&args.api)?;
    let path = format!("{CLIENTS}/{}", segment(&args.id));
    let request = if let Some(file) = &args.client.file {
        connection.request(Method::PUT, &path).json(&object(read(file)?)?)
    } else {
        let members = args.client.members().context("--metadata")?;
        if members.is_empty() {
            bail!("nothing to change: give the flags whose values are to change, or --file");
        }
        let replace = |(name, value)| json!({"op": "replace", "path": format!("/{name}"), "value": value});
        let operations: Vec<Value> = members.into_iter().map(replace).collect();
        connection.request(Method::PATCH, &path).json(&operations)
    };
    let updated = connection.json(request).await?;
    output::one(&args.api, COLUMNS, "client_id", &updated)
}

pub(super) async fn delete_tokens(client_id: &str, api: &ApiArgs) -> Result<()> {
    let connection = Connection::new(api)?;
    let request = connection.request(Method::DELETE, "/admin/oauth2/tokens");
    connection.send(request.query(&[("client_id", client_id)])).await?;
    print(&format!("{client_id}\n"))
}

/// One that cannot be deleted does not keep the others.
pub(super) async fn delete(args: &ClientIdsArgs) -> Result<()> {
    connection::delete_each(&args.api, CLIENTS, &args.ids, "clients").await
}

pub(super) async fn import(files: Vec<PathBuf>, api: &ApiArgs) -> Result<()> {
    let connection = Connection::new(api)?;
    let files = if files.is_empty() { vec!["-".into()] } else { files };
    let mut imported = Vec::new();
    for file in &files {
        let clients = match read(file)? {
            Value::Array(clients) => clients,
            client => vec![client],
        };
        for client in clients {
            let request = connection.request(Method::POST, CLIENTS).json(&object(client)?);
            let created = connection.json(request).await;
            imported.push(created.with_context(|| format!("{} (after {})", file.display(), imported.len()))?);
        }
    }
    output::several(api, COLUMNS, "client_id", (&imported, &json!(imported)))
}

fn read(file: &Path) -> Result<Value> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    let text = text.with_context(|| file.display().to_string())?;
    serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))
}

fn object(value: Value) -> Result<Map<String, Value>> {
    match value {
        Value::Object(object) => Ok(object),
        _ => bail!("a client must be a JSON object"),
    }
}

/// The token in a `Link` header's next relation (RFC 8288).
fn next_page(links: &str) -> Option<String> {
    let next = links.split(",<").find(|link| link.contains("rel=\"next\""))?;
    let target = next.trim_start_matches('<').split('>').next()?;
    let url = url::Url::parse("http://localhost").ok()?.join(target).ok()?;
    let (_, token) = url.query_pairs().find(|(name, _)| name == "page_token")?;
    Some(token.into_owned())
}

#[cfg(test)]
mod tests {
    use super::next_page;

    #[test]
    fn the_next_page_is_found_in_the_links() {
        let first = "</admin/clients?page_size=1&page_token=a>; rel=\"first\"";
        let both = format!("{first},</admin/clients?page_size=1&page_token=b%2Bc>; rel=\"next\"");
        assert_eq!(next_page(&both).as_deref(), Some("b+c"));
        assert_eq!(next_page(first), None);
        assert_eq!(next_page(""), None);
    }
}
