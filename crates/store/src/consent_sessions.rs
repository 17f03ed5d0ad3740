//! What a subject has granted: the grants whose tokens may still live, and the consents that are remembered.
//!
//! Both go by the id of the flow in which they were given: a grant whose consent is remembered too is one session.

use std::collections::BTreeMap;

use const_format::concatcp;
use jiff::Timestamp;
use oauth::GrantId;
use sqlx::Row;

use crate::client_list::listed;
use crate::consents::{consent, joined_consent};
use crate::grants::{bytes, instant};
use crate::revocations::{HITS_GRANT, KEPT_FOR};
use crate::{Error, ListedClient, Store, StoredConsent};

/// What a subject granted in one flow: a grant, a remembered consent, or both.
#[derive(Debug, Clone, PartialEq)]
pub struct ConsentSession {
    /// The flow's id.
    pub id: GrantId,
    /// The client that it was granted to.
    pub client: ListedClient,
    /// The grant, where its tokens may still live.
    pub grant: Option<LiveGrant>,
    /// The consent, where it is remembered.
    pub consent: Option<StoredConsent>,
}

/// A grant whose tokens may still live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveGrant {
    /// What was granted, sealed.
    pub content: Vec<u8>,
    /// When its code was exchanged.
    pub created_at: Timestamp,
}

/// A part of the list.
#[derive(Debug, Clone, PartialEq)]
pub struct ConsentSessionPage {
    /// The sessions, the oldest flow first.
    pub sessions: Vec<ConsentSession>,
    /// The id behind which the next page begins; `None` on the last one.
    pub next: Option<GrantId>,
}

const CLIENT: &str = "c.id, c.metadata, c.created_at, c.updated_at";
const CONSENT: &str =
    "k.client_id, k.incarnation, k.consent_request_id, k.content, k.granted_at, k.expires_at";

const GRANTS: &str = concatcp!(
    "SELECT grants.id, grants.content, grants.created_at, ",
    CLIENT,
    ", ",
    CONSENT,
    " FROM grants JOIN clients c \
     ON c.id = grants.client_id AND c.incarnation = grants.incarnation AND c.epoch = grants.epoch \
     LEFT JOIN consents k ON k.subject = grants.subject AND k.client_id = grants.client_id \
     AND k.consent_request_id = grants.id AND (k.expires_at IS NULL OR k.expires_at > $3) \
     WHERE grants.subject = $1 AND grants.id > $2 AND grants.expires_at > $3 AND grants.revoked_at IS NULL \
     AND NOT ",
    HITS_GRANT,
    " ORDER BY grants.id LIMIT $4"
);

const CONSENTS: &str = concatcp!(
    "SELECT ",
    CONSENT,
    ", ",
    CLIENT,
    " FROM consents k JOIN clients c ON c.id = k.client_id AND c.incarnation = k.incarnation \
     WHERE k.subject = $1 AND k.consent_request_id > $2 AND (k.expires_at IS NULL OR k.expires_at > $3) \
     ORDER BY k.consent_request_id LIMIT $4"
);

impl Store {
    /// What a subject has granted to clients that exist, in flows that began after the one of `after`: at most `size`
    /// of it. Two statements, to the replica where there is one.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn consent_sessions(
        &self,
        subject: &str,
        after: Option<GrantId>,
        size: u16,
    ) -> Result<ConsentSessionPage, Error> {
        let now = self.clock().now().as_second();
        let read = |sql: &'static str| {
            self.fetch_list(move |database| {
                database
                    .query(sql)
                    .bind(subject.to_owned())
                    .bind(after.map_or_else(Vec::new, |id| id.as_bytes().to_vec()))
                    .bind(now)
                    .bind(i64::from(size) + 1)
            })
        };
        let mut sessions = BTreeMap::new();
        for row in read(GRANTS).await? {
            let id = GrantId::from_bytes(bytes(&row, 0)?);
            let grant = LiveGrant { content: row.try_get(1)?, created_at: instant(&row, 2)? };
            let (client, consent) = (listed(&row, 3)?, joined_consent(&row, 7)?);
            sessions.insert(id, ConsentSession { id, client, grant: Some(grant), consent });
        }
        for row in read(CONSENTS).await? {
            let (consent, client) = (consent(&row, 0)?, listed(&row, 6)?);
            let id = consent.consent_request_id;
            let session = ConsentSession { id, client, grant: None, consent: Some(consent) };
            sessions.entry(id).or_insert(session);
        }
        // Each statement found the first of its kind, so what is beyond the page here is beyond it for both.
        let is_last = sessions.len() <= usize::from(size);
        let sessions: Vec<_> = sessions.into_values().take(size.into()).collect();
        let next = if is_last { None } else { sessions.last().map(|last| last.id) };
        Ok(ConsentSessionPage { sessions, next })
    }

    /// Ends what was granted in one flow, its consent among it, and what is still under way of that flow. Two statements;
    /// doing it twice is as good as once.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn revoke_consent(&self, id: GrantId) -> Result<(), Error> {
        let kept_until = self.clock().now().saturating_add(KEPT_FOR).unwrap_or(Timestamp::MAX);
        // First what keeps a consent that is under way from being remembered, then what is remembered.
        self.write_tombstone(id, "", kept_until).await?;
        let forget = self.db().query("DELETE FROM consents WHERE consent_request_id = $1");
        self.db().execute(forget.bind(id.as_bytes().to_vec())).await?;
        Ok(())
    }
}
