//! Hydra's clients: the document that a row stands for, and its secrets.

use std::time::Duration;

use jiff::Timestamp;
use jose::{Entropy, KeyRing};
use oauth::go_duration::GoDuration;
use oauth::imported_token::signature_of;
use oauth::{ClientId, ClientRegistration, ClientSecretHash, GrantType, ImportedHash, Incarnation, ScopeSet};
use serde_json::{Map, Value};

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
        let taken = match self.target() {
            None => self.client_before(&id).await?,
            Some(store) => {
                let new = client.into_new(store.ring(), store.entropy(), self.import.registration_tokens);
                store.import_client(&new, self.import.secrets).await?
            }
        };
        match taken {
            Taken::Over => count.taken_over += 1,
            Taken::Before => count.here_already += 1,
            Taken::Exists => {
                count.here_already += 1;
                self.report.problem(
                    KIND,
                    id.as_str(),
                    "a client of this id is here already, and stays as it is",
                );
            }
        }
        let here = match self.import.store {
            Some(store) => store.read_client(&id).await?.map(|row| (row.incarnation, row.epoch)),
            None => None,
        };
        match here {
            Some((incarnation, epoch)) => {
                self.clients.insert(id.clone(), KnownClient { incarnation, epoch });
            }
            // Taken over before and deleted here since: what belonged to it stays away too.
            None if taken != Taken::Over => {}
            None => {
                self.clients.insert(id.clone(), KnownClient { incarnation: Incarnation(0), epoch: 0 });
            }
        }
        if taken == Taken::Over {
            for note in notes {
                self.report.problem(KIND, id.as_str(), note);
            }
        }
        Ok(())
    }

    /// What would become of a client.
    async fn client_before(&self, id: &ClientId) -> Result<Taken, Error> {
        let Some(store) = self.import.store else { return Ok(Taken::Over) };
        if store.is_imported(ImportedClient::row(id.as_str())).await? {
            return Ok(Taken::Before);
        }
        Ok(if store.read_client(id).await?.is_some() { Taken::Exists } else { Taken::Over })
    }
}

impl HydraClient {
    /// The client that it becomes.
    fn into_new(self, ring: &KeyRing, entropy: &Entropy, with_registration_token: bool) -> ImportedClient {
        let incarnation = Incarnation(i64::from_be_bytes(entropy.bytes()));
        let bound = |hash| ClientSecretHash::of_imported(ring, &self.id, incarnation, hash);
        ImportedClient {
            former: self.former.into_iter().map(bound).collect(),
            created_at: self.created_at.unwrap_or(Timestamp::UNIX_EPOCH),
            registration: self.registration_token.filter(|_| with_registration_token),
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
