//! The `revoked_tokens` table, and what the database knows of one token.

use std::sync::LazyLock;

use const_format::concatcp;
use jiff::Timestamp;
use oauth::introspect::TokenState;
use oauth::{ClientId, Incarnation, TokenId};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::coalesce::{BatchText, Coalesced, by_key};
use crate::database::Database;
use crate::revocations::{subject_client_key, subject_key};
use crate::{Error, Store};

/// SQL: true where a row of `revoked_tokens` names the token that is asked for. Written so that it is looked up for each
/// token: as a join, the whole table would be read where it is short.
pub(crate) const IS_REVOKED: &str =
    "(SELECT 1 FROM revoked_tokens r WHERE r.id = asked.token_id) IS NOT NULL";

static STATE_TEXT: LazyLock<BatchText> = LazyLock::new(|| {
    BatchText::new(
        "WITH asked (client_id, token_id, subject_key, subject_client_key, issued_at) AS (",
        5,
        concatcp!(
            ") SELECT c.incarnation, c.epoch, CASE WHEN ",
            IS_REVOKED,
            " OR EXISTS (SELECT 1 FROM revocations v \
             WHERE v.key IN (asked.subject_key, asked.subject_client_key) AND v.before >= asked.issued_at) \
             THEN 1 ELSE 0 END, asked.token_id FROM asked JOIN clients c ON c.id = asked.client_id"
        ),
    )
});

impl Store {
    /// What the database says of a client's own token and of the client now; `None` where the client is gone. One statement, and never
    /// from a cache: introspection on any server sees a revocation as soon as it is committed.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn token_state(&self, client: &ClientId, token: TokenId) -> Result<Option<TokenState>, Error> {
        let question = TokenQuestion { client: client.clone(), token, subject: None };
        self.lines().token_states.call(question).await
    }

    /// The same of a client's token for a subject that has no grant, issued at `issued_at`: revocations of the subject since
    /// then hit it too. One statement.
    ///
    /// # Caveats
    /// Revocations are remembered for little longer than [`MAX_FLOW_AGE`](crate::MAX_FLOW_AGE): no such token may live
    /// for longer than that.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn subject_token_state(
        &self,
        client: &ClientId,
        token: TokenId,
        subject: &str,
        issued_at: Timestamp,
    ) -> Result<Option<TokenState>, Error> {
        let subject = Some((subject.to_owned(), issued_at));
        self.lines().token_states.call(TokenQuestion { client: client.clone(), token, subject }).await
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

/// A token that is looked up.
#[derive(PartialEq, Eq)]
pub(crate) struct TokenQuestion {
    client: ClientId,
    token: TokenId,
    /// For whom it was issued, and when; `None` for a client's own.
    subject: Option<(String, Timestamp)>,
}

impl Coalesced for TokenQuestion {
    type Outcome = Option<TokenState>;

    const OPERATION: &'static str = "look up a token";

    const WRITES: bool = false;

    fn key(&self) -> [u8; 16] {
        self.token.0
    }

    fn is_same(&self, other: &Self) -> bool {
        self == other
    }

    async fn execute(database: &Database, batch: &[Self]) -> Result<Vec<Option<TokenState>>, Error> {
        let mut query = database.query(STATE_TEXT.of(batch.len()));
        for Self { client, token, subject } in batch {
            // No revocation has an empty key.
            let keys =
                subject.as_ref().map(|(name, _)| (subject_key(name), subject_client_key(name, client)));
            let (of_subject, of_both) = keys.unwrap_or_default();
            let issued_at = subject.as_ref().map_or(0, |(_, issued_at)| issued_at.as_second());
            query = query.bind(client.to_string()).bind(token.0.to_vec());
            query = query.bind(of_subject).bind(of_both).bind(issued_at);
        }
        let rows = by_key(database.fetch_all(query).await?, 3)?;
        batch.iter().map(|question| rows.get(&question.key()).map(token_state).transpose()).collect()
    }
}

fn token_state(row: &AnyRow) -> Result<TokenState, Error> {
    Ok(TokenState {
        incarnation: Incarnation(row.try_get(0)?),
        epoch: row.try_get(1)?,
        revoked: row.try_get::<i64, _>(2)? != 0,
    })
}
