//! The `parked` table: sealed values of flows that are too long for a URL, which carries their id instead.

use jiff::Timestamp;
use sqlx::Row;

use crate::{Error, Store};

impl Store {
    /// Parks a sealed value under a random id. One statement.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn park(&self, id: [u8; 16], content: Vec<u8>, expires_at: Timestamp) -> Result<(), Error> {
        let query = self
            .db()
            .query("INSERT INTO parked (id, content, expires_at) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING")
            .bind(id.to_vec())
            .bind(content)
            .bind(expires_at.as_second());
        self.db().execute(query).await?;
        Ok(())
    }

    /// A value that was parked, as often as it is asked for; `None` where there is none, or it expired. One statement.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn parked(&self, id: [u8; 16]) -> Result<Option<Vec<u8>>, Error> {
        let query = self
            .db()
            .query("SELECT content FROM parked WHERE id = $1 AND expires_at > $2")
            .bind(id.to_vec())
            .bind(self.clock().now().as_second());
        let row = self.db().fetch_optional(query).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }
}
