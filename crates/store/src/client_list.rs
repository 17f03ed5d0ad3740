//! Clients in the order of their ids, page by page.

use jiff::Timestamp;
use oauth::{ClientId, ClientMetadata};
use serde_json::Value;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::clients::instant;
use crate::{Error, Store};

/// Which clients are listed: those for which all that is given holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientFilter {
    /// `client_name` is this.
    pub client_name: Option<String>,
    /// `owner` is this.
    pub owner: Option<String>,
}

/// A client in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedClient {
    /// Its id.
    pub id: ClientId,
    /// What is registered.
    pub metadata: ClientMetadata,
    /// When it was created.
    pub created_at: Timestamp,
    /// When anything of it was last changed.
    pub updated_at: Timestamp,
}

/// A part of the list.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientPage {
    /// The clients.
    pub clients: Vec<ListedClient>,
    /// The id behind which the next page begins; `None` on the last one.
    pub next: Option<String>,
}

impl Store {
    /// The clients whose ids come after `after` (the empty one comes before all), at most `size` of them. One statement,
    /// to the replica where there is one.
    ///
    /// # Caveats
    /// A filter is looked for in the text of what is registered, which reads the table: for people and their tools, not
    /// for each request. What the database finds is compared here once more, so a page may have fewer clients than
    /// `size` without being the last one.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn list_clients(
        &self,
        after: &str,
        size: u16,
        filter: &ClientFilter,
    ) -> Result<ClientPage, Error> {
        let rows = self.fetch_list(|database| {
            database
                .query(
                    "SELECT id, metadata, created_at, updated_at FROM clients \
                     WHERE id > $1 AND metadata LIKE $2 ESCAPE '!' AND metadata LIKE $3 ESCAPE '!' \
                     ORDER BY id LIMIT $4",
                )
                .bind(after.to_owned())
                .bind(pattern("client_name", filter.client_name.as_deref()))
                .bind(pattern("owner", filter.owner.as_deref()))
                .bind(i64::from(size) + 1)
        });
        let rows = rows.await?;
        let page = &rows[..rows.len().min(usize::from(size))];
        let mut clients = page.iter().map(|row| listed(row, 0)).collect::<Result<Vec<_>, _>>()?;
        let next =
            if page.len() < rows.len() { clients.last().map(|last| last.id.to_string()) } else { None };
        clients.retain(|client| filter.matches(&client.metadata));
        Ok(ClientPage { clients, next })
    }
}

impl ClientFilter {
    fn matches(&self, metadata: &ClientMetadata) -> bool {
        let owner = metadata.other.get("owner").and_then(Value::as_str).unwrap_or_default();
        self.client_name.as_ref().is_none_or(|name| *name == metadata.client_name)
            && self.owner.as_deref().is_none_or(|wanted| wanted == owner)
    }
}

/// A pattern for the text of what is registered, which is compact JSON. Both databases know `LIKE` with an escape, and
/// differ in their functions for JSON.
fn pattern(member: &str, value: Option<&str>) -> String {
    let Some(value) = value else { return "%".to_owned() };
    let mut pattern = String::from("%");
    for c in format!("\"{member}\":{}", Value::from(value)).chars() {
        if matches!(c, '!' | '%' | '_') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// The client whose id, metadata, creation and last change stand in the columns from `first` on.
pub(crate) fn listed(row: &AnyRow, first: usize) -> Result<ListedClient, Error> {
    let id = row.try_get::<String, _>(first)?;
    let metadata = row.try_get(first + 1)?;
    Ok(ListedClient {
        id: ClientId::parse(id).map_err(Error::unreadable("clients.id"))?,
        metadata: serde_json::from_str(metadata).map_err(Error::unreadable("clients.metadata"))?,
        created_at: instant(row.try_get(first + 2)?)?,
        updated_at: instant(row.try_get(first + 3)?)?,
    })
}
