//! The `revoked_tokens` table, and what the database knows of one token.

use jiff::Timestamp;
use oauth::introspect::TokenState;
use oauth::{ClientId, Incarnation, TokenId};
use sqlx::Row;

use crate::{Error, Store};

impl Store {
    /// What the database says of a client's own token and of the client now; `None` where the client is gone. One statement, and never
    /// from a cache: introspection on any server sees a revocation as soon as it is committed.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn token_state(&self, client: &ClientId, token: TokenId) -> Result<Option<TokenState>, Error> {
        let query = self
            .db()
            .query(
                "SELECT c.incarnation, c.epoch, r.expires_at FROM clients c \
                 LEFT JOIN revoked_tokens r ON r.id = $2 WHERE c.id = $1",
            )
            .bind(client.to_string())
            .bind(token.0.to_vec());
        let Some(row) = self.db().fetch_optional(query).await? else { return Ok(None) };
        Ok(Some(TokenState {
            incarnation: Incarnation(row.try_get(0)?),
            epoch: row.try_get(1)?,
            revoked: row.try_get::<Option<i64>, _>(2)?.is_some(),
        }))
    }

    /// Remembers that a token is dead. One statement; doing it twice is as good as once.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn revoke_token(&self, id: TokenId, expires_at: Timestamp) -> Result<(), Error> {
        let query = self
            .db()
            .query("INSERT INTO revoked_tokens (id, expires_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING")
            .bind(id.0.to_vec())
            .bind(expires_at.as_second());
        self.db().execute(query).await?;
        Ok(())
    }
}
