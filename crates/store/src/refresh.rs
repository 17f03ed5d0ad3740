//! Refreshing a grant: one compare-and-set on the generation and the hash of what was presented.

use std::sync::LazyLock;
use std::time::Duration;

use const_format::concatcp;
use jiff::Timestamp;
use oauth::{ClientId, GrantId, Incarnation, SessionId};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::coalesce::{BatchText, Coalesced, by_key};
use crate::database::Database;
use crate::grants::{bytes, client_id, instant, session_id};
use crate::revocations::HITS_GRANT;
use crate::{Error, Store};

/// A refresh token that is presented, and the one that is to follow it. The caller has made sure that the token is
/// genuine, unexpired, and of the client that presents it.
#[derive(Debug, Clone)]
pub struct RefreshRotation {
    /// The grant that the token names.
    pub grant_id: GrantId,
    /// The generation that the token names.
    pub generation: i64,
    /// The SHA-256 of the token's random part.
    pub presented_hash: [u8; 32],
    /// The SHA-256 of the next token's random part.
    pub next_hash: [u8; 32],
    /// 16 fresh random bytes, from which the next token is made. They name this refresh too: repeated with the same ones
    /// after a lost answer, it is done once.
    pub nonce: [u8; 16],
    /// When the next refresh token ends.
    pub expires_at: Timestamp,
    /// When the last of what will refer to the grant expires; it shortens nothing.
    pub keep_until: Timestamp,
    /// For how long the previous token is answered once more; whole seconds count.
    pub grace: Duration,
    /// The client's incarnation that the token names.
    pub incarnation: Incarnation,
    /// The client's epoch that the token names.
    pub epoch: i64,
    /// What was granted, sealed, where this refresh changes it; `None` leaves it.
    pub content: Option<Vec<u8>>,
}

/// What became of a refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefreshOutcome {
    /// The token was the current one, and this very operation put the next one in its place: now, or earlier with an
    /// answer that was lost.
    Rotated(RefreshedGrant),
    /// Another operation did so within the grace period: the caller gives what that one gave. Nothing was changed.
    Repeated(RefreshedGrant),
    /// The token had been replaced. That is proven reuse: the grant is revoked now.
    Reused,
    /// Nothing was touched: the grant is gone, revoked or expired, or never had the token's generation (the database was
    /// restored from a copy); or the client is gone, created again, or all of its tokens were revoked.
    Refused,
}

/// A grant after a refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshedGrant {
    /// The client.
    pub client_id: ClientId,
    /// Who granted it.
    pub subject: String,
    /// The login session in which it was granted.
    pub session_id: Option<SessionId>,
    /// What was granted, sealed.
    pub content: Vec<u8>,
    /// The generation of the new tokens.
    pub generation: i64,
    /// From what the new refresh token is made: of whoever rotated it.
    pub nonce: [u8; 16],
    /// When it was rotated.
    pub rotated_at: Timestamp,
    /// When the new refresh token ends.
    pub refresh_expires_at: Timestamp,
    /// When the flow started.
    pub started_at: Timestamp,
}

/// The presented token is the current one.
const CURRENT: &str = "generation = presented_generation AND refresh_hash = presented_hash";

/// It is the previous one, in its grace period or presented once more by the operation that replaced it.
const PREVIOUS: &str = "generation = presented_generation + 1 AND previous_hash = presented_hash \
    AND (now < rotated_at + grace OR nonce = next_nonce)";

/// What is asked, one row for each token. No name is that of a column of `grants`.
const ASKED: &str = "WITH asked (grant_id, presented_generation, presented_hash, next_hash, next_nonce, next_ends, \
    keep_until, now, grace, token_incarnation, token_epoch, next_content) AS (";

const COLUMNS: usize = 12;

// All expressions see the row as it was, under its lock; a row that another refresh changes meanwhile is looked at again.
// A token above the row's generation changes nothing: it was issued before the database was restored.
const ROTATE: &str = concatcp!(
    ") UPDATE grants SET revoked_at = CASE WHEN ",
    CURRENT,
    " THEN NULL WHEN ",
    PREVIOUS,
    " THEN NULL ELSE now END, \
     generation = CASE WHEN ",
    CURRENT,
    " THEN generation + 1 ELSE generation END, \
     refresh_hash = CASE WHEN ",
    CURRENT,
    " THEN next_hash ELSE refresh_hash END, \
     previous_hash = CASE WHEN ",
    CURRENT,
    " THEN refresh_hash ELSE previous_hash END, \
     nonce = CASE WHEN ",
    CURRENT,
    " THEN next_nonce ELSE nonce END, \
     rotated_at = CASE WHEN ",
    CURRENT,
    " THEN now ELSE rotated_at END, \
     refresh_expires_at = CASE WHEN ",
    CURRENT,
    " THEN next_ends ELSE refresh_expires_at END, \
     content = CASE WHEN next_content IS NOT NULL AND ",
    CURRENT,
    " THEN next_content ELSE content END, \
     expires_at = CASE WHEN ",
    CURRENT,
    " AND keep_until > expires_at THEN keep_until ELSE expires_at END \
     FROM asked WHERE id = grant_id AND generation >= presented_generation AND revoked_at IS NULL \
     AND refresh_expires_at > now AND incarnation = token_incarnation AND epoch = token_epoch \
     AND EXISTS (SELECT 1 FROM clients c \
     WHERE c.id = grants.client_id AND c.incarnation = token_incarnation AND c.epoch = token_epoch) \
     AND NOT ",
    HITS_GRANT,
    " RETURNING client_id, subject, session_id, content, generation, nonce, rotated_at, refresh_expires_at, \
     started_at, revoked_at, id"
);

static TEXT: LazyLock<BatchText> = LazyLock::new(|| BatchText::new(ASKED, COLUMNS, ROTATE));

impl Store {
    /// Replaces a grant's refresh token by the next one. One statement, which refreshes that come meanwhile share, and
    /// on PostgreSQL one that touches no index where the row's page has room.
    ///
    /// # Guarantees
    /// Of any number of refreshes with one token, on any number of servers, one rotates it. In the grace period all
    /// others are told its nonce, so that they can give the same refresh token. After that, presenting a token that was
    /// replaced revokes the grant.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: whether the token was rotated is not known, and the same operation may be repeated.
    pub async fn rotate_refresh_token(&self, rotation: &RefreshRotation) -> Result<RefreshOutcome, Error> {
        let refresh = Refresh { rotation: rotation.clone(), now: self.clock().now() };
        self.lines().refreshes.call(refresh).await
    }
}

/// A refresh on its way to the database.
pub(crate) struct Refresh {
    rotation: RefreshRotation,
    now: Timestamp,
}

impl Coalesced for Refresh {
    type Outcome = RefreshOutcome;

    const OPERATION: &'static str = "refresh a grant";

    const WRITES: bool = true;

    fn key(&self) -> [u8; 16] {
        *self.rotation.grant_id.as_bytes()
    }

    async fn execute(database: &Database, batch: &[Self]) -> Result<Vec<RefreshOutcome>, Error> {
        let mut query = database.query(TEXT.of(batch.len()));
        for Self { rotation, now } in batch {
            query = query
                .bind(rotation.grant_id.as_bytes().to_vec())
                .bind(rotation.generation)
                .bind(rotation.presented_hash.to_vec())
                .bind(rotation.next_hash.to_vec())
                .bind(rotation.nonce.to_vec())
                .bind(rotation.expires_at.as_second())
                .bind(rotation.keep_until.as_second())
                .bind(now.as_second())
                .bind(i64::from(u32::try_from(rotation.grace.as_secs()).unwrap_or(u32::MAX)))
                .bind(rotation.incarnation.0)
                .bind(rotation.epoch)
                .bind(rotation.content.clone());
        }
        let rows = by_key(database.fetch_all(query).await?, ID)?;
        batch.iter().map(|refresh| outcome(rows.get(&refresh.key()), &refresh.rotation)).collect()
    }
}

/// Where a row of the answer has the grant's id.
const ID: usize = 10;

fn outcome(row: Option<&AnyRow>, rotation: &RefreshRotation) -> Result<RefreshOutcome, Error> {
    let Some(row) = row else { return Ok(RefreshOutcome::Refused) };
    if row.try_get::<Option<i64>, _>(9)?.is_some() {
        return Ok(RefreshOutcome::Reused);
    }
    let grant = refreshed(row)?;
    Ok(if grant.nonce == rotation.nonce {
        RefreshOutcome::Rotated(grant)
    } else {
        RefreshOutcome::Repeated(grant)
    })
}

fn refreshed(row: &AnyRow) -> Result<RefreshedGrant, Error> {
    Ok(RefreshedGrant {
        client_id: client_id(row, 0)?,
        subject: row.try_get(1)?,
        session_id: session_id(row, 2)?,
        content: row.try_get(3)?,
        generation: row.try_get(4)?,
        nonce: bytes(row, 5)?,
        rotated_at: instant(row, 6)?,
        refresh_expires_at: instant(row, 7)?,
        started_at: instant(row, 8)?,
    })
}
