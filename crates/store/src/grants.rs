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
use crate::revocations::{HITS_GRANT, MAX_FLOW_AGE, session_key, subject_client_key, subject_key};
use crate::revoked_tokens::IS_REVOKED;
use crate::{Error, Store};

/// A grant that gets its row.
#[derive(Debug, Clone)]
pub struct NewGrant {
    /// Its id, which was chosen when the flow started.
    pub id: GrantId,
    /// The client.
    pub client_id: ClientId,
    /// The client's incarnation when the flow started.
    pub incarnation: Incarnation,
    /// The client's epoch when the flow started.
    pub epoch: i64,
    /// Who granted it. PostgreSQL takes no NUL in it, and nothing much longer than 2,000 bytes.
    pub subject: String,
    /// The login session in which it was granted.
    pub session_id: Option<SessionId>,
    /// Names the code: another one for the same grant is refused. Fresh for each authorization response, also for one
    /// without a code.
    pub code_id: [u8; 16],
    /// 16 fresh random bytes that name this exchange: repeated with the same ones after a lost answer, it is done once.
    /// [`Store::issue_grant`] leaves it to the exchange.
    pub operation: [u8; 16],
    /// What was granted, sealed.
    pub content: Vec<u8>,
    /// When the flow started: a revocation at that time or later hits the grant.
    pub started_at: Timestamp,
    /// The first refresh token, of generation 0; `None` for a grant without one. Only an exchange gives one:
    /// [`Store::issue_grant`] does not look at it.
    pub refresh: Option<NewRefresh>,
    /// When the last of what refers to the grant expires: the code and its tokens. The row is kept for longer than that.
    pub expires_at: Timestamp,
}

/// A grant's first refresh token.
#[derive(Debug, Clone, Copy)]
pub struct NewRefresh {
    /// The SHA-256 of its random part.
    pub hash: [u8; 32],
    /// When it ends.
    pub expires_at: Timestamp,
}

/// What became of the exchange of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redemption {
    /// The code was exchanged, by this very operation: now, or earlier with an answer that was lost.
    Redeemed,
    /// The code had been exchanged by another operation. That is proven reuse: the grant is revoked now.
    Reused,
    /// Nothing was touched: the grant is revoked, or another code of it was exchanged, or there has been a revocation
    /// since the flow started; or the client is gone, created again, or all of its tokens were revoked; or the flow
    /// started longer than [`MAX_FLOW_AGE`] ago.
    Refused,
}

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

/// A row for a grant that nothing has ended since its flow started.
const INSERT: &str = "INSERT INTO grants (id, client_id, incarnation, epoch, subject, session_id, code_id, operation, \
    content, started_at, created_at, generation, refresh_hash, refresh_expires_at, expires_at) \
    SELECT $1, c.id, c.incarnation, c.epoch, $5, $6, $7, $8, $9, $10, $11, 0, $12, $13, $14 FROM clients c \
    WHERE c.id = $2 AND c.incarnation = $3 AND c.epoch = $4 \
    AND NOT EXISTS (SELECT 1 FROM revocations r WHERE r.key IN ($15, $16, $17) AND r.before >= $10) \
    ON CONFLICT (id) DO UPDATE ";

// The row of a hybrid response is without an operation until its code is exchanged: once, like any other.
const REDEEM: &str = concatcp!(
    INSERT,
    "SET revoked_at = CASE WHEN grants.operation IS NULL OR grants.operation = excluded.operation THEN NULL \
     ELSE excluded.created_at END, \
     operation = COALESCE(grants.operation, excluded.operation), \
     refresh_hash = CASE WHEN grants.operation IS NULL THEN excluded.refresh_hash ELSE grants.refresh_hash END, \
     refresh_expires_at = CASE WHEN grants.operation IS NULL THEN excluded.refresh_expires_at \
     ELSE grants.refresh_expires_at END, \
     expires_at = CASE WHEN grants.operation IS NULL AND excluded.expires_at > grants.expires_at \
     THEN excluded.expires_at ELSE grants.expires_at END \
     WHERE grants.code_id = excluded.code_id AND grants.revoked_at IS NULL \
     RETURNING revoked_at"
);

// Only the same response once more finds its own row: whoever comes with another one has another code_id.
const ISSUE: &str = concatcp!(
    INSERT,
    "SET code_id = grants.code_id \
     WHERE grants.code_id = excluded.code_id AND grants.operation IS NULL AND grants.revoked_at IS NULL \
     RETURNING revoked_at"
);

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
    /// Exchanges a code. One statement.
    ///
    /// # Guarantees
    /// Of any number of exchanges of one code, on any number of servers, at most one operation is told
    /// [`Redemption::Redeemed`]; each later one revokes the grant. A revocation that was committed before is heeded; one
    /// that is committed at the same time may find the row written, and from then on hits it in
    /// [`Store::grant_state`] and [`Store::rotate_refresh_token`].
    ///
    /// # Errors
    /// [`Error::Unavailable`]: whether the code was exchanged is not known, and the same operation may be repeated.
    pub async fn redeem_code(&self, grant: &NewGrant) -> Result<Redemption, Error> {
        let row = self.write(REDEEM, grant, Some((grant.operation, grant.refresh))).await?;
        let Some(row) = row else { return Ok(Redemption::Refused) };
        Ok(match row.try_get::<Option<i64>, _>(0)? {
            None => Redemption::Redeemed,
            Some(_) => Redemption::Reused,
        })
    }

    /// Writes the row of a grant whose authorization response carries an access token; its code, where the response
    /// has one, is exchanged later. One statement.
    ///
    /// True where the row is there now, by this call or by an earlier one with the same `code_id` whose answer was lost.
    /// False where nothing was touched: the flow had a response before, or its grant was revoked, or anything else for
    /// which [`Redemption::Refused`] stands.
    ///
    /// # Guarantees
    /// Of any number of responses to one flow, on any number of servers, at most one `code_id` is told true.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: whether the row was written is not known, and the same call may be repeated.
    pub async fn issue_grant(&self, grant: &NewGrant) -> Result<bool, Error> {
        Ok(self.write(ISSUE, grant, None).await?.is_some())
    }

    /// Executes one of the two statements; `None` where it touched nothing.
    async fn write(
        &self,
        statement: &'static str,
        grant: &NewGrant,
        exchange: Option<([u8; 16], Option<NewRefresh>)>,
    ) -> Result<Option<AnyRow>, Error> {
        let now = self.clock().now();
        // Revocations are kept for longer than this, so that none is missed.
        if now.duration_since(grant.started_at) > MAX_FLOW_AGE {
            return Ok(None);
        }
        let refresh = exchange.and_then(|(_, refresh)| refresh);
        let query = self
            .db()
            .query(statement)
            .bind(grant.id.as_bytes().to_vec())
            .bind(grant.client_id.to_string())
            .bind(grant.incarnation.0)
            .bind(grant.epoch)
            .bind(grant.subject.clone())
            .bind(grant.session_id.map(|id| id.to_string()))
            .bind(grant.code_id.to_vec())
            .bind(exchange.map(|(operation, _)| operation.to_vec()))
            .bind(grant.content.clone())
            .bind(grant.started_at.as_second())
            .bind(now.as_second())
            .bind(refresh.map(|refresh| refresh.hash.to_vec()))
            .bind(refresh.map(|refresh| refresh.expires_at.as_second()))
            .bind(grant.expires_at.as_second())
            .bind(subject_key(&grant.subject))
            .bind(subject_client_key(&grant.subject, &grant.client_id))
            .bind(grant.session_id.map(session_key));
        self.db().fetch_optional(query).await
    }

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
            .bind(client_id.to_string())
            .bind(self.clock().now().as_second())
            .bind(expires_at.as_second());
        self.db().execute(query).await?;
        Ok(())
    }
}

/// A token whose grant is looked up.
pub(crate) struct GrantQuestion {
    grant: GrantId,
    token: TokenId,
}

impl Coalesced for GrantQuestion {
    type Outcome = Option<GrantState>;

    const WRITES: bool = false;

    fn key(&self) -> [u8; 16] {
        self.token.0
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
