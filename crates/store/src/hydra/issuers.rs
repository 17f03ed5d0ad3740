//! Issuers of assertions that Hydra trusts, with their keys.

use jiff::Timestamp;
use jose::Entropy;
use oauth::TrustedIssuer;
use oauth::imported_token::ImportedId;
use oauth::trusted_issuer::TrustRequest;
use serde_json::Value;

use super::Run;
use super::keys::HydraKey;
use super::report::ImportCount;
use super::source::Row;
use super::value::{instant, list, scopes, text};
use crate::Error;
use crate::imported::ImportedRow;

const KIND: &str = "trusted issuer";

/// The set and the name of an issuer's key.
pub(super) fn key_of(row: &Row) -> (String, String) {
    (text(row, "key_set").to_owned(), text(row, "key_id").to_owned())
}

impl Run<'_> {
    /// Takes over the trusted issuers.
    pub(super) async fn issuers(
        &mut self,
        rows: &[Row],
        keys: &[HydraKey],
        now: Timestamp,
        entropy: &Entropy,
    ) -> Result<(), Error> {
        let mut count = ImportCount::of("trusted issuers");
        for row in rows {
            count.found += 1;
            if instant(row, "expires_at").is_some_and(|at| at <= now) {
                count.ended += 1;
                continue;
            }
            let issuer = match read(row, keys, now, entropy) {
                Ok(issuer) => issuer,
                Err(why) => {
                    count.left_out += 1;
                    self.report.problem(KIND, text(row, "issuer"), why);
                    continue;
                }
            };
            let noted = ImportedId::new(KIND, &[text(row, "id").as_bytes()]);
            let is_known = match self.import.store {
                Some(store) => store.is_imported(noted).await?,
                None => false,
            };
            if is_known {
                count.here_already += 1;
                continue;
            }
            let taken = match self.target() {
                Some(store) => {
                    let taken = store.trust_issuer(&issuer).await?;
                    store.note_alone(&ImportedRow::of(noted)).await?;
                    taken
                }
                None => true,
            };
            if taken { count.taken_over += 1 } else { count.here_already += 1 }
        }
        self.report.counts.push(count);
        Ok(())
    }
}

fn read(row: &Row, keys: &[HydraKey], now: Timestamp, entropy: &Entropy) -> Result<TrustedIssuer, String> {
    let named = key_of(row);
    let key = keys.iter().find(|key| (&key.set, &key.kid) == (&named.0, &named.1));
    let key =
        key.ok_or("its key is not there")?.jwk.as_deref().ok_or("none of the given secrets opens its key")?;
    let jwk: Value = serde_json::from_str(key).map_err(|_| "its key is no JSON")?;
    scopes(row, "scope")?;
    let request = TrustRequest {
        issuer: Some(text(row, "issuer").to_owned()),
        subject: Some(text(row, "subject").to_owned()),
        allow_any_subject: row.get("allow_any_subject").and_then(Value::as_bool),
        scope: Some(
            list(row, "scope").into_iter().filter_map(|scope| oauth::Scope::parse(scope).ok()).collect(),
        ),
        jwk: Some(jwk),
        expires_at: instant(row, "expires_at"),
    };
    let created_at = instant(row, "created_at").unwrap_or(now);
    let issuer = TrustedIssuer::new(request, now, entropy).map_err(|error| error.description.into_owned())?;
    let id = text(row, "id").parse().unwrap_or(issuer.id);
    Ok(TrustedIssuer { id, created_at, ..issuer })
}
