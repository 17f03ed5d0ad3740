//! How servers learn that what they cache has changed.
//!
//! On PostgreSQL a change is notified in the transaction that makes it. One connection listens, past any pooler, and
//! proves each second that it still hears by echoing a notification of its own. On SQLite the process invalidates for
//! itself, and asks the file whether another process wrote to a table of which something is cached.

use std::sync::Arc;
use std::time::{Duration, Instant};

use oauth::ClientId;
use sqlx::postgres::PgListener;
use sqlx::{Connection, Row, SqliteConnection};
use tokio::sync::broadcast;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::Error;
use crate::cache::TRUST_FOR;
use crate::caches::Caches;
use crate::database::Dialect;

/// The channel on which changes are notified.
pub(crate) const CHANNEL: &str = "keywright";

/// How often the channel proves that it is alive.
const BEAT: Duration = Duration::from_secs(1);

/// How often SQLite is asked for other processes' writes.
const POLL: Duration = Duration::from_millis(200);

/// How many changes may wait for a slow listener.
pub(crate) const BACKLOG: usize = 4096;

/// What has changed, for [`Store::changes`](crate::Store::changes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// A client, its secrets, or its existence.
    Client(ClientId),
    /// Some key set.
    KeySets,
    /// Anything may have: nobody listened before, or it cannot be told what changed.
    Everything,
}

/// Something that a cache may hold has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// A client, its secrets, or its existence.
    Client(ClientId),
    /// Some key set.
    KeySets,
}

impl Change {
    /// The notification's payload.
    pub(crate) fn payload(&self) -> String {
        match self {
            Self::Client(id) => format!("client:{id}"),
            Self::KeySets => "keys".to_owned(),
        }
    }

    /// `None` for a payload of a newer version: whatever it is, everything is invalidated.
    fn parse(payload: &str) -> Option<Self> {
        match payload.strip_prefix("client:") {
            Some(id) => ClientId::parse(id).ok().map(Self::Client),
            None => (payload == "keys").then_some(Self::KeySets),
        }
    }
}

/// Where changes go.
struct Sinks {
    caches: Arc<Caches>,
    told: broadcast::Sender<Changed>,
}

impl Sinks {
    fn apply(&self, change: Option<Change>) {
        self.caches.apply(change.as_ref());
        // Nobody has to listen.
        let _ = self.told.send(match change {
            Some(Change::Client(id)) => Changed::Client(id),
            Some(Change::KeySets) => Changed::KeySets,
            None => Changed::Everything,
        });
    }
}

/// Keeps the caches true, and tells of changes, until it is dropped.
pub(crate) async fn run(url: String, caches: Arc<Caches>, told: broadcast::Sender<Changed>) {
    let sinks = Sinks { caches, told };
    loop {
        let ended = match Dialect::of(&url) {
            Dialect::Postgres => listen(&url, &sinks).await,
            Dialect::Sqlite => poll(&url, &sinks).await,
        };
        sinks.caches.trust.revoke();
        if let Err(error) = ended {
            tracing::warn!(%error, "the invalidation channel is lost; reading from the database until it is back");
        }
        sleep(BEAT / 2).await;
    }
}

async fn listen(url: &str, sinks: &Sinks) -> Result<(), Error> {
    let own = format!("{CHANNEL}_{}", Uuid::new_v4().simple());
    let mut listener = within(async {
        let mut listener = PgListener::connect(url).await?;
        listener.eager_reconnect(false);
        listener.listen_all([CHANNEL, &own]).await?;
        Ok(listener)
    })
    .await?;
    // Listening first, then forgetting: what changes from here on is heard, what changed before is read anew.
    sinks.apply(None);
    loop {
        let sent = Instant::now();
        let beat = sqlx::query("SELECT pg_notify($1, '')").bind(own.clone());
        within(beat.execute(&mut listener)).await?;
        let mut echoed = false;
        while sent.elapsed() < BEAT || !echoed {
            let left = if echoed { BEAT.saturating_sub(sent.elapsed()) } else { TRUST_FOR };
            match timeout(left, listener.try_recv()).await {
                Ok(Ok(Some(notification))) if notification.channel() == own => {
                    sinks.caches.trust.proven_at(sent);
                    echoed = true;
                }
                Ok(Ok(Some(notification))) => sinks.apply(Change::parse(notification.payload())),
                Ok(Ok(None)) => return Err(Error::Unavailable("the listening connection was closed".into())),
                Ok(Err(error)) => return Err(error.into()),
                Err(_) if echoed => {}
                Err(_) => return Err(Error::Unavailable("no echo on the listening connection".into())),
            }
        }
    }
}

async fn poll(url: &str, sinks: &Sinks) -> Result<(), Error> {
    let mut connection = SqliteConnection::connect(url).await?;
    let (mut version_seen, mut generation_seen) = (None, None);
    loop {
        let asked = Instant::now();
        // Costs no read of the file while nobody has written.
        let version = number(&mut connection, "PRAGMA data_version").await?;
        if version_seen != Some(version) {
            let generation = number(&mut connection, "SELECT generation FROM cache_generation").await?;
            if generation_seen != Some(generation) {
                sinks.apply(None);
            }
            (version_seen, generation_seen) = (Some(version), Some(generation));
        }
        sinks.caches.trust.proven_at(asked);
        sleep(POLL).await;
    }
}

async fn number(connection: &mut SqliteConnection, sql: &'static str) -> Result<i64, Error> {
    Ok(within(sqlx::query(sql).fetch_one(connection)).await?.try_get(0)?)
}

async fn within<T>(call: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Error> {
    match timeout(TRUST_FOR, call).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Error::Unavailable("no answer on the listening connection".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_reads_back_and_an_unknown_one_means_everything() {
        for change in [Change::Client(ClientId::parse("keys").unwrap()), Change::KeySets] {
            assert_eq!(Change::parse(&change.payload()), Some(change));
        }
        assert_eq!(Change::parse("sessions:1"), None);
        assert_eq!(Change::parse("client:"), None);
    }
}
