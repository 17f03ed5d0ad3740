//! Taking over a client, with all of its secrets.

use jiff::Timestamp;
use jose::HydraSecret;
use oauth::imported_token::{HydraTokenKind, ImportedId};
use oauth::{ClientSecretHash, ImportedToken};

use super::{ImportedRow, Taken};
use crate::invalidation::Change;
use crate::{Error, NewClient, Store};

/// A client of another server.
#[derive(Debug)]
pub(crate) struct ImportedClient {
    pub(crate) new: NewClient,
    /// The secrets before the current one, which are still valid.
    pub(crate) former: Vec<ClientSecretHash>,
    pub(crate) created_at: Timestamp,
    /// The signature of its registration access token, where that is taken over too.
    pub(crate) registration: Option<[u8; HydraSecret::SIGNATURE_LEN]>,
}

impl ImportedClient {
    /// The name of a client's row among what was taken over.
    pub(crate) fn row(id: &str) -> ImportedId {
        ImportedId::new("client", &[id.as_bytes()])
    }
}

impl Store {
    /// Takes over a client, in one transaction.
    pub(crate) async fn import_client(
        &self,
        client: &ImportedClient,
        secrets: &[HydraSecret],
    ) -> Result<Taken, Error> {
        let mut loan = self.db().loan().await?;
        let mut tx = loan.begin().await?;
        let id = &client.new.id;
        if !self.note(&mut tx, &ImportedRow::of(ImportedClient::row(id.as_str()))).await? {
            return Ok(Taken::Before);
        }
        if !self.insert_client(&mut tx, &client.new, client.created_at).await? {
            return Ok(Taken::Exists);
        }
        for hash in &client.former {
            self.insert_secret(&mut tx, id, hash, "previous").await?;
        }
        if let Some(signature) = &client.registration {
            let token =
                ImportedToken::Registration { client_id: id.clone(), incarnation: client.new.incarnation };
            let row = ImportedRow {
                id: ImportedId::of_token(HydraTokenKind::Registration, signature),
                token: Some(&token),
                expires_at: None,
            };
            self.note(&mut tx, &row).await?;
            self.keep_secrets(&mut tx, secrets).await?;
        }
        self.commit(tx, Change::Client(id.clone())).await?;
        Ok(Taken::Over)
    }
}
