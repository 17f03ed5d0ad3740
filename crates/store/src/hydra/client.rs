//! Hydra's clients: the document that a row stands for, and its secrets.

use std::time::Duration;

use jiff::Timestamp;
use jose::KeyRing;
use oauth::go_duration::GoDuration;
use oauth::imported_token::signature_of;
use oauth::{ClientId, ClientRegistration, ClientSecretHash, GrantType, ImportedHash, Incarnation, ScopeSet};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::report::ImportCount;
use super::source::{HydraDatabase, Row};
use super::value::{instant, list, text};
use super::{KnownClient, Run};
use crate::imported::{ImportedClient, Taken};
use crate::{Error, NewClient};

const KIND: &str = "client";

/// What the row of a client says.
#[derive(Debug)]
struct HydraClient {
    id: ClientId,
    registration: ClientRegistration,
    secret: Option<ImportedHash>,
    former: Vec<ImportedHash>,
    created_at: Option<Timestamp>,
    registration_token: Option<[u8; 32]>,
    /// Of the whole row.
    digest: [u8; 32],
    /// What of it is not taken over.
    notes: Vec<String>,
}

impl Run<'_> {
    /// Takes over the clients.
    pub(super) async fn clients(&mut self, hydra: &mut HydraDatabase) -> Result<(), Error> {
        let (mut count, mut after) = (ImportCount::of("clients"), String::new());
        loop {
            let rows = hydra.clients(&after).await?;
            let Some(last) = rows.last() else { break };
            text(last, "id").clone_into(&mut after);
            for row in rows {
                count.found += 1;
                let id = text(&row, "id").to_owned();
                match read(row) {
                    Ok(client) => self.client(client, &mut count).await?,
                    Err(why) => {
                        count.left_out += 1;
                        self.report.problem(KIND, id, why);
                    }
                }
            }
        }
        self.report.counts.push(count);
        Ok(())
    }

    async fn client(&mut self, client: HydraClient, count: &mut ImportCount) -> Result<(), Error> {
        let (id, notes) = (client.id.clone(), client.notes.clone());
        let here = match self.import.store {
            Some(store) => store.read_client(&id).await?,
            None => None,
        };
        let taken = if let Some(store) = self.import.store {
            let incarnation = here.as_ref().map(|here| here.incarnation);
            let incarnation =
                incarnation.unwrap_or_else(|| Incarnation(i64::from_be_bytes(store.entropy().bytes())));
            let new = client.into_new(store.ring(), incarnation, self.import.registration_tokens);
            if self.import.dry_run {
                store.plan_client_import(&new, here.as_ref()).await?
            } else {
                store.import_client(&new, here.as_ref(), self.import.secrets).await?
            }
        } else {
            Taken::Over
        };
        let here = match self.target() {
            Some(store) => store.read_client(&id).await?,
            None => here,
        };
        let known = here.map(|here| KnownClient { incarnation: here.incarnation, epoch: here.epoch });
        let expected =
            (taken == Taken::Over).then_some(KnownClient { incarnation: Incarnation(0), epoch: 0 });
        // Where it was taken over before and deleted here since, what belonged to it stays away too.
        if let Some(known) = known.or(expected) {
            self.clients.insert(id.clone(), known);
        }
        self.tell(&id, taken, notes, count);
        Ok(())
    }

    /// Counts a client, and names what somebody has to know of it.
    fn tell(&mut self, id: &ClientId, taken: Taken, notes: Vec<String>, count: &mut ImportCount) {
        let problems = match taken {
            Taken::Over | Taken::Followed => notes,
            Taken::Before => Vec::new(),
            Taken::Exists => vec!["a client of this id is here already, and stays as it is".to_owned()],
            Taken::Diverged => vec![
                "it was changed at Hydra since it was taken over, and here as well: it stays as it is here"
                    .to_owned(),
            ],
        };
        match taken {
            Taken::Over | Taken::Followed => count.taken_over += 1,
            Taken::Before | Taken::Exists | Taken::Diverged => count.here_already += 1,
        }
        for problem in problems {
            self.report.problem(KIND, id.as_str(), problem);
        }
    }
}

impl HydraClient {
    /// The client that it becomes.
    fn into_new(
        self,
        ring: &KeyRing,
        incarnation: Incarnation,
        with_registration_token: bool,
    ) -> ImportedClient {
        let bound = |hash| ClientSecretHash::of_imported(ring, &self.id, incarnation, hash);
        ImportedClient {
            former: self.former.into_iter().map(bound).collect(),
            created_at: self.created_at.unwrap_or(Timestamp::UNIX_EPOCH),
            registration: self.registration_token.filter(|_| with_registration_token),
            digest: self.digest,
            new: NewClient {
                secret: self.secret.map(bound),
                incarnation,
                metadata: self.registration.metadata,
                manager: None,
                deleted_with_manager: false,
                spec_hash: String::new(),
                handled_rotate_secret: None,
                // Hydra does not tell which ones did.
                self_registered: false,
                id: self.id,
            },
        }
    }
}

fn read(mut row: Row) -> Result<HydraClient, String> {
    let id = ClientId::parse(text(&row, "id")).map_err(|error| format!("id: {error}"))?;
    let digest = Sha256::digest(serde_json::to_vec(&row).map_err(|error| error.to_string())?).into();
    let mut notes = Vec::new();
    let document = document(&mut row, &mut notes)?;
    let registration = ClientRegistration::parse(document, &ScopeSet::default());
    let registration = registration.map_err(|error| error.description.into_owned())?;
    let has_secret = registration.metadata.token_endpoint_auth_method.has_secret();
    let secret = if has_secret {
        let hash = text(&row, "client_secret").parse::<ImportedHash>();
        Some(hash.map_err(|error| format!("client_secret: {error}"))?)
    } else {
        None
    };
    let mut former = Vec::new();
    for hash in list(&row, "rotated_secrets").iter().filter(|_| has_secret) {
        match hash.parse() {
            Ok(hash) => former.push(hash),
            Err(error) => notes.push(format!("without one of its rotated secrets: {error}")),
        }
    }
    Ok(HydraClient {
        id,
        registration,
        secret,
        former,
        created_at: instant(&row, "created_at"),
        registration_token: signature_of(text(&row, "registration_access_token_signature")),
        digest,
        notes,
    })
}

/// What the admin API of Hydra shows of a client, without its id and its secret.
fn document(row: &mut Row, notes: &mut Vec<String>) -> Result<Map<String, Value>, String> {
    let mut document = Map::new();
    let names =
        ["id", "client_secret", "rotated_secrets", "registration_access_token_signature", "created_at"];
    for (name, value) in row.iter().filter(|(name, _)| !names.contains(&name.as_str())) {
        let value = match (name.as_str(), value) {
            ("jwks" | "metadata", Value::String(text)) if text.is_empty() => Value::Null,
            ("jwks" | "metadata", Value::String(text)) => {
                serde_json::from_str(text).map_err(|_| format!("{name}: it is no JSON"))?
            }
            (_, Value::Number(nanos)) if name.ends_with("_lifespan") => {
                let nanos = nanos.as_u64().ok_or_else(|| format!("{name}: it is negative"))?;
                GoDuration(Duration::from_nanos(nanos)).to_string().into()
            }
            ("grant_types", Value::Array(types)) => served(types, notes),
            (_, value) => value.clone(),
        };
        document.insert(name.clone(), value);
    }
    Ok(document)
}

/// The grant types that there are here: one that there is none of was of no use to the client either.
fn served(types: &[Value], notes: &mut Vec<String>) -> Value {
    let is_known = |value: &&Value| value.as_str().is_some_and(|name| name.parse::<GrantType>().is_ok());
    for unknown in types.iter().filter(|value| !is_known(value)) {
        notes.push(format!("without the grant type {unknown}, which is not served"));
    }
    types.iter().filter(is_known).cloned().collect()
}

#[cfg(test)]
mod tests;
