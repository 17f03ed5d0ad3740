//! The root key: made once per database, wrapped by the system secret.

use std::sync::Arc;

use jose::{Entropy, KeyRing, RootKey, SystemSecret};
use sqlx::Row;

use crate::clock::Clock;
use crate::database::Database;
use crate::{Error, Options};

/// Reads the root keys, and makes the first one where there is none.
///
/// # Errors
/// [`Error::WrongSystemSecret`] where no configured secret opens one of them.
pub(crate) async fn load(
    database: &Database,
    secrets: &Arc<[SystemSecret]>,
    entropy: &Entropy,
    clock: &Clock,
) -> Result<KeyRing, Error> {
    let mut wrapped = read(database).await?;
    if wrapped.is_empty() {
        create(database, secrets, entropy, clock).await?;
        wrapped = read(database).await?;
    }
    let secrets = secrets.clone();
    // Unwrapping derives a key from the system secret by argon2id: some 20 ms of CPU for each.
    let ring = tokio::task::spawn_blocking(move || {
        let open = |(generation, wrapped): &(u8, Vec<u8>)| {
            RootKey::unwrap(*generation, wrapped, &secrets).map(|(root, _)| root)
        };
        let roots = wrapped.iter().map(open).collect::<Result<Vec<_>, _>>();
        roots.map_err(|_| Error::WrongSystemSecret).and_then(|roots| Ok(KeyRing::new(roots)?))
    });
    ring.await.map_err(|e| Error::Unavailable(e.to_string()))?
}

/// What [`reseal`] has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resealed {
    /// How many root keys were wrapped anew.
    pub wrapped: usize,
    /// How many the current secret had wrapped already.
    pub current: usize,
}

/// Wraps every root key by the current system secret, the first of [`Options::secrets`]. Nothing else changes: whatever
/// was sealed, signed or hashed stays valid. A process that knows only former secrets goes on, but cannot start any more.
///
/// It may be repeated, and several processes may do it at once: each row is a compare-and-set.
///
/// # Errors
/// [`Error::WrongSystemSecret`] where none of the secrets opens a root key; [`Error::Unavailable`].
pub async fn reseal(options: &Options, entropy: &Entropy) -> Result<Resealed, Error> {
    let database = options.pool()?;
    let mut done = Resealed::default();
    for (generation, wrapped) in read(&database).await? {
        let (secrets, entropy, before) = (options.secrets.clone(), entropy.clone(), wrapped.clone());
        let anew = tokio::task::spawn_blocking(move || wrap_anew(generation, &before, &secrets, &entropy));
        let Some(anew) = anew.await.map_err(|e| Error::Unavailable(e.to_string()))?? else {
            done.current += 1;
            continue;
        };
        let query =
            database.query("UPDATE root_keys SET wrapped = $1 WHERE generation = $2 AND wrapped = $3");
        database.execute(query.bind(anew).bind(i64::from(generation)).bind(wrapped)).await?;
        done.wrapped += 1;
    }
    database.pool().close().await;
    Ok(done)
}

/// `None` where the current secret has wrapped it.
fn wrap_anew(
    generation: u8,
    wrapped: &[u8],
    secrets: &[SystemSecret],
    entropy: &Entropy,
) -> Result<Option<Vec<u8>>, Error> {
    let (root, index) =
        RootKey::unwrap(generation, wrapped, secrets).map_err(|_| Error::WrongSystemSecret)?;
    match secrets.first() {
        Some(current) if index > 0 => Ok(Some(root.wrap(current, entropy)?)),
        _ => Ok(None),
    }
}

async fn read(database: &Database) -> Result<Vec<(u8, Vec<u8>)>, Error> {
    let query = database.query("SELECT generation, wrapped FROM root_keys ORDER BY generation");
    let mut keys = Vec::new();
    for row in database.fetch_all(query).await? {
        let generation = u8::try_from(row.try_get::<i64, _>(0)?).map_err(Error::corrupt)?;
        keys.push((generation, row.try_get(1)?));
    }
    Ok(keys)
}

/// Two processes may do this at once: the first row stays, and both read it.
async fn create(
    database: &Database,
    secrets: &Arc<[SystemSecret]>,
    entropy: &Entropy,
    clock: &Clock,
) -> Result<(), Error> {
    let secrets = secrets.clone();
    let entropy = entropy.clone();
    let wrapped = tokio::task::spawn_blocking(move || {
        let current = secrets.first().ok_or(Error::WrongSystemSecret)?;
        Ok::<_, Error>(RootKey::generate(1, &entropy).wrap(current, &entropy)?)
    });
    let wrapped = wrapped.await.map_err(|e| Error::Unavailable(e.to_string()))??;
    let query = database
        .query("INSERT INTO root_keys (generation, wrapped, created_at) VALUES (1, $1, $2) ON CONFLICT DO NOTHING")
        .bind(wrapped)
        .bind(clock.now().as_second());
    database.execute(query).await?;
    Ok(())
}
