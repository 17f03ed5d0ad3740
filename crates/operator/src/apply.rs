//! The execution of a client's plan: one action, one write.

use crd::{OAuth2Client, SecretSource, names};
use kube::Resource;
use oauth::{ClientSecret, ClientSecretHash, Incarnation};
use store::{Adoption, ClientFence, NewClient, Promotion, SecretState, Store};

use crate::events::EventReason;
use crate::metrics::Metrics;
use crate::objects::{ObjectError, Objects, ResourceView};
use crate::plan::client::{Action, Gathered, goes_with, spec_hash};
use crate::plan::rotation::former_expires_at;

/// Why a reconciliation failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The gate is closed: the database was not asked.
    #[error("waiting for the database")]
    GateClosed,
    /// The object.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The client's Secret cannot be written.
    #[error("Secret {name}: {error}")]
    SecretWrite {
        /// Its name.
        name: String,
        /// Why.
        error: ObjectError,
    },
    /// A secret that cannot be hashed.
    #[error(transparent)]
    Secret(#[from] oauth::client_secret::SecretError),
    /// Another reconciler may be about to do the same.
    #[error("another operator may be replacing the client secret")]
    UnderWay,
    /// What was written was not there any more when it was read again, time after time.
    #[error("something keeps undoing what is written")]
    Undone,
}

impl Failure {
    /// True where another writer was first, so that gathering again gives another plan.
    pub fn is_race(&self) -> bool {
        use store::Error::{Conflict, Raced, Unmanaged};
        match self {
            Self::Store(error) => matches!(error, Raced | Conflict(_) | Unmanaged),
            Self::Object(error) | Self::SecretWrite { error, .. } => matches!(error, ObjectError::Raced),
            _ => false,
        }
    }
}

/// Executes the actions of one plan, one after the other.
pub struct Execution<'a, O> {
    store: &'a Store,
    objects: &'a O,
    metrics: &'a Metrics,
    gathered: &'a Gathered,
    /// The row's version as it is after the actions so far: each write moves it by one.
    fence: Option<ClientFence>,
    pending: Option<ClientSecretHash>,
}

impl<'a, O: Objects> Execution<'a, O> {
    /// Begins with what was gathered.
    pub fn new(store: &'a Store, objects: &'a O, metrics: &'a Metrics, gathered: &'a Gathered) -> Self {
        let row = gathered.row.as_ref();
        let pending = row.and_then(|row| row.secrets.iter().find(|s| s.state == SecretState::Pending));
        Self {
            store,
            objects,
            metrics,
            gathered,
            fence: row.map(store::StoredClient::fence),
            pending: pending.map(|secret| secret.hash.clone()),
        }
    }

    /// Executes the actions, up to the first one that fails. `client` follows what they change of it.
    ///
    /// # Errors
    /// [`Failure`]; what was done so far stays done, and planning anew goes on from there.
    pub async fn execute_all(
        &mut self,
        client: &mut OAuth2Client,
        actions: Vec<Action>,
    ) -> Result<(), Failure> {
        for action in actions {
            self.execute(client, action).await?;
        }
        Ok(())
    }

    async fn execute(&mut self, client: &mut OAuth2Client, action: Action) -> Result<(), Failure> {
        match action {
            Action::AddFinalizer => {
                let view = ResourceView::Client(client);
                let written = self.objects.add_finalizer(view, names::CLIENT_FINALIZER).await?;
                written.note(client.meta_mut());
            }
            Action::RemoveFinalizer => {
                let view = ResourceView::Client(client);
                let written = self.objects.remove_finalizer(view, names::CLIENT_FINALIZER).await?;
                written.note(client.meta_mut());
            }
            Action::WriteSecret(secret) => self
                .objects
                .write_secret(&secret.0)
                .await
                .map_err(|error| Failure::SecretWrite { name: client.secret_name(), error })?,
            Action::CreateRow { metadata, secret } => self.create_row(*metadata, secret).await?,
            Action::UpdateRow(metadata) => {
                let fence = self.fence()?;
                let hash = spec_hash(&metadata);
                self.store.update_client(&fence, &metadata, &self.gathered.me, &hash).await?;
                self.advance();
            }
            Action::AdoptRow(metadata) => self.adopt(*metadata).await?,
            Action::RecordDeletion { with_manager } => {
                self.store.set_client_deletion(&self.fence()?, with_manager).await?;
                self.advance();
            }
            Action::SetPending(secret) => {
                let (fence, incarnation) = (self.fence()?, self.incarnation()?);
                let hash = self.hash(incarnation, secret).await?;
                self.store.set_pending_secret(&fence, &hash).await?;
                self.pending = Some(hash);
                self.advance();
            }
            Action::Promote { previous_expires_at } => self.promote(previous_expires_at).await?,
            Action::RemoveSecrets => {
                self.store.remove_secrets(&self.fence()?).await?;
                self.advance();
            }
            Action::DeleteRow => {
                self.store.delete_client(&self.gathered.id, &self.gathered.me).await?;
            }
            Action::DeleteUnclaimedRow => {
                self.store.delete_unmanaged_client(&self.gathered.id).await?;
            }
            Action::Publish(event) => {
                if event.reason == EventReason::DriftCorrected {
                    self.metrics.drift_corrections.inc();
                }
                self.objects.publish(ResourceView::Client(client), event).await;
            }
        }
        Ok(())
    }

    async fn create_row(
        &mut self,
        metadata: oauth::ClientMetadata,
        secret: Option<ClientSecret>,
    ) -> Result<(), Failure> {
        let incarnation = Incarnation(i64::from_be_bytes(self.store.entropy().bytes()));
        let secret = match secret {
            Some(secret) => Some(self.hash(incarnation, secret).await?),
            None => None,
        };
        let new = NewClient {
            id: self.gathered.id.clone(),
            incarnation,
            spec_hash: spec_hash(&metadata),
            metadata,
            manager: Some(self.gathered.me.clone()),
            deleted_with_manager: goes_with(&self.gathered.client),
            secret,
            handled_rotate_secret: self.gathered.client.rotation_request().map(str::to_owned),
            self_registered: false,
        };
        Ok(self.store.create_client(&new).await?)
    }

    async fn adopt(&mut self, metadata: oauth::ClientMetadata) -> Result<(), Failure> {
        let client = &self.gathered.client;
        let adoption = Adoption {
            spec_hash: spec_hash(&metadata),
            metadata,
            manager: self.gathered.me.clone(),
            deleted_with_manager: goes_with(client),
            handled_rotate_secret: client.rotation_request().map(str::to_owned),
            former_expire_at: former_expires_at(client, self.gathered.now),
        };
        self.store.adopt_client(&self.fence()?, &adoption).await?;
        self.advance();
        Ok(())
    }

    async fn promote(&mut self, previous_expires_at: jiff::Timestamp) -> Result<(), Failure> {
        let promotion = Promotion {
            hash: self.pending.clone().ok_or(store::Error::Raced)?,
            previous_expires_at,
            handled_rotate_secret: self.gathered.client.rotation_request().map(str::to_owned),
        };
        self.store.promote_secret(&self.fence()?, &promotion).await?;
        self.metrics.secret_rotations.inc();
        self.advance();
        Ok(())
    }

    /// A generated secret needs no slow hash; one that somebody chose does, off the reactor.
    async fn hash(
        &self,
        incarnation: Incarnation,
        secret: ClientSecret,
    ) -> Result<ClientSecretHash, Failure> {
        let (store, id) = (self.store.clone(), self.gathered.id.clone());
        let generated = self.gathered.client.spec.secret.source == SecretSource::Generate;
        if generated && secret.looks_generated() {
            return Ok(ClientSecretHash::of_generated(store.ring(), &id, incarnation, &secret));
        }
        let hashed = tokio::task::spawn_blocking(move || {
            ClientSecretHash::of_chosen(store.ring(), &id, incarnation, &secret, store.entropy())
        });
        Ok(hashed.await.map_err(|_| oauth::client_secret::SecretError::Hash)??)
    }

    /// The row's version as it is after what was executed.
    pub fn into_fence(self) -> Option<ClientFence> {
        self.fence
    }

    fn fence(&self) -> Result<ClientFence, store::Error> {
        self.fence.clone().ok_or(store::Error::Raced)
    }

    fn incarnation(&self) -> Result<Incarnation, store::Error> {
        self.gathered.row.as_ref().map(|row| row.incarnation).ok_or(store::Error::Raced)
    }

    fn advance(&mut self) {
        if let Some(fence) = &mut self.fence {
            fence.version += 1;
        }
    }
}
