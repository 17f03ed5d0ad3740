//! The `used_assertions` table: what clients and trusted issuers signed is good once.

use oauth::assertion::SingleUse;

use crate::{Error, Store};

impl Store {
    /// Remembers that an assertion was used, until it ends; false where it was before. One statement.
    ///
    /// # Guarantees
    /// Of any number of uses of one assertion, on any number of servers, at most one is told true.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: whether it counts as used now is not known, so its owner has to sign another one.
    pub async fn use_assertion(&self, used: SingleUse) -> Result<bool, Error> {
        let query = self
            .db()
            .query("INSERT INTO used_assertions (id, expires_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING")
            .bind(used.id.0.to_vec())
            .bind(used.expires_at.as_second());
        Ok(self.db().execute(query).await? == 1)
    }
}
