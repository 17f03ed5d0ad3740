//! Refresh tokens of Hydra's that may still be used: each becomes the first token of a grant.

use jiff::Timestamp;
use jose::HydraSecret;
use oauth::imported_token::refresh_hash;
use oauth::{ClientId, GrantId, ImportedToken};
use sqlx::{Any, Transaction};

use super::report::ImportCount;
use super::session::Session;
use super::source::{HydraDatabase, Row};
use super::token_family::{FamilyPlan, FamilyToken, PlannedGrant, began, plan};
use super::value::text;
use super::{KnownClient, Run};
use crate::database::bounded;
use crate::imported::{ImportedGrant, ImportedRow};
use crate::revocations::KEPT_FOR_IMPORTS;
use crate::{Error, Store};

const KIND: &str = "refresh token";

/// What is to be written of a family.
struct Decided {
    family: Vec<FamilyToken>,
    client: KnownClient,
    grants: Vec<(ImportedGrant, PlannedGrant)>,
    used: Vec<(usize, GrantId)>,
}

impl Decided {
    /// True where rows are changed that servers may be changing at the same time.
    fn changes_rows(&self) -> bool {
        self.grants.iter().any(|(_, planned)| planned.follows.is_some())
    }
}

impl Run<'_> {
    /// Takes over the refresh tokens.
    pub(super) async fn refresh_tokens(
        &mut self,
        hydra: &mut HydraDatabase,
        now: Timestamp,
    ) -> Result<(), Error> {
        let (mut count, mut after) = (ImportCount::of("refresh tokens"), (String::new(), String::new()));
        let mut waiting: Vec<Row> = Vec::new();
        loop {
            let rows = hydra.refresh_tokens((&after.0, &after.1)).await?;
            let is_last = rows.is_empty();
            if let Some(last) = rows.last() {
                after = (text(last, "request_id").to_owned(), text(last, "signature").to_owned());
            }
            waiting.extend(rows);
            // The last family may go on in the next page.
            let whole = waiting.partition_point(|row| is_last || text(row, "request_id") != after.0);
            let families: Vec<Row> = waiting.drain(..whole).collect();
            let mut decided = Vec::new();
            for family in families.chunk_by(|a, b| text(a, "request_id") == text(b, "request_id")) {
                decided.extend(self.family(family.to_vec(), now, &mut count).await?);
            }
            self.write(&decided, &mut count).await?;
            if is_last {
                break;
            }
        }
        self.report.counts.push(count);
        Ok(())
    }

    async fn family(
        &mut self,
        rows: Vec<Row>,
        now: Timestamp,
        count: &mut ImportCount,
    ) -> Result<Option<Decided>, Error> {
        let active = |row: &Row| row.get("active").and_then(serde_json::Value::as_bool).unwrap_or(false);
        count.found += rows.iter().filter(|row| active(row)).count() as u64;
        let mut family = Vec::new();
        for row in rows {
            let (name, was_active) = (name(&row), active(&row));
            match FamilyToken::read(row) {
                Some(token) => family.push(token),
                None if was_active => self.refuse(count, name, "its signature or its time cannot be read"),
                None => {}
            }
        }
        family.sort_by_key(|token| std::cmp::Reverse(token.issued_at));
        let mut ended_here = false;
        if let Some(store) = self.import.store {
            for token in &mut family {
                token.before = store.imported_before(token.id()).await?;
            }
            if family.iter().any(|token| token.active && token.before.is_none()) {
                ended_here =
                    store.has_revoked_grant(family.iter().filter_map(FamilyToken::any_grant)).await?;
            }
        }
        Ok(self.decide(family, ended_here, now, count))
    }

    /// Writes families: in one transaction all that only add rows, each other one in its own, so that it never waits for
    /// two rows that a server holds in another order.
    async fn write(&mut self, decided: &[Decided], count: &mut ImportCount) -> Result<(), Error> {
        count.taken_over += decided.iter().map(|family| family.grants.len() as u64).sum::<u64>();
        let Some(store) = self.import.store.filter(|_| !self.import.dry_run) else { return Ok(()) };
        let (changing, adding): (Vec<_>, Vec<_>) = decided.iter().partition(|family| family.changes_rows());
        let transactions = changing.chunks(1).chain((!adding.is_empty()).then_some(adding.as_slice()));
        let mut refused = Vec::new();
        for families in transactions {
            refused.extend(store.import_families(families, self.import.secrets).await?);
        }
        count.taken_over -= refused.len() as u64;
        for name in refused {
            let why = "what it would stand for is here already, and was used or ended here since";
            self.refuse(count, name, why);
        }
        Ok(())
    }

    /// What is to be written; `None` where nothing is. Of a family of which something was `ended_here`, no token counts that
    /// was not taken over by then.
    fn decide(
        &mut self,
        family: Vec<FamilyToken>,
        ended_here: bool,
        now: Timestamp,
        count: &mut ImportCount,
    ) -> Option<Decided> {
        let FamilyPlan { grants: mut planned, mut used, known } = plan(&family);
        count.here_already += known.len() as u64;
        let row = &family.first()?.row;
        let client_id = ClientId::parse(text(row, "client_id")).ok();
        let client = client_id.and_then(|id| self.clients.get(&id).map(|client| (id, *client)));
        let Some((client_id, client)) = client else {
            for planned in &planned {
                let why = "its client was not taken over, or is gone";
                self.refuse(count, name(&family[planned.token].row), why);
            }
            return None;
        };
        if ended_here || family.iter().any(|token| token.is_of_former(client)) {
            for planned in planned.drain(..) {
                let why = "what was taken over of the same login was ended here since";
                self.refuse(count, name(&family[planned.token].row), why);
            }
        }
        let mut grants = Vec::new();
        for planned in planned {
            match self.grant(&family, &planned, (client_id.clone(), client), now) {
                Ok(Some(grant)) => grants.push((grant, planned)),
                Ok(None) => count.ended += 1,
                Err(why) => self.refuse(count, name(&family[planned.token].row), why),
            }
        }
        let has_grant = |grant| {
            grants.iter().any(|(_, planned)| planned.grant == grant)
                || family.iter().any(|token| token.any_grant() == Some(grant))
        };
        used.retain(|(_, grant)| has_grant(*grant));
        if grants.is_empty() && used.is_empty() {
            return None;
        }
        Some(Decided { family, client, grants, used })
    }

    /// The grant of a token; `None` where the token has ended.
    fn grant(
        &self,
        family: &[FamilyToken],
        planned: &PlannedGrant,
        client: (ClientId, KnownClient),
        now: Timestamp,
    ) -> Result<Option<ImportedGrant>, String> {
        let token = &family[planned.token];
        let session = Session::read(&token.row, self.import.secrets)?;
        let expires_at = session.refresh_token_ends();
        if expires_at.is_some_and(|at| at <= now) {
            return Ok(None);
        }
        let started_at = began(family);
        let grant = session.grant(&token.row, client, (planned.grant, started_at))?;
        Ok(Some(ImportedGrant { grant, started_at, hash: refresh_hash(&token.signature), expires_at }))
    }

    fn refuse(&mut self, count: &mut ImportCount, name: String, why: impl Into<String>) {
        count.left_out += 1;
        self.report.problem(KIND, name, why);
    }
}

/// Whose token it is, and of which login: not what it is.
fn name(row: &Row) -> String {
    format!("{} for {} ({})", text(row, "subject"), text(row, "client_id"), text(row, "request_id"))
}

impl Store {
    /// Writes families in one transaction, and gives the names of the tokens that were not taken over.
    async fn import_families(
        &self,
        families: &[&Decided],
        secrets: &[HydraSecret],
    ) -> Result<Vec<String>, Error> {
        let mut loan = self.db().loan().await?;
        let mut tx = loan.begin().await?;
        self.keep_secrets(&mut tx, secrets).await?;
        let mut refused = Vec::new();
        for decided in families {
            refused.extend(self.import_family(&mut tx, decided).await?);
        }
        bounded(tx.commit()).await?;
        Ok(refused)
    }

    async fn import_family(
        &self,
        tx: &mut Transaction<'_, Any>,
        decided: &Decided,
    ) -> Result<Vec<String>, Error> {
        let (family, mut refused, mut lost) = (&decided.family, Vec::new(), Vec::new());
        for (grant, planned) in &decided.grants {
            let written = match planned.follows {
                Some(former) => {
                    let former = refresh_hash(&family[former].signature);
                    self.follow_imported_grant(tx, grant, &former).await?
                }
                None => self.insert_imported_grant(tx, grant).await?,
            };
            let token = &family[planned.token];
            if !written {
                lost.push(planned.grant);
                refused.push(name(&token.row));
                continue;
            }
            let means = means(token, decided.client, (planned.grant, false), grant.expires_at);
            let row =
                ImportedRow { id: token.id(), token: Some(&means), expires_at: kept_until(grant.expires_at) };
            self.note(tx, &row).await?;
        }
        self.note_used(tx, decided, &lost).await?;
        Ok(refused)
    }

    /// Notes the tokens that were used, but those of `lost` grants.
    async fn note_used(
        &self,
        tx: &mut Transaction<'_, Any>,
        decided: &Decided,
        lost: &[GrantId],
    ) -> Result<(), Error> {
        // They are of use for as long as there is something to end.
        let known = decided.family.iter().filter_map(|token| match token.before {
            Some(ImportedToken::Refresh { expires_at, .. }) => {
                Some(expires_at.and_then(|at| Timestamp::from_second(at).ok()))
            }
            _ => None,
        });
        let new = decided.grants.iter().map(|(grant, _)| grant.expires_at);
        let ends = new.chain(known).max_by_key(|at| at.unwrap_or(Timestamp::MAX));
        for (at, grant) in decided.used.iter().filter(|(_, grant)| !lost.contains(grant)) {
            let token = &decided.family[*at];
            let means = means(token, decided.client, (*grant, true), ends.flatten());
            if token.before.is_some() {
                self.note_anew(tx, token.id(), &means).await?;
            } else {
                let row = ImportedRow {
                    id: token.id(),
                    token: Some(&means),
                    expires_at: kept_until(ends.flatten()),
                };
                self.note(tx, &row).await?;
            }
        }
        Ok(())
    }
}

/// Until when a token's row is kept that ends at `expires_at`: a later run is to know which grants a family had.
fn kept_until(expires_at: Option<Timestamp>) -> Option<Timestamp> {
    expires_at.map(|at| at.saturating_add(KEPT_FOR_IMPORTS).unwrap_or(Timestamp::MAX))
}

/// What a token stands for here.
fn means(
    token: &FamilyToken,
    client: KnownClient,
    (grant, used): (GrantId, bool),
    expires_at: Option<Timestamp>,
) -> ImportedToken {
    ImportedToken::Refresh {
        grant,
        used,
        incarnation: client.incarnation,
        epoch: client.epoch,
        issued_at: token.issued_at.as_second(),
        expires_at: expires_at.map(Timestamp::as_second),
    }
}
