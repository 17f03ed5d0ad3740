//! Taking over the database of an Ory Hydra 2 on PostgreSQL.
//!
//! ```text
//!  HydraDatabase ── rows as JSON, page by page, of one snapshot
//!       │
//!       ▼
//!  clients ─▶ keys ─▶ trusted issuers ─▶ consents ─▶ refresh tokens      each row: read ─▶ decide ─▶ write, once
//!                                                                            └▶ or a problem, by name
//! ```
//!
//! A row that cannot be taken over keeps no other one. What was changed or ended here since it was taken over, or is here
//! under its name, stays as it is here, so that the whole may be repeated, also while Hydra still runs.

mod client;
mod consents;
mod issuers;
mod keys;
mod refresh_tokens;
mod report;
mod session;
mod source;
mod token_family;
mod value;

use std::collections::HashMap;

use jiff::Timestamp;
use jose::{Entropy, HydraSecret};
use oauth::{ClientId, Incarnation};

use crate::{Error, Store};

pub use report::{ImportCount, ImportProblem, ImportReport};
pub use source::HydraDatabase;

/// How a database is taken over.
pub struct HydraImport<'a> {
    /// Where to; `None` for a dry run beside a database that is not there yet.
    pub store: Option<&'a Store>,
    /// The secrets of Hydra's `secrets.system`.
    pub secrets: &'a [HydraSecret],
    /// Registration access tokens are taken over too. For as long as there are any, so are the secrets.
    pub registration_tokens: bool,
    /// Nothing is written.
    pub dry_run: bool,
}

/// What the grants of a client name.
#[derive(Clone, Copy)]
struct KnownClient {
    incarnation: Incarnation,
    epoch: i64,
}

/// An import under way.
struct Run<'a> {
    import: &'a HydraImport<'a>,
    report: ImportReport,
    /// The clients that are here, or would be.
    clients: HashMap<ClientId, KnownClient>,
}

impl HydraImport<'_> {
    /// Takes over what is in the database and has not ended at `now`.
    ///
    /// # Errors
    /// [`Error::Hydra`]; [`Error::WrongHydraSecret`] before anything was written; [`Error::Unavailable`]: what was taken
    /// over stays, and the next run goes on behind it.
    pub async fn run(
        &self,
        hydra: &mut HydraDatabase,
        now: Timestamp,
        entropy: &Entropy,
    ) -> Result<ImportReport, Error> {
        let keys = keys::read(hydra, self.secrets).await?;
        let issuers = hydra.issuers().await?;
        let issuers_keys: Vec<_> = issuers.iter().map(issuers::key_of).collect();
        let mut run = Run {
            import: self,
            report: ImportReport { dry_run: self.dry_run, ..ImportReport::default() },
            clients: HashMap::new(),
        };
        if hydra.has_several_networks().await? {
            let why = "there are several networks; what belongs to others than the oldest is not read";
            run.report.problem("network", hydra.network(), why);
        }
        run.clients(hydra).await?;
        run.keys(&keys, &issuers_keys).await?;
        run.issuers(&issuers, &keys, now, entropy).await?;
        run.consents(hydra, now).await?;
        run.refresh_tokens(hydra, now).await?;
        if let Some(store) = run.target() {
            // Also where nothing is new: a former run may have had fewer of them.
            store.keep_secrets_alone(self.secrets).await?;
        }
        Ok(run.report)
    }
}

impl Run<'_> {
    /// The store, where something is to be written.
    fn target(&self) -> Option<&Store> {
        self.import.store.filter(|_| !self.import.dry_run)
    }
}
