//! Forgetting what has expired, in bites that are bounded in the time for which they hold locks.
//!
//! A row is kept for ten minutes after it expired: a server whose clock is behind may still ask for it. Tables with an
//! index on the expiry are asked for what is due. The others are walked through by their key, from one end to the other,
//! once an hour by one of all servers.

use const_format::concatcp;
use jiff::{SignedDuration, Timestamp};
use oauth::GrantId;
use sqlx::Row;

use crate::grants::bytes;
use crate::revocations::KEPT_FOR_IMPORTS;
use crate::{Error, Store};

/// How many rows one statement looks at or removes.
const BITE: i64 = 1000;

/// How long after its expiry a row is kept.
const SAFETY: SignedDuration = SignedDuration::from_mins(10);

/// How long after the start of a walk the next one starts. Between them lies no more than what an hour leaves.
const WALK_EVERY: SignedDuration = SignedDuration::from_hours(1);

const REMOVE_CONSENTS: &str = "DELETE FROM consents WHERE subject > $1 \
    AND (expires_at < $2 OR NOT EXISTS (SELECT 1 FROM clients c \
    WHERE c.id = consents.client_id AND c.incarnation = consents.incarnation))";

const REMOVE_CONSENTS_UP_TO: &str = concatcp!(REMOVE_CONSENTS, " AND subject <= $3");

// A beginning in the future is of a server whose clock was wrong.
const CLAIM_WALK: &str = "INSERT INTO upkeep (name, began_at) VALUES ('purge', $1) \
    ON CONFLICT (name) DO UPDATE SET began_at = excluded.began_at \
    WHERE upkeep.began_at <= $2 OR upkeep.began_at > excluded.began_at";

/// How far one process has walked through the tables that have no index on the expiry.
#[derive(Debug, Default)]
pub struct PurgeWalk {
    /// One of all processes walks at a time.
    shared: bool,
    /// When this walk began.
    began: Option<Timestamp>,
    /// Up to where each table is done; `None` before the first bite.
    grants: Option<GrantId>,
    consents: Option<String>,
    grants_done: bool,
    consents_done: bool,
}

impl PurgeWalk {
    /// One of a server, which leaves the walk to another server where that has begun one in this hour. Should that one not
    /// come to the end of it, the next walk removes what it left.
    pub fn shared() -> Self {
        Self { shared: true, ..Self::default() }
    }

    /// True where the last walk is done and began long enough ago.
    fn is_due(&self, now: Timestamp) -> bool {
        let is_done = self.grants_done && self.consents_done;
        self.began.is_none_or(|began| is_done && now.duration_since(began) >= WALK_EVERY)
    }
}

impl Store {
    /// Takes one bite of what has expired in every table: revoked tokens, used assertions, trusted issuers, revocations,
    /// ends of logins, remembered logins and consents, parked values, what devices asked for, tokens that were taken over,
    /// grants. True where more may
    /// be left. The grants that an expired revocation hits are marked before it is forgotten.
    ///
    /// # Guarantees
    /// Nothing is removed in the first ten minutes after it expired; a grant is not, however it ended, before all that
    /// refers to it has expired. Any number of servers may do this on one database.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; what was done stays done.
    pub async fn purge(&self, walk: &mut PurgeWalk) -> Result<bool, Error> {
        let now = self.clock().now();
        let due = now.saturating_sub(SAFETY).unwrap_or(Timestamp::MIN).as_second();
        if walk.is_due(now) {
            let is_others = walk.shared && !self.claim_walk(now).await?;
            *walk = PurgeWalk {
                shared: walk.shared,
                began: Some(now),
                grants_done: is_others,
                consents_done: is_others,
                ..PurgeWalk::default()
            };
        }
        let mut more = false;
        for expired in [
            "DELETE FROM revoked_tokens WHERE id IN (SELECT id FROM revoked_tokens WHERE expires_at < $1 LIMIT $2)",
            "DELETE FROM used_assertions WHERE id IN \
             (SELECT id FROM used_assertions WHERE expires_at < $1 LIMIT $2)",
            "DELETE FROM trusted_issuers WHERE id IN \
             (SELECT id FROM trusted_issuers WHERE expires_at < $1 LIMIT $2)",
            "DELETE FROM imported WHERE id IN (SELECT id FROM imported WHERE expires_at < $1 LIMIT $2)",
            "DELETE FROM parked WHERE id IN (SELECT id FROM parked WHERE expires_at < $1 LIMIT $2)",
            "DELETE FROM device_authorizations WHERE id IN \
             (SELECT id FROM device_authorizations WHERE expires_at < $1 LIMIT $2)",
            // The expiry once more: a login may be remembered for longer meanwhile.
            "DELETE FROM login_sessions WHERE id IN \
             (SELECT id FROM login_sessions WHERE expires_at < $1 LIMIT $2) AND expires_at < $1",
        ] {
            let query = self.db().query(expired).bind(due).bind(BITE);
            more |= self.db().execute(query).await? == BITE.unsigned_abs();
        }
        more |= self.purge_revocations(due).await?;
        self.purge_imported_secrets().await?;
        more |= self.purge_logouts(due).await?;
        more |= self.walk_grants(due, walk).await?;
        more |= self.walk_consents(due, walk).await?;
        Ok(more)
    }

    /// True where no process has begun a walk for so long that this one may.
    async fn claim_walk(&self, now: Timestamp) -> Result<bool, Error> {
        let before = now.saturating_sub(WALK_EVERY).unwrap_or(Timestamp::MIN);
        let claim = self.db().query(CLAIM_WALK).bind(now.as_second()).bind(before.as_second());
        Ok(self.db().execute(claim).await? == 1)
    }

    /// Marks what the oldest expired revocations hit, then forgets them.
    async fn purge_revocations(&self, due: i64) -> Result<bool, Error> {
        let last_of_a_bite = self
            .db()
            .query("SELECT expires_at FROM revocations WHERE expires_at < $1 ORDER BY expires_at LIMIT 1 OFFSET $2")
            .bind(due)
            .bind(BITE - 1);
        let full = self.db().fetch_optional(last_of_a_bite).await?;
        // None is added at the cut or before it meanwhile: they expire a day after they were written.
        let cut = full.as_ref().map_or(Ok(due - 1), |row| row.try_get(0))?;
        let mark = self
            .db()
            .query(
                "UPDATE grants SET revoked_at = $1 WHERE revoked_at IS NULL AND id IN (\
                 SELECT g.id FROM revocations r JOIN grants g ON g.subject = r.subject \
                 WHERE r.expires_at <= $2 AND g.revoked_at IS NULL AND g.started_at <= r.before \
                 AND (r.client_id IS NULL OR r.client_id = g.client_id) \
                 UNION ALL \
                 SELECT g.id FROM revocations r JOIN grants g ON g.session_id = r.session_id \
                 WHERE r.expires_at <= $2 AND g.revoked_at IS NULL \
                 LIMIT $3)",
            )
            .bind(self.clock().now().as_second())
            .bind(cut)
            .bind(BITE);
        // A grant that two of them hit counts twice in the bite, and once as marked: only none at all is the end of it.
        if self.db().execute(mark).await? > 0 {
            return Ok(true);
        }
        let logins = self
            .db()
            .query(
                "DELETE FROM login_sessions WHERE id IN \
                 (SELECT session_id FROM revocations WHERE expires_at <= $1 AND session_id IS NOT NULL)",
            )
            .bind(cut);
        self.db().execute(logins).await?;
        // Not one that still hits a grant: another server may have marked the same bite, and this one nothing.
        let forget = self
            .db()
            .query(
                "DELETE FROM revocations WHERE expires_at <= $1 \
                 AND NOT EXISTS (SELECT 1 FROM grants g WHERE g.subject = revocations.subject \
                 AND g.revoked_at IS NULL AND g.started_at <= revocations.before \
                 AND (revocations.client_id IS NULL OR revocations.client_id = g.client_id)) \
                 AND NOT EXISTS (SELECT 1 FROM grants g WHERE g.session_id = revocations.session_id \
                 AND g.revoked_at IS NULL)",
            )
            .bind(cut);
        self.db().execute(forget).await?;
        Ok(full.is_some())
    }

    /// Forgets the oldest expired ends of logins, after the remembered logins that they ended.
    async fn purge_logouts(&self, due: i64) -> Result<bool, Error> {
        let last_of_a_bite = self
            .db()
            .query(
                "SELECT expires_at FROM logouts WHERE expires_at < $1 ORDER BY expires_at LIMIT 1 OFFSET $2",
            )
            .bind(due)
            .bind(BITE - 1);
        let full = self.db().fetch_optional(last_of_a_bite).await?;
        let cut: i64 = full.as_ref().map_or(Ok(due - 1), |row| row.try_get(0))?;
        for forget in [
            "DELETE FROM login_sessions WHERE id IN \
             (SELECT session_id FROM logouts WHERE expires_at <= $1 AND client_id = '' AND session_id IS NOT NULL)",
            "DELETE FROM login_sessions WHERE id IN (SELECT s.id FROM logouts o JOIN login_sessions s \
             ON s.subject = o.subject WHERE o.expires_at <= $1 AND o.client_id = '' AND o.ended_at >= s.created_at)",
            "DELETE FROM logouts WHERE expires_at <= $1",
        ] {
            self.db().execute(self.db().query(forget).bind(cut)).await?;
        }
        Ok(full.is_some())
    }

    /// Removes what is due among the next grants, by id.
    async fn walk_grants(&self, due: i64, walk: &mut PurgeWalk) -> Result<bool, Error> {
        if walk.grants_done {
            return Ok(false);
        }
        let after = walk.grants.map_or_else(Vec::new, |id| id.as_bytes().to_vec());
        let last_of_a_bite = self
            .db()
            .query("SELECT id FROM grants WHERE id > $1 ORDER BY id LIMIT 1 OFFSET $2")
            .bind(after.clone())
            .bind(BITE - 1);
        let last = self.db().fetch_optional(last_of_a_bite).await?;
        let last = last.map(|row| bytes(&row, 0).map(GrantId::from_bytes)).transpose()?;
        let up_to = last.unwrap_or_else(|| GrantId::from_bytes([0xff; 16]));
        let remove = self
            .db()
            .query(
                "DELETE FROM grants WHERE id > $1 AND id <= $2 AND expires_at < $3 \
                 AND (revoked_at IS NULL OR revoked_at < $4 OR NOT EXISTS (SELECT 1 FROM imported))",
            )
            .bind(after)
            .bind(up_to.as_bytes().to_vec())
            .bind(due)
            .bind(due - KEPT_FOR_IMPORTS.as_secs());
        self.db().execute(remove).await?;
        walk.grants = Some(up_to);
        walk.grants_done = last.is_none();
        Ok(last.is_some())
    }

    /// Removes what is due among the consents of the next subjects, and what no client is left for.
    async fn walk_consents(&self, due: i64, walk: &mut PurgeWalk) -> Result<bool, Error> {
        if walk.consents_done {
            return Ok(false);
        }
        let after = walk.consents.clone().unwrap_or_default();
        let last_of_a_bite = self
            .db()
            .query("SELECT subject FROM consents WHERE subject > $1 ORDER BY subject LIMIT 1 OFFSET $2")
            .bind(after.clone())
            .bind(BITE - 1);
        let last = self.db().fetch_optional(last_of_a_bite).await?;
        let last = last.map(|row| row.try_get::<String, _>(0)).transpose()?;
        // Two texts: PostgreSQL must know that the range is short when it plans.
        let remove = match &last {
            Some(last) => self.db().query(REMOVE_CONSENTS_UP_TO).bind(after).bind(due).bind(last.clone()),
            None => self.db().query(REMOVE_CONSENTS).bind(after).bind(due),
        };
        self.db().execute(remove).await?;
        walk.consents_done = last.is_none();
        walk.consents = last;
        Ok(!walk.consents_done)
    }
}
