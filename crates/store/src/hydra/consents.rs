//! Consents that Hydra remembers.

use futures::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use oauth::consent::RememberedConsent;
use oauth::imported_token::ImportedId;
use oauth::{ClientId, GrantId};
use serde_json::Value;

use super::report::ImportCount;
use super::session::{flow_id, session_id};
use super::source::{HydraDatabase, Row};
use super::value::{audience, instant, scopes, text};
use super::{KnownClient, Run};
use crate::database::bounded;
use crate::imported::ImportedRow;
use crate::{Error, NewConsent, Store, StoredConsent};

const KIND: &str = "consent";

/// What the row of a consent says.
struct HydraConsent {
    id: GrantId,
    noted: ImportedId,
    started_at: Timestamp,
    granted_at: Timestamp,
    remembered: RememberedConsent,
}

impl Run<'_> {
    /// Takes over the remembered consents.
    pub(super) async fn consents(&mut self, hydra: &mut HydraDatabase, now: Timestamp) -> Result<(), Error> {
        let (mut count, mut after) = (ImportCount::of("consents"), (String::new(), String::new()));
        loop {
            let rows = hydra.consents((&after.0, &after.1), now).await?;
            let Some(last) = rows.last() else { break };
            after = (text(last, "subject").to_owned(), text(last, "client_id").to_owned());
            let mut consents = Vec::new();
            for row in &rows {
                count.found += 1;
                match self.consent(row) {
                    Ok(consent) => consents.push(consent),
                    Err(why) => {
                        count.left_out += 1;
                        let name = format!("{} for {}", text(row, "subject"), text(row, "client_id"));
                        self.report.problem(KIND, name, why);
                    }
                }
            }
            let taken = match (self.target(), self.import.store) {
                (Some(store), _) => store.import_consents(&consents).await?,
                (None, Some(store)) => store.new_consents(&consents).await?,
                (None, None) => consents.len() as u64,
            };
            count.taken_over += taken;
            count.here_already += consents.len() as u64 - taken;
        }
        self.report.counts.push(count);
        Ok(())
    }

    fn consent(&self, row: &Row) -> Result<HydraConsent, String> {
        let client_id =
            ClientId::parse(text(row, "client_id")).map_err(|error| format!("client_id: {error}"))?;
        let KnownClient { incarnation, .. } =
            *self.clients.get(&client_id).ok_or("its client was not taken over, or is gone")?;
        let flow = text(row, "consent_challenge_id");
        let started_at = instant(row, "requested_at").ok_or("requested_at: it is no instant")?;
        let seconds = row.get("consent_remember_for").and_then(Value::as_i64).filter(|seconds| *seconds > 0);
        let ends = seconds.map(|seconds| started_at.saturating_add(SignedDuration::from_secs(seconds)));
        let expires_at = ends.map(|ends| ends.unwrap_or(Timestamp::MAX));
        let session_id = session_id(text(row, "login_session_id"), flow);
        Ok(HydraConsent {
            id: flow_id(started_at, &[flow]),
            noted: ImportedId::new(KIND, &[flow.as_bytes()]),
            started_at,
            granted_at: instant(row, "consent_handled_at").unwrap_or(started_at),
            remembered: RememberedConsent {
                subject: text(row, "subject").to_owned(),
                client_id,
                scope: scopes(row, "granted_scope")?,
                audience: audience(row, "granted_at_audience")?,
                incarnation,
                session_id,
                expires_at: expires_at.map(Timestamp::as_second),
            },
        })
    }
}

impl HydraConsent {
    fn to_new(&self, store: &Store) -> NewConsent {
        let expires_at = self.remembered.expires_at.and_then(|second| Timestamp::from_second(second).ok());
        let consent = StoredConsent {
            client_id: self.remembered.client_id.clone(),
            incarnation: self.remembered.incarnation,
            consent_request_id: self.id,
            content: self.remembered.seal(store.ring(), store.entropy()),
            granted_at: self.granted_at,
            expires_at,
        };
        NewConsent { subject: self.remembered.subject.clone(), started_at: self.started_at, consent }
    }
}

impl Store {
    /// Remembers those consents that were not taken over before, and tells how many. Their rows share statements, and are
    /// noted in one transaction after it: remembered twice is as good as once.
    async fn import_consents(&self, consents: &[HydraConsent]) -> Result<u64, Error> {
        let mut new = Vec::new();
        for consent in consents {
            if !self.is_imported(consent.noted).await? {
                new.push(consent);
            }
        }
        let all: Vec<_> = new.iter().map(|consent| consent.to_new(self)).collect();
        try_join_all(all.iter().map(|consent| self.remember_consent(consent))).await?;
        let mut loan = self.db().loan().await?;
        let mut tx = loan.begin().await?;
        for consent in &new {
            self.note(&mut tx, &ImportedRow::of(consent.noted)).await?;
        }
        bounded(tx.commit()).await?;
        Ok(new.len() as u64)
    }

    /// How many of them were not taken over before.
    async fn new_consents(&self, consents: &[HydraConsent]) -> Result<u64, Error> {
        let mut new = 0;
        for consent in consents {
            new += u64::from(!self.is_imported(consent.noted).await?);
        }
        Ok(new)
    }
}
