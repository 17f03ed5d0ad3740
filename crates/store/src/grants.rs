//! The `grants` table: one row for what a person granted a client, from the first token on: from the exchange of the code,
//! or from an authorization response that carries an access token. The row of such a response has no operation yet: its
//! code, where it has one, is still to be exchanged.
//!
//! What was granted is sealed by the caller and opaque here. The columns beside it serve look-ups; whoever opens the
//! content compares them with what is sealed.

use std::sync::LazyLock;

use const_format::concatcp;
use jiff::Timestamp;
use oauth::{ClientId, GrantId, Incarnation, SessionId, TokenId};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::clients::timestamp;
use crate::coalesce::{BatchText, Coalesced, by_key};
use crate::database::Database;
use crate::revocations::HITS_GRANT;
use crate::revoked_tokens::IS_REVOKED;
use crate::{Error, Store};

/// What the database says of a grant, its client and one of its tokens, at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantState {
    /// The client.
    pub client_id: ClientId,
    /// Who granted it. Empty in the tombstone of a grant whose code was never exchanged.
    pub subject: String,
    /// The login session in which it was granted.
    pub session_id: Option<SessionId>,
    /// The client's incarnation now.
    pub incarnation: Incarnation,
    /// The client's epoch now.
    pub epoch: i64,
    /// The incarnation of the client that it was granted to.
    pub grant_incarnation: Incarnation,
    /// The client's epoch at that time.
    pub grant_epoch: i64,
    /// How often its refresh token was used: the generation of its current tokens.
    pub generation: i64,
    /// When that was for the last time.
    pub rotated_at: Option<Timestamp>,
    /// True where the grant or the token was revoked.
    pub revoked: bool,
    /// What was granted, sealed. Empty in the tombstone of a grant whose code was never exchanged.
    pub content: Vec<u8>,
}

const STATE: &str = concatcp!(
    ") SELECT grants.client_id, subject, session_id, c.incarnation, c.epoch, grants.incarnation, grants.epoch, \
     generation, rotated_at, content, \
     CASE WHEN revoked_at IS NOT NULL OR ",
    IS_REVOKED,
    " OR ",
    HITS_GRANT,
    " THEN 1 ELSE 0 END, asked.token_id \
     FROM asked JOIN grants ON grants.id = asked.grant_id JOIN clients c ON c.id = grants.client_id"
);

static STATE_TEXT: LazyLock<BatchText> =
    LazyLock::new(|| BatchText::new("WITH asked (grant_id, token_id) AS (", 2, STATE));

impl Store {
    /// What the database says of a grant and one of its tokens now; `None` where the grant or its client is gone. One
    /// statement, and never from a cache: a revocation is seen on any server as soon as it is committed.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn grant_state(&self, grant: GrantId, token: TokenId) -> Result<Option<GrantState>, Error> {
        self.lines().grant_states.call(GrantQuestion { grant, token }).await
    }

    /// Revokes a grant with all that derives from it, whether its code was exchanged already or not. One statement;
    /// doing it twice is as good as once.
    ///
    /// `expires_at` is when the last of what refers to the grant expires, as far as the caller knows; what the row knows
    /// better is kept.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn revoke_grant(
        &self,
        grant: GrantId,
        client_id: &ClientId,
        expires_at: Timestamp,
    ) -> Result<(), Error> {
        self.write_tombstone(grant, client_id.as_str(), expires_at).await
    }

    /// Marks a grant as revoked, whether it has a row or not. A tombstone that is all there is of the grant names
    /// `client_id`, which may be empty: nobody asks for it.
    pub(crate) async fn write_tombstone(
        &self,
        grant: GrantId,
        client_id: &str,
        expires_at: Timestamp,
    ) -> Result<(), Error> {
        let query = self
            .db()
            .query(
                "INSERT INTO grants (id, client_id, incarnation, epoch, started_at, created_at, generation, \
                 revoked_at, expires_at) VALUES ($1, $2, 0, 0, $3, $3, 0, $3, $4) \
                 ON CONFLICT (id) DO UPDATE SET revoked_at = excluded.revoked_at, \
                 expires_at = CASE WHEN excluded.expires_at > grants.expires_at THEN excluded.expires_at \
                 ELSE grants.expires_at END \
                 WHERE grants.revoked_at IS NULL OR excluded.expires_at > grants.expires_at",
            )
            .bind(grant.as_bytes().to_vec())
            .bind(client_id.to_owned())
            .bind(self.clock().now().as_second())
            .bind(expires_at.as_second());
        self.db().execute(query).await?;
        Ok(())
    }
}

/// A token whose grant is looked up.
#[derive(PartialEq, Eq)]
pub(crate) struct GrantQuestion {
    grant: GrantId,
    token: TokenId,
}

impl Coalesced for GrantQuestion {
    type Outcome = Option<GrantState>;

    const OPERATION: &'static str = "look up a grant";

    const WRITES: bool = false;

    fn key(&self) -> [u8; 16] {
        self.token.0
    }

    fn is_same(&self, other: &Self) -> bool {
        self == other
    }

    async fn execute(database: &Database, batch: &[Self]) -> Result<Vec<Option<GrantState>>, Error> {
        let mut query = database.query(STATE_TEXT.of(batch.len()));
        for Self { grant, token } in batch {
            query = query.bind(grant.as_bytes().to_vec()).bind(token.0.to_vec());
        }
        let rows = by_key(database.fetch_all(query).await?, 11)?;
        batch.iter().map(|question| rows.get(&question.key()).map(grant_state).transpose()).collect()
    }
}

fn grant_state(row: &AnyRow) -> Result<GrantState, Error> {
    Ok(GrantState {
        client_id: client_id(row, 0)?,
        subject: row.try_get::<Option<String>, _>(1)?.unwrap_or_default(),
        session_id: session_id(row, 2)?,
        incarnation: Incarnation(row.try_get(3)?),
        epoch: row.try_get(4)?,
        grant_incarnation: Incarnation(row.try_get(5)?),
        grant_epoch: row.try_get(6)?,
        generation: row.try_get(7)?,
        rotated_at: timestamp(row.try_get(8)?)?,
        content: row.try_get::<Option<Vec<u8>>, _>(9)?.unwrap_or_default(),
        revoked: row.try_get::<i64, _>(10)? != 0,
    })
}

pub(crate) fn client_id(row: &AnyRow, index: usize) -> Result<ClientId, Error> {
    ClientId::parse(row.try_get::<String, _>(index)?).map_err(Error::unreadable("client_id"))
}

pub(crate) fn session_id(row: &AnyRow, index: usize) -> Result<Option<SessionId>, Error> {
    let text = row.try_get::<Option<String>, _>(index)?;
    text.map(|text| text.parse()).transpose().map_err(Error::unreadable("session_id"))
}

/// The bytes of a column that has so many.
pub(crate) fn bytes<const N: usize>(row: &AnyRow, index: usize) -> Result<[u8; N], Error> {
    row.try_get::<Vec<u8>, _>(index)?.try_into().map_err(Error::unreadable("with bytes"))
}

/// An instant that no row lacks.
pub(crate) fn instant(row: &AnyRow, index: usize) -> Result<Timestamp, Error> {
    Timestamp::from_second(row.try_get(index)?).map_err(Error::unreadable("with an instant"))
}
