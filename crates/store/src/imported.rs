//! The `imported` and `imported_secrets` tables: what was taken over from an Ory Hydra.
//!
//! Each thing that was taken over has a row, so that it is taken over once, and what became of it here stays. The rows of
//! tokens say what they stand for, sealed; the keys that tell genuine tokens lie sealed beside them. A refresh token stands
//! for a grant, which is a grant like any other.

mod client;
mod grant;
mod key_set;

use jiff::Timestamp;
use jose::{HydraSecret, SealPurpose};
use oauth::imported_token::ImportedId;
use oauth::{HydraToken, ImportedToken};
use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, Row, Transaction};

use crate::database::bounded;
use crate::{Error, Store};

pub(crate) use client::ImportedClient;
pub(crate) use grant::ImportedGrant;
pub(crate) use key_set::AdoptedKey;

/// What became of a thing that was to be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was.
    Over,
    /// It had been before.
    Before,
    /// Something of its name is here, which was not taken over.
    Exists,
    /// It had been before, was changed there since, and not here: it is as there now.
    Followed,
    /// It had been before, and was changed on both sides since: it stays as here.
    Diverged,
}

/// The row of a thing that was taken over.
pub(crate) struct ImportedRow<'a> {
    pub(crate) id: ImportedId,
    /// What it stands for, where it is a token.
    pub(crate) token: Option<&'a ImportedToken>,
    /// `None` where it is kept for ever.
    pub(crate) expires_at: Option<Timestamp>,
}

impl ImportedRow<'_> {
    /// The row of what is no token.
    pub(crate) fn of(id: ImportedId) -> Self {
        Self { id, token: None, expires_at: None }
    }
}

impl Store {
    /// What a token of an Ory Hydra stands for here; `None` where it was not taken over, or Hydra did not sign it. One
    /// statement.
    ///
    /// Says nothing of expiry or revocation.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn imported_token(&self, token: &HydraToken) -> Result<Option<ImportedToken>, Error> {
        let id = token.row();
        let query = self
            .db()
            .query(
                "SELECT i.content, s.content FROM imported i CROSS JOIN imported_secrets s WHERE i.id = $1",
            )
            .bind(id.0.to_vec());
        for row in self.db().fetch_all(query).await? {
            let is_genuine =
                self.secret(&row.try_get::<Vec<u8>, _>(1)?).is_some_and(|s| token.is_signed_with(&s));
            if is_genuine {
                let content: Option<Vec<u8>> = row.try_get(0)?;
                return Ok(content.and_then(|content| ImportedToken::open(self.ring(), id, &content)));
            }
        }
        Ok(None)
    }

    /// True where something was taken over before.
    pub(crate) async fn is_imported(&self, id: ImportedId) -> Result<bool, Error> {
        let query = self.db().query("SELECT 1 FROM imported WHERE id = $1").bind(id.0.to_vec());
        Ok(self.db().fetch_optional(query).await?.is_some())
    }

    /// What a token that was taken over before stands for.
    pub(crate) async fn imported_before(&self, id: ImportedId) -> Result<Option<ImportedToken>, Error> {
        let query = self.db().query("SELECT content FROM imported WHERE id = $1").bind(id.0.to_vec());
        let row = self.db().fetch_optional(query).await?;
        let content: Option<Vec<u8>> = row.map(|row| row.try_get(0)).transpose()?.flatten();
        Ok(content.and_then(|content| ImportedToken::open(self.ring(), id, &content)))
    }

    /// Notes that something is taken over; false where it was before.
    pub(crate) async fn note(
        &self,
        tx: &mut Transaction<'_, Any>,
        row: &ImportedRow<'_>,
    ) -> Result<bool, Error> {
        Ok(bounded(self.noting(row).execute(&mut **tx)).await?.rows_affected() == 1)
    }

    /// The same by itself.
    pub(crate) async fn note_alone(&self, row: &ImportedRow<'_>) -> Result<bool, Error> {
        Ok(self.db().execute(self.noting(row)).await? == 1)
    }

    fn noting(&self, row: &ImportedRow<'_>) -> Query<'static, Any, AnyArguments> {
        self.db()
            .query("INSERT INTO imported (id, content, expires_at) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING")
            .bind(row.id.0.to_vec())
            .bind(row.token.map(|token| token.seal(self.ring(), row.id, self.entropy())))
            .bind(row.expires_at.map(Timestamp::as_second))
    }

    /// Gives a token that was taken over before another meaning.
    pub(crate) async fn note_anew(
        &self,
        tx: &mut Transaction<'_, Any>,
        id: ImportedId,
        token: &ImportedToken,
    ) -> Result<(), Error> {
        let query = self
            .db()
            .query("UPDATE imported SET content = $2 WHERE id = $1")
            .bind(id.0.to_vec())
            .bind(token.seal(self.ring(), id, self.entropy()));
        bounded(query.execute(&mut **tx)).await?;
        Ok(())
    }

    /// Keeps the keys that tell genuine tokens, in the transaction that takes over tokens: those that no token is left
    /// for are purged.
    pub(crate) async fn keep_secrets(
        &self,
        tx: &mut Transaction<'_, Any>,
        secrets: &[HydraSecret],
    ) -> Result<(), Error> {
        let query = self.db().query("SELECT content FROM imported_secrets");
        let rows = bounded(query.fetch_all(&mut **tx)).await?;
        let mut known = Vec::new();
        for row in rows {
            known.extend(self.secret(&row.try_get::<Vec<u8>, _>(0)?));
        }
        for secret in secrets {
            if known.iter().any(|known| known.expose() == secret.expose()) {
                continue;
            }
            let sealed =
                self.ring().seal(SealPurpose::ImportedSecret, secret.expose(), self.entropy().bytes());
            let query = self.db().query("INSERT INTO imported_secrets (id, content) VALUES ($1, $2)");
            let query = query.bind(self.entropy().bytes::<16>().to_vec()).bind(sealed);
            bounded(query.execute(&mut **tx)).await?;
        }
        Ok(())
    }

    /// The same by itself.
    pub(crate) async fn keep_secrets_alone(&self, secrets: &[HydraSecret]) -> Result<(), Error> {
        let mut loan = self.db().loan().await?;
        let mut tx = loan.begin().await?;
        self.keep_secrets(&mut tx, secrets).await?;
        bounded(tx.commit()).await
    }

    fn secret(&self, sealed: &[u8]) -> Option<HydraSecret> {
        let key = self.ring().open(SealPurpose::ImportedSecret, sealed).ok()?;
        key.as_slice().try_into().ok().map(HydraSecret::from_bytes)
    }

    /// Forgets the keys when the last token that they could tell has gone. The table is empty but after an import.
    pub(crate) async fn purge_imported_secrets(&self) -> Result<(), Error> {
        let query = self.db().query(
            "DELETE FROM imported_secrets WHERE NOT EXISTS (SELECT 1 FROM imported WHERE content IS NOT NULL)",
        );
        self.db().execute(query).await?;
        Ok(())
    }
}
