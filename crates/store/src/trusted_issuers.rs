//! The `trusted_issuers` table: whose assertions the server takes.
//!
//! What is trusted is sealed; the columns beside it serve look-ups. A row that does not open is nobody's.

use oauth::TrustedIssuer;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, Row};

use crate::database::Database;
use crate::grants::bytes;
use crate::{Error, Store};

/// A part of the list.
#[derive(Debug, Clone, PartialEq)]
pub struct TrustedIssuerPage {
    /// The issuers.
    pub issuers: Vec<TrustedIssuer>,
    /// The id behind which the next page begins; `None` on the last one.
    pub next: Option<[u8; 16]>,
}

impl Store {
    /// Trusts an issuer; false where it is trusted already with this key for this subject. One statement.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn trust_issuer(&self, issuer: &TrustedIssuer) -> Result<bool, Error> {
        let query = self
            .db()
            .query(
                "INSERT INTO trusted_issuers (id, identity, issuer, content, expires_at) \
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT (identity) DO NOTHING",
            )
            .bind(issuer.id.as_bytes().to_vec())
            .bind(issuer.identity().to_vec())
            .bind(issuer.issuer.clone())
            .bind(issuer.seal(self.ring(), self.entropy()))
            .bind(issuer.expires_at.as_second());
        Ok(self.db().execute(query).await? == 1)
    }

    /// Who is trusted under these names ([`TrustedIssuer::identity`]). One statement, and never from a cache: what was
    /// taken back counts no more on any server.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn trusted_issuers_named(&self, names: [[u8; 16]; 2]) -> Result<Vec<TrustedIssuer>, Error> {
        let [one, other] = names;
        let query = self
            .db()
            .query("SELECT id, content FROM trusted_issuers WHERE identity IN ($1, $2) ORDER BY id")
            .bind(one.to_vec())
            .bind(other.to_vec());
        let rows = self.db().fetch_all(query).await?;
        self.opened(&rows)
    }

    /// One of them by its id. One statement.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn trusted_issuer(&self, id: [u8; 16]) -> Result<Option<TrustedIssuer>, Error> {
        let query =
            self.db().query("SELECT id, content FROM trusted_issuers WHERE id = $1").bind(id.to_vec());
        let row = self.db().fetch_optional(query).await?;
        Ok(self.opened(row.as_slice())?.pop())
    }

    /// Trusts it no longer; false where it was not there. One statement.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn distrust_issuer(&self, id: [u8; 16]) -> Result<bool, Error> {
        let query = self.db().query("DELETE FROM trusted_issuers WHERE id = $1").bind(id.to_vec());
        Ok(self.db().execute(query).await? == 1)
    }

    /// The issuers whose ids come after `after` (`None` comes before all), at most `size` of them; those of one name
    /// where it is given. One statement, to the replica where there is one: whether somebody is trusted,
    /// [`Self::trusted_issuers_of`] says.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn list_trusted_issuers(
        &self,
        after: Option<[u8; 16]>,
        size: u16,
        issuer: Option<&str>,
    ) -> Result<TrustedIssuerPage, Error> {
        let rows = self.fetch_list(|database| match issuer {
            Some(issuer) => of_issuer(database, issuer, after, size),
            None => database
                .query("SELECT id, content FROM trusted_issuers WHERE id > $1 ORDER BY id LIMIT $2")
                .bind(start(after))
                .bind(i64::from(size) + 1),
        });
        self.page(&rows.await?, size)
    }

    /// The issuers of one name, in the same way, and never from a copy: what was taken back counts no more on any server.
    /// One statement.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn trusted_issuers_of(
        &self,
        issuer: &str,
        after: Option<[u8; 16]>,
        size: u16,
    ) -> Result<TrustedIssuerPage, Error> {
        let rows = self.db().fetch_all(of_issuer(self.db(), issuer, after, size)).await?;
        self.page(&rows, size)
    }

    fn page(&self, rows: &[AnyRow], size: u16) -> Result<TrustedIssuerPage, Error> {
        let page = &rows[..rows.len().min(usize::from(size))];
        let last = page.last().filter(|_| page.len() < rows.len());
        let next = last.map(|row| bytes(row, 0)).transpose()?;
        Ok(TrustedIssuerPage { issuers: self.opened(page)?, next })
    }

    fn opened(&self, rows: &[AnyRow]) -> Result<Vec<TrustedIssuer>, Error> {
        let mut issuers = Vec::with_capacity(rows.len());
        for row in rows {
            let content: Vec<u8> = row.try_get(1)?;
            issuers.extend(TrustedIssuer::open(self.ring(), bytes(row, 0)?, &content));
        }
        Ok(issuers)
    }
}

fn of_issuer(
    database: &Database,
    issuer: &str,
    after: Option<[u8; 16]>,
    size: u16,
) -> Query<'static, Any, AnyArguments> {
    database
        .query("SELECT id, content FROM trusted_issuers WHERE id > $1 AND issuer = $3 ORDER BY id LIMIT $2")
        .bind(start(after))
        .bind(i64::from(size) + 1)
        .bind(issuer.to_owned())
}

/// The id behind which a page begins.
fn start(after: Option<[u8; 16]>) -> Vec<u8> {
    after.map_or_else(Vec::new, |id| id.to_vec())
}
