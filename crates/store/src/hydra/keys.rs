//! Hydra's key sets: opened, and sealed anew.

use jiff::Timestamp;
use jose::{HydraSecret, ImportedKey};
use zeroize::Zeroizing;

use super::Run;
use super::report::ImportCount;
use super::source::{HydraDatabase, Row};
use super::value::{instant, text};
use crate::imported::{AdoptedKey, ImportedRow};
use crate::{Error, KeySetEdit, KeySetEdited, is_token_set};

const KIND: &str = "key";

/// A key of Hydra's, opened.
pub(super) struct HydraKey {
    pub(super) set: String,
    pub(super) kid: String,
    created_at: Timestamp,
    /// Its JWK; `None` where no secret opens it.
    pub(super) jwk: Option<Zeroizing<String>>,
}

/// Reads all keys, the newest of each set first.
///
/// # Errors
/// [`Error::WrongHydraSecret`] where there are keys, and none opens.
pub(super) async fn read(hydra: &mut HydraDatabase, secrets: &[HydraSecret]) -> Result<Vec<HydraKey>, Error> {
    let rows = hydra.keys().await?;
    let keys: Vec<HydraKey> = rows.iter().map(|row| opened(row, secrets)).collect();
    if !keys.is_empty() && keys.iter().all(|key| key.jwk.is_none()) {
        return Err(Error::WrongHydraSecret);
    }
    Ok(keys)
}

fn opened(row: &Row, secrets: &[HydraSecret]) -> HydraKey {
    let jwk = secrets.iter().find_map(|secret| secret.open(text(row, "keydata")).ok());
    let jwk = jwk.and_then(|mut jwk| String::from_utf8(std::mem::take(&mut *jwk)).ok()).map(Zeroizing::new);
    HydraKey {
        set: text(row, "sid").to_owned(),
        kid: text(row, "kid").to_owned(),
        created_at: instant(row, "created_at").unwrap_or(Timestamp::UNIX_EPOCH),
        jwk,
    }
}

impl HydraKey {
    fn import(&self) -> Result<ImportedKey, String> {
        let jwk = self.jwk.as_deref().ok_or("none of the given secrets opens it")?;
        let key = ImportedKey::from_jwk(jwk).map_err(|error| error.to_string())?;
        if key.key_id().as_str() == self.kid { Ok(key) } else { Err("its JWK has another kid".to_owned()) }
    }

    /// The name of a key in the report.
    fn name(&self) -> String {
        format!("{} {}", self.set, self.kid)
    }
}

impl Run<'_> {
    /// Takes over the sets, but for the keys of issuers: those go with their issuers.
    pub(super) async fn keys(
        &mut self,
        keys: &[HydraKey],
        issuers: &[(String, String)],
    ) -> Result<(), Error> {
        let mut count = ImportCount::of("keys");
        let is_an_issuers =
            |key: &&HydraKey| issuers.iter().any(|(set, kid)| (set, kid) == (&key.set, &key.kid));
        let own: Vec<&HydraKey> = keys.iter().filter(|key| !is_an_issuers(key)).collect();
        for set in own.chunk_by(|a, b| a.set == b.set) {
            let mut sound = Vec::new();
            for key in set {
                count.found += 1;
                match key.import() {
                    Ok(imported) => sound.push(AdoptedKey { key: imported, created_at: key.created_at }),
                    Err(why) => {
                        count.left_out += 1;
                        self.report.problem(KIND, key.name(), why);
                    }
                }
            }
            let name = &set[0].set;
            if is_token_set(name) {
                self.token_keys(name, &sound, &mut count).await?;
            } else {
                self.keys_by_hand(name, &sound, &mut count).await?;
            }
        }
        self.report.counts.push(count);
        Ok(())
    }

    async fn token_keys(
        &mut self,
        set: &str,
        keys: &[AdoptedKey],
        count: &mut ImportCount,
    ) -> Result<(), Error> {
        let Some(store) = self.import.store else {
            count.taken_over += keys.len() as u64;
            return Ok(());
        };
        let adoption = store.adopt_token_keys(set, keys, self.import.dry_run).await?;
        count.taken_over += adoption.taken.len() as u64;
        count.here_already += adoption.known.len() as u64;
        count.left_out += adoption.refused.len() as u64;
        for kid in &adoption.refused {
            self.report.problem(KIND, format!("{set} {kid}"), "a key of the other token set has its name");
        }
        if adoption.verifies_alone && !adoption.taken.is_empty() {
            let why = "the set was here already: its own key goes on signing, and Hydra's verify";
            self.report.problem("key set", set, why);
        }
        Ok(())
    }

    async fn keys_by_hand(
        &mut self,
        set: &str,
        keys: &[AdoptedKey],
        count: &mut ImportCount,
    ) -> Result<(), Error> {
        for AdoptedKey { key, .. } in keys {
            let row = AdoptedKey::row(set, key.key_id().as_str());
            if let Some(store) = self.import.store
                && store.is_imported(row).await?
            {
                count.here_already += 1;
                continue;
            }
            let Some(store) = self.target() else {
                count.taken_over += 1;
                continue;
            };
            let why = match store.edit_key_set(set, KeySetEdit::Add(key)).await {
                Ok(KeySetEdited::Done) => {
                    store.note_alone(&ImportedRow::of(row)).await?;
                    count.taken_over += 1;
                    continue;
                }
                Ok(KeySetEdited::Exists) => {
                    count.here_already += 1;
                    continue;
                }
                Ok(KeySetEdited::Turned) => "the set is here already, and turned by a schedule".to_owned(),
                Err(error @ Error::Conflict(_)) => error.to_string(),
                Err(error) => return Err(error),
            };
            count.left_out += 1;
            self.report.problem(KIND, format!("{set} {}", key.key_id()), why);
        }
        Ok(())
    }
}
