//! Statements whose answer was lost.

use store::Error;

/// Executes a statement that names its operation, and once more where its answer was lost: it finds its own work.
///
/// # Errors
/// Those of the statement.
pub(crate) async fn repeated_once<T, F>(statement: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    match statement().await {
        Err(error) if error.is_transient() => statement().await,
        done => done,
    }
}
