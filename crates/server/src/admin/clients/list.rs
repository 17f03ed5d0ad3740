//! The list of clients.

use axum::response::Response;
use http::header::LINK;
use http::{HeaderValue, StatusCode, Uri};
use oauth::{ClientObject, Form, PageToken};
use store::{ClientFilter, ListedClient};

use crate::error::{Failure, Refusal};
use crate::{Server, answer};

/// How many clients a page has where the caller does not say, and at most.
const DEFAULT_SIZE: u16 = 100;
const LARGEST_SIZE: u16 = 500;

const PAGE_SIZE: &str = "page_size";
const PAGE_TOKEN: &str = "page_token";

/// One page, and where the first and the next one are. One statement.
pub(super) async fn list(server: &Server, uri: &Uri) -> Result<Response, Failure> {
    let query = Form::parse(uri.query().unwrap_or_default().as_bytes())?;
    let (size, after) = (page_size(&query)?, page_start(server, &query)?);
    let text = |name| query.get(name).map(str::to_owned);
    let filter = ClientFilter { client_name: text("client_name"), owner: text("owner") };
    let page = server.store().list_clients(&after, size, &filter).await?;
    let clients: Vec<_> = page.clients.iter().map(object).collect();
    let mut response = answer::json(StatusCode::OK, answer::to_json(&clients));
    let links = links(server, uri, query, size, page.next.as_deref());
    let links = HeaderValue::try_from(links).map_err(|error| Failure::Defect(error.to_string()))?;
    response.headers_mut().insert(LINK, links);
    Ok(response)
}

fn object(client: &ListedClient) -> ClientObject<'_> {
    ClientObject::new(&client.id, &client.metadata, client.created_at, client.updated_at)
}

fn page_size(query: &Form) -> Result<u16, Failure> {
    let Some(text) = query.get(PAGE_SIZE) else { return Ok(DEFAULT_SIZE) };
    match text.parse::<u64>() {
        Ok(0) => Ok(DEFAULT_SIZE),
        Ok(size) => Ok(u16::try_from(size).unwrap_or(LARGEST_SIZE).min(LARGEST_SIZE)),
        Err(_) => Err(Failure::Plain(Refusal::Malformed("page_size is no number of clients.".into()))),
    }
}

fn page_start(server: &Server, query: &Form) -> Result<String, Failure> {
    let Some(text) = query.get(PAGE_TOKEN) else { return Ok(String::new()) };
    let token = PageToken::open(server.store().ring(), text, server.now());
    let why = "invalid pagination token: it is not from this server, or older than an hour.";
    token.map(PageToken::into_key).ok_or(Failure::Plain(Refusal::Malformed(why.into())))
}

/// The `Link` header (RFC 8288), as Hydra writes it: paths with all that the caller asked for.
fn links(server: &Server, uri: &Uri, query: Form, size: u16, next: Option<&str>) -> String {
    let asked = query.without(&[PAGE_SIZE, PAGE_TOKEN]).to_query(Some((PAGE_SIZE, &size.to_string())));
    let link = |after: &str, rel: &str| {
        let store = server.store();
        let token = PageToken::after(after, server.now()).seal(store.ring(), store.entropy());
        format!("<{}?{asked}&{PAGE_TOKEN}={token}>; rel=\"{rel}\"", uri.path())
    };
    let first = link("", "first");
    next.map_or(first.clone(), |next| format!("{first},{}", link(next, "next")))
}
