//! The list of clients.

use axum::response::Response;
use http::{StatusCode, Uri};
use oauth::ClientObject;
use store::{ClientFilter, ListedClient};

use crate::admin::paging::Paging;
use crate::error::Failure;
use crate::{Server, answer};

/// One page, and where the first and the next one are. One statement.
pub(super) async fn list(server: &Server, uri: &Uri) -> Result<Response, Failure> {
    let paging = Paging::read(server, uri)?;
    let text = |name| paging.query.get(name).map(str::to_owned);
    let filter = ClientFilter { client_name: text("client_name"), owner: text("owner") };
    let page = server.store().list_clients(&paging.after, paging.size, &filter).await?;
    let clients: Vec<_> = page.clients.iter().map(object).collect();
    let mut response = answer::json(StatusCode::OK, answer::to_json(&clients));
    paging.link(server, uri, page.next.as_deref(), &mut response)?;
    Ok(response)
}

fn object(client: &ListedClient) -> ClientObject<'_> {
    ClientObject::new(&client.id, &client.metadata, client.created_at, client.updated_at)
}
