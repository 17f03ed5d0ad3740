//! The root key: made once per database, wrapped by the system secret.

use std::sync::Arc;

use jose::{Entropy, KeyRing, RootKey, SystemSecret};
use sqlx::Row;

use crate::Error;
use crate::clock::Clock;
use crate::database::Database;

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
