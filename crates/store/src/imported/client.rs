//! Taking over a client, with all of its secrets; and following what becomes of it there, until it is changed here.

use jiff::Timestamp;
use jose::HydraSecret;
use oauth::imported_token::{HydraTokenKind, ImportedId};
use oauth::{ClientSecretHash, ImportedToken};
use sqlx::{Any, Row, Transaction};

use super::{ImportedRow, Taken};
use crate::database::bounded;
use crate::invalidation::Change;
use crate::{Error, NewClient, SecretChange, Store, StoredClient};

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

    /// The name of the row of its registration access token, where that is taken over.
    fn registration_row(&self) -> Option<ImportedId> {
        let signature = self.registration.as_ref()?;
        Some(ImportedId::of_token(HydraTokenKind::Registration, signature))
    }
}

/// What is known of a client that was taken over before.
struct Noted {
    /// The version of its row that an import wrote last.
    version: Option<i64>,
    /// What the other server had of it then; `None` where a version took it over that did not note it.
    digest: Option<Vec<u8>>,
}

impl Noted {
    /// What is to become of a client that is `here`, of which the other server has what `digest` says. A registration access
    /// token that was not taken over yet is `new_registration`.
    fn plan(&self, here: &StoredClient, digest: [u8; 32], new_registration: bool) -> Taken {
        // What a resource declares is no change that could be lost.
        if here.manager.is_some() {
            return Taken::Before;
        }
        let Some(known) = &self.digest else {
            // Nobody knows whether it was changed there; but all that is done to a client here leaves its time.
            let is_as_taken_over = here.updated_at == here.created_at;
            return if is_as_taken_over { Taken::Followed } else { Taken::Before };
        };
        let (as_noted_there, untouched_here) = (*known == digest, self.version == Some(here.version));
        match (as_noted_there, untouched_here) {
            (true, true) if new_registration => Taken::Followed,
            (true, _) => Taken::Before,
            (false, true) => Taken::Followed,
            (false, false) => Taken::Diverged,
        }
    }
}

impl Store {
    /// What is to become of a client of which this server has `here`.
    pub(crate) async fn plan_client_import(
        &self,
        client: &ImportedClient,
        here: Option<&StoredClient>,
    ) -> Result<Taken, Error> {
        let noted = self.noted_client(client.new.id.as_str()).await?;
        self.plan_for(noted.as_ref(), client, here).await
    }

    async fn plan_for(
        &self,
        noted: Option<&Noted>,
        client: &ImportedClient,
        here: Option<&StoredClient>,
    ) -> Result<Taken, Error> {
        Ok(match (noted, here) {
            (None, None) => Taken::Over,
            (None, Some(_)) => Taken::Exists,
            (Some(_), None) => Taken::Before,
            (Some(noted), Some(here)) => {
                let new_registration = match client.registration_row() {
                    Some(row) => !self.is_imported(row).await?,
                    None => false,
                };
                noted.plan(here, client.digest, new_registration)
            }
        })
    }

    async fn noted_client(&self, id: &str) -> Result<Option<Noted>, Error> {
        let query = self.db().query("SELECT version, digest FROM imported WHERE id = $1");
        let row = self.db().fetch_optional(query.bind(ImportedClient::row(id).0.to_vec())).await?;
        row.map(|row| Ok(Noted { version: row.try_get(0)?, digest: row.try_get(1)? })).transpose()
    }

    /// Takes over a client, in one transaction, or has it follow what was changed there; see [`Self::plan_client_import`].
    pub(crate) async fn import_client(
        &self,
        client: &ImportedClient,
        here: Option<&StoredClient>,
        secrets: &[HydraSecret],
    ) -> Result<Taken, Error> {
        let (id, row) = (&client.new.id, ImportedClient::row(client.new.id.as_str()));
        let noted = self.noted_client(id.as_str()).await?;
        let plan = self.plan_for(noted.as_ref(), client, here).await?;
        if !matches!(plan, Taken::Over | Taken::Followed) {
            if noted.is_some_and(|noted| noted.digest.is_none()) && here.is_some() {
                // From now on it is known when it is changed there.
                let query = self.db().query("UPDATE imported SET digest = $2 WHERE id = $1");
                self.db().execute(query.bind(row.0.to_vec()).bind(client.digest.to_vec())).await?;
            }
            return Ok(plan);
        }
        let mut loan = self.db().loan().await?;
        let mut tx = loan.begin().await?;
        if let Some(here) = here {
            match self.follow_client(&mut tx, client, here, secrets).await {
                Err(Error::Raced) => return Ok(Taken::Diverged),
                done => done?,
            }
        } else if !self.note(&mut tx, &ImportedRow::of(row)).await? {
            return Ok(Taken::Before);
        } else if !self.insert_client(&mut tx, &client.new, client.created_at).await? {
            return Ok(Taken::Exists);
        } else {
            self.note_registration(&mut tx, client, 1, secrets).await?;
        }
        for hash in &client.former {
            self.insert_secret(&mut tx, id, hash, "previous").await?;
        }
        let query = self.db().query(
            "UPDATE imported SET digest = $2, version = (SELECT version FROM clients WHERE id = $3) WHERE id = $1",
        );
        let query = query.bind(row.0.to_vec()).bind(client.digest.to_vec()).bind(id.to_string());
        bounded(query.execute(&mut *tx)).await?;
        self.commit(tx, Change::Client(id.clone())).await?;
        Ok(plan)
    }

    /// Puts what is registered there, the secrets and the registration access token in the place of what was taken over
    /// before.
    async fn follow_client(
        &self,
        tx: &mut Transaction<'_, Any>,
        client: &ImportedClient,
        here: &StoredClient,
        secrets: &[HydraSecret],
    ) -> Result<(), Error> {
        let next = here.registration_generation + 1;
        let is_replaced = self.note_registration(tx, client, next, secrets).await?;
        let registered =
            (if is_replaced { next } else { here.registration_generation }, here.self_registered);
        // It does not tell whether a secret is another one, or when that was made.
        let secrets = &SecretChange::Keep;
        self.write_unmanaged(tx, &here.fence(), &client.new.metadata, secrets, registered).await?;
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
        let Some(id) = client.registration_row() else { return Ok(false) };
        let (client_id, incarnation) = (client.new.id.clone(), client.new.incarnation);
        let token = ImportedToken::Registration { client_id, incarnation, generation };
        let is_new = self.note(tx, &ImportedRow { id, token: Some(&token), expires_at: None }).await?;
        self.keep_secrets(tx, secrets).await?;
        Ok(is_new)
    }
}
