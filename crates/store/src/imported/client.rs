//! Taking over a client, with all of its secrets; and following what becomes of it there, until it is changed here.

use jiff::Timestamp;
use jose::HydraSecret;
use oauth::imported_token::{HydraTokenKind, ImportedId};
use oauth::{ClientSecretHash, ImportedToken};
use sqlx::{Any, Row, Transaction};

use super::{ImportedRow, Taken};
use crate::clients::{changed, seconds};
use crate::database::bounded;
use crate::invalidation::Change;
use crate::{Error, NewClient, Store, StoredClient};

/// A client of another server.
#[derive(Debug)]
pub(crate) struct ImportedClient {
    pub(crate) new: NewClient,
    /// The secrets before the current one, which are still valid.
    pub(crate) former: Vec<ClientSecretHash>,
    pub(crate) created_at: Timestamp,
    /// The signature of its registration access token, where that is taken over too.
    pub(crate) registration: Option<[u8; HydraSecret::SIGNATURE_LEN]>,
    /// Of all that the other server has of it.
    pub(crate) digest: [u8; 32],
}

impl ImportedClient {
    /// The name of a client's row among what was taken over.
    fn row(id: &str) -> ImportedId {
        ImportedId::new("client", &[id.as_bytes()])
    }
}

impl Store {
    /// What is to become of a client of which the other server has what `digest` says, and this one `here`.
    pub(crate) async fn plan_client_import(
        &self,
        id: &str,
        digest: [u8; 32],
        here: Option<&StoredClient>,
    ) -> Result<Taken, Error> {
        let query = self.db().query("SELECT version, digest FROM imported WHERE id = $1");
        let before = self.db().fetch_optional(query.bind(ImportedClient::row(id).0.to_vec())).await?;
        let (before, here) = match (before, here) {
            (None, None) => return Ok(Taken::Over),
            (None, Some(_)) => return Ok(Taken::Exists),
            (Some(_), None) => return Ok(Taken::Before),
            (Some(before), Some(here)) => (before, here),
        };
        let (version, known): (Option<i64>, Option<Vec<u8>>) = (before.try_get(0)?, before.try_get(1)?);
        // What a resource declares is no change that could be lost.
        Ok(if known.is_some_and(|known| known == digest) || here.manager.is_some() {
            Taken::Before
        } else if version == Some(here.version) {
            Taken::Followed
        } else {
            Taken::Diverged
        })
    }

    /// Takes over a client, in one transaction, or has it follow what was changed there; see [`Self::plan_client_import`].
    pub(crate) async fn import_client(
        &self,
        client: &ImportedClient,
        here: Option<&StoredClient>,
        secrets: &[HydraSecret],
    ) -> Result<Taken, Error> {
        let plan = self.plan_client_import(client.new.id.as_str(), client.digest, here).await?;
        if !matches!(plan, Taken::Over | Taken::Followed) {
            return Ok(plan);
        }
        let mut loan = self.db().loan().await?;
        let mut tx = loan.begin().await?;
        let (id, row) = (&client.new.id, ImportedClient::row(client.new.id.as_str()));
        if let Some(here) = here {
            match self.follow_client(&mut tx, client, here).await {
                Err(Error::Raced) => return Ok(Taken::Diverged),
                done => done?,
            }
        } else if !self.note(&mut tx, &ImportedRow::of(row)).await? {
            return Ok(Taken::Before);
        } else if !self.insert_client(&mut tx, &client.new, client.created_at).await? {
            return Ok(Taken::Exists);
        }
        for hash in &client.former {
            self.insert_secret(&mut tx, id, hash, "previous").await?;
        }
        let generation = here.map_or(1, |here| here.registration_generation + 1);
        if self.note_registration(&mut tx, client, generation, secrets).await? && here.is_some() {
            let query = self.db().query("UPDATE clients SET registration_generation = $2 WHERE id = $1");
            bounded(query.bind(id.to_string()).bind(generation).execute(&mut *tx)).await?;
        }
        let query = self.db().query(
            "UPDATE imported SET digest = $2, version = (SELECT version FROM clients WHERE id = $3) WHERE id = $1",
        );
        let query = query.bind(row.0.to_vec()).bind(client.digest.to_vec()).bind(id.to_string());
        bounded(query.execute(&mut *tx)).await?;
        self.commit(tx, Change::Client(id.clone())).await?;
        Ok(plan)
    }

    /// Puts what is registered there, and the secrets, in the place of what was taken over before.
    async fn follow_client(
        &self,
        tx: &mut Transaction<'_, Any>,
        client: &ImportedClient,
        here: &StoredClient,
    ) -> Result<(), Error> {
        let metadata = &client.new.metadata;
        let query = self
            .db()
            .query(
                "UPDATE clients SET metadata = $3, longest_access_token = $4, longest_id_token = $5, \
                 version = version + 1, updated_at = $6 \
                 WHERE id = $1 AND version = $2 AND manager_cluster IS NULL",
            )
            .bind(here.id.to_string())
            .bind(here.version)
            .bind(serde_json::to_string(metadata).map_err(Error::corrupt)?)
            .bind(seconds(metadata.lifespans.longest_access_token()))
            .bind(seconds(metadata.lifespans.longest_id_token()))
            .bind(self.clock().now().as_second());
        changed(bounded(query.execute(&mut **tx)).await?.rows_affected())?;
        self.delete_secrets(tx, &here.id).await?;
        if let Some(hash) = &client.new.secret {
            self.insert_secret(tx, &here.id, hash, "current").await?;
        }
        Ok(())
    }

    /// Notes the registration access token, where it is taken over; false where there is none, or it was noted before.
    async fn note_registration(
        &self,
        tx: &mut Transaction<'_, Any>,
        client: &ImportedClient,
        generation: i64,
        secrets: &[HydraSecret],
    ) -> Result<bool, Error> {
        let Some(signature) = &client.registration else { return Ok(false) };
        let (client_id, incarnation) = (client.new.id.clone(), client.new.incarnation);
        let token = ImportedToken::Registration { client_id, incarnation, generation };
        let row = ImportedRow {
            id: ImportedId::of_token(HydraTokenKind::Registration, signature),
            token: Some(&token),
            expires_at: None,
        };
        let is_new = self.note(tx, &row).await?;
        self.keep_secrets(tx, secrets).await?;
        Ok(is_new)
    }
}
