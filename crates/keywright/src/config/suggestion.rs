//! Which known key somebody may have meant.

use super::schema::Schema;

/// Most keys that a message lists.
const MOST: usize = 8;

/// A sentence about the key `name` that the object at `parent` does not have.
pub(super) fn suggest(schema: &Schema, parent: &[String], name: &str) -> String {
    let node = schema.along(parent).last().copied().unwrap_or_else(|| schema.root());
    let siblings = node.names();
    if let Some(sibling) = closest(name, &siblings) {
        let key = parent.iter().map(String::as_str).chain([sibling]).collect::<Vec<_>>().join(".");
        return format!("did you mean {key}?");
    }
    let wanted = plain(name);
    let named = schema
        .keys()
        .into_iter()
        .map(|key| key.name)
        .filter(|key| key.rsplit('.').next().map(plain).as_ref() == Some(&wanted));
    let elsewhere: Vec<String> = named.take(MOST).collect();
    if elsewhere.is_empty() {
        let known: Vec<&str> = siblings.iter().copied().take(MOST).collect();
        let more = if siblings.len() > MOST { ", …" } else { "" };
        return format!("known here: {}{more}", known.join(", "));
    }
    format!("did you mean {}?", elsewhere.join(" or "))
}

/// Letters and digits only, so that case, `-` and `_` do not matter.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

fn closest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let wanted = plain(name);
    let near = known.iter().map(|key| (strsim::damerau_levenshtein(&wanted, &plain(key)), *key));
    let (distance, key) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= wanted.len() / 3).then_some(key)
}
