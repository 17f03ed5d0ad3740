//! Members that may be `null`: Go writes an empty list so, and reads `null` as what was not sent.

use serde::{Deserialize, Deserializer};

/// Reads a member; `null` counts as its absence.
///
/// # Errors
/// Those of the member's type.
pub fn null_as_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + Default,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
