//! How a grant gets its row: by the exchange of its code, by an authorization response that carries an access token, or
//! when a device redeems what it was granted.

use std::sync::LazyLock;

use const_format::concatcp;
use jiff::Timestamp;
use oauth::{ClientId, GrantId, Incarnation, SessionId};
use sqlx::Any;
use sqlx::Row;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;

use crate::coalesce::{BatchText, Coalesced, by_key};
use crate::database::Database;
use crate::revocations::{MAX_FLOW_AGE, session_key, subject_client_key, subject_key};
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

/// What is asked, one row for each grant.
const ASKED: &str = "WITH asked (id, client_id, incarnation, epoch, subject, session_id, code_id, operation, content, \
    started_at, now, refresh_hash, refresh_ends, ends, subject_key, subject_client_key, session_key) AS (";

const COLUMNS: usize = 17;

/// A row for each grant that nothing has ended since its flow started. They are locked in the order of their ids.
const INSERT: &str = ") INSERT INTO grants (id, client_id, incarnation, epoch, subject, session_id, code_id, operation, \
    content, started_at, created_at, generation, refresh_hash, refresh_expires_at, expires_at) \
    SELECT asked.id, c.id, c.incarnation, c.epoch, asked.subject, asked.session_id, asked.code_id, asked.operation, \
    asked.content, asked.started_at, asked.now, 0, asked.refresh_hash, asked.refresh_ends, asked.ends \
    FROM asked JOIN clients c ON c.id = asked.client_id AND c.incarnation = asked.incarnation AND c.epoch = asked.epoch \
    WHERE NOT EXISTS (SELECT 1 FROM revocations r \
    WHERE r.key IN (asked.subject_key, asked.subject_client_key, asked.session_key) AND r.before >= asked.started_at) \
    ORDER BY asked.id ON CONFLICT (id) DO UPDATE ";

// The row of a hybrid response is without an operation until its code is exchanged: once, like any other.
const REDEEM: &str = concatcp!(
    INSERT,
    "SET revoked_at = CASE WHEN grants.operation IS NULL OR grants.operation = excluded.operation THEN NULL \
     ELSE excluded.created_at END, \
     operation = COALESCE(grants.operation, excluded.operation), \
     content = CASE WHEN grants.operation IS NULL THEN excluded.content ELSE grants.content END, \
     refresh_hash = CASE WHEN grants.operation IS NULL THEN excluded.refresh_hash ELSE grants.refresh_hash END, \
     refresh_expires_at = CASE WHEN grants.operation IS NULL THEN excluded.refresh_expires_at \
     ELSE grants.refresh_expires_at END, \
     expires_at = CASE WHEN grants.operation IS NULL AND excluded.expires_at > grants.expires_at \
     THEN excluded.expires_at ELSE grants.expires_at END \
     WHERE grants.code_id = excluded.code_id AND grants.revoked_at IS NULL \
     RETURNING revoked_at, id"
);

// Only the same response once more finds its own row: whoever comes with another one has another code_id.
const ISSUE: &str = concatcp!(
    INSERT,
    "SET code_id = grants.code_id \
     WHERE grants.code_id = excluded.code_id AND grants.operation IS NULL AND grants.revoked_at IS NULL \
     RETURNING id"
);

// A device asks again where an answer was lost: another operation than the first touches nothing.
const REDEEM_DEVICE: &str = concatcp!(
    INSERT,
    "SET operation = excluded.operation \
     WHERE grants.operation = excluded.operation AND grants.revoked_at IS NULL \
     RETURNING id"
);

static REDEEM_TEXT: LazyLock<BatchText> = LazyLock::new(|| BatchText::new(ASKED, COLUMNS, REDEEM));
static ISSUE_TEXT: LazyLock<BatchText> = LazyLock::new(|| BatchText::new(ASKED, COLUMNS, ISSUE));
static REDEEM_DEVICE_TEXT: LazyLock<BatchText> =
    LazyLock::new(|| BatchText::new(ASKED, COLUMNS, REDEEM_DEVICE));

impl Store {
    /// Exchanges a code. One statement, which exchanges that come meanwhile share.
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
        let now = self.clock().now();
        if is_too_old(grant, now) {
            return Ok(Redemption::Refused);
        }
        self.lines().exchanges.call(Exchange { grant: grant.clone(), now }).await
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
        self.write(&ISSUE_TEXT, grant, None).await
    }

    /// Redeems what was granted to a device; false where it was redeemed before, or for one of the reasons of
    /// [`Redemption::Refused`]. A device asks again where an answer was lost, so asking twice revokes nothing. One
    /// statement.
    ///
    /// # Guarantees
    /// Of any number of redemptions, on any number of servers, one operation is told true. Revocations count as in
    /// [`Store::redeem_code`].
    ///
    /// # Errors
    /// [`Error::Unavailable`]: whether it was redeemed is not known, and the same operation may be repeated.
    pub async fn redeem_device(&self, grant: &NewGrant) -> Result<bool, Error> {
        self.write(&REDEEM_DEVICE_TEXT, grant, Some((grant.operation, grant.refresh))).await
    }

    /// Executes a statement that shares nothing; false where it touched nothing.
    async fn write(
        &self,
        text: &'static BatchText,
        grant: &NewGrant,
        exchange: Option<([u8; 16], Option<NewRefresh>)>,
    ) -> Result<bool, Error> {
        let now = self.clock().now();
        if is_too_old(grant, now) {
            return Ok(false);
        }
        let query = bound(self.db().query(text.of(1)), grant, exchange, now);
        Ok(self.db().fetch_optional(query).await?.is_some())
    }
}

/// Revocations are kept for longer than this, so that none is missed.
fn is_too_old(grant: &NewGrant, now: Timestamp) -> bool {
    now.duration_since(grant.started_at) > MAX_FLOW_AGE
}

/// An exchange on its way to the database.
pub(crate) struct Exchange {
    grant: NewGrant,
    now: Timestamp,
}

impl Coalesced for Exchange {
    type Outcome = Redemption;

    const OPERATION: &'static str = "exchange a code";

    const WRITES: bool = true;

    fn key(&self) -> [u8; 16] {
        *self.grant.id.as_bytes()
    }

    async fn execute(database: &Database, batch: &[Self]) -> Result<Vec<Redemption>, Error> {
        let mut query = database.query(REDEEM_TEXT.of(batch.len()));
        for Self { grant, now } in batch {
            query = bound(query, grant, Some((grant.operation, grant.refresh)), *now);
        }
        let rows = by_key(database.fetch_all(query).await?, 1)?;
        batch.iter().map(|exchange| redemption(rows.get(&exchange.key()))).collect()
    }
}

fn redemption(row: Option<&AnyRow>) -> Result<Redemption, Error> {
    let Some(row) = row else { return Ok(Redemption::Refused) };
    Ok(match row.try_get::<Option<i64>, _>(0)? {
        None => Redemption::Redeemed,
        Some(_) => Redemption::Reused,
    })
}

type Statement = Query<'static, Any, AnyArguments>;

/// Binds the row of [`ASKED`] for a grant.
fn bound(
    query: Statement,
    grant: &NewGrant,
    exchange: Option<([u8; 16], Option<NewRefresh>)>,
    now: Timestamp,
) -> Statement {
    let refresh = exchange.and_then(|(_, refresh)| refresh);
    query
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
        .bind(grant.session_id.map(session_key))
}
