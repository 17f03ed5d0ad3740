//! Taking over grants, of which another server issued refresh tokens.

use std::collections::BTreeSet;

use const_format::concatcp;
use jiff::Timestamp;
use oauth::GrantId;
use oauth::grant::Grant;
use sqlx::{Any, Transaction};

use crate::database::bounded;
use crate::revocations::HITS_GRANT;
use crate::{Error, Store};

const IS_REVOKED: &str =
    concatcp!("SELECT 1 FROM grants WHERE id = $1 AND (revoked_at IS NOT NULL OR ", HITS_GRANT, ")");

/// A grant of another server, whose refresh token is to be its first one here.
#[derive(Debug, Clone)]
pub(crate) struct ImportedGrant {
    pub(crate) grant: Grant,
    pub(crate) started_at: Timestamp,
    /// What the row knows of the refresh token.
    pub(crate) hash: [u8; 32],
    /// When that ends; `None` where it lives until it is revoked.
    pub(crate) expires_at: Option<Timestamp>,
}

impl ImportedGrant {
    fn ends(&self) -> i64 {
        self.expires_at.unwrap_or(Timestamp::MAX).as_second()
    }
}

impl Store {
    /// Inserts a grant; false where there is one of its id, or a tombstone.
    pub(crate) async fn insert_imported_grant(
        &self,
        tx: &mut Transaction<'_, Any>,
        new: &ImportedGrant,
    ) -> Result<bool, Error> {
        let grant = &new.grant;
        let query = self
            .db()
            .query(
                "INSERT INTO grants (id, client_id, incarnation, epoch, subject, session_id, code_id, operation, \
                 content, started_at, created_at, generation, refresh_hash, refresh_expires_at, expires_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, $12, $13, $13) \
                 ON CONFLICT (id) DO NOTHING",
            )
            .bind(grant.id.as_bytes().to_vec())
            .bind(grant.client_id.to_string())
            .bind(grant.incarnation.0)
            .bind(grant.epoch)
            .bind(grant.login.subject.clone())
            .bind(grant.login.session_id.to_string())
            // No code was exchanged here, and none will be.
            .bind(self.entropy().bytes::<16>().to_vec())
            .bind(self.entropy().bytes::<16>().to_vec())
            .bind(grant.seal(self.ring(), self.entropy()))
            .bind(new.started_at.as_second())
            .bind(self.clock().now().as_second())
            .bind(new.hash.to_vec())
            .bind(new.ends());
        Ok(bounded(query.execute(&mut **tx)).await?.rows_affected() == 1)
    }

    /// True where one of these grants was revoked.
    pub(crate) async fn has_revoked_grant(
        &self,
        grants: impl IntoIterator<Item = GrantId>,
    ) -> Result<bool, Error> {
        for id in BTreeSet::from_iter(grants) {
            let query = self.db().query(IS_REVOKED).bind(id.as_bytes().to_vec());
            if self.db().fetch_optional(query).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Puts a newer refresh token of the other server in the place of the one that was taken over before, `former`;
    /// false where that was used here meanwhile, or the grant was revoked.
    pub(crate) async fn follow_imported_grant(
        &self,
        tx: &mut Transaction<'_, Any>,
        new: &ImportedGrant,
        former: &[u8; 32],
    ) -> Result<bool, Error> {
        let query = self
            .db()
            .query(
                "UPDATE grants SET content = $3, refresh_hash = $4, refresh_expires_at = $5, \
                 expires_at = CASE WHEN $5 > expires_at THEN $5 ELSE expires_at END \
                 WHERE id = $1 AND generation = 0 AND refresh_hash = $2 AND revoked_at IS NULL",
            )
            .bind(new.grant.id.as_bytes().to_vec())
            .bind(former.to_vec())
            .bind(new.grant.seal(self.ring(), self.entropy()))
            .bind(new.hash.to_vec())
            .bind(new.ends());
        Ok(bounded(query.execute(&mut **tx)).await?.rows_affected() == 1)
    }
}
