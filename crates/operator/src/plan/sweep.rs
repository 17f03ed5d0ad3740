//! Rows whose resource is gone though nobody deleted them: its finalizer was removed while the database was away, or by
//! hand, or its definition was removed.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use store::ManagedRow;

use super::key_set::is_token_set;
use crate::applied::Place;

/// A younger row's resource may not be in a list yet.
const YOUNGEST: SignedDuration = SignedDuration::from_mins(15);
/// More than one row in so many at once is no accident of a resource, but something that happened to all of them.
const ONE_IN: usize = 5;

/// The uids of all resources that are known, with their places.
pub type Present = HashSet<(Place, String)>;

/// The rows of one kind that look orphaned. Each is to be looked up once more before it is deleted. Only what goes with its
/// resource is ever an orphan, and no set that the server signs with.
pub fn candidates<'a>(rows: &'a [ManagedRow], present: &Present, now: Timestamp) -> Vec<&'a ManagedRow> {
    let is_candidate = |row: &&ManagedRow| {
        row.deleted_with_manager
            && now.duration_since(row.created_at) >= YOUNGEST
            && !is_token_set(&row.key)
            && !present.contains(&(Place::from(&row.manager), row.manager.uid.clone()))
    };
    rows.iter().filter(is_candidate).collect()
}

/// True where so many of so many rows are orphans that somebody has to say that this is meant.
pub fn are_too_many(orphans: usize, of: usize) -> bool {
    orphans > 1 && orphans * ONE_IN > of
}

/// True where a row that looks orphaned is: its place is empty, or another resource stands there, which has a row of its
/// own. `found` is the uid and the row's key that its status names of whatever stands there now.
pub fn is_orphan(row: &ManagedRow, found: Option<(&str, Option<&str>)>) -> bool {
    match found {
        None => true,
        Some((uid, _)) if uid == row.manager.uid => false,
        // One that has none yet may be about to take this one over.
        Some((_, key)) => key.is_some_and(|key| key != row.key),
    }
}

#[cfg(test)]
mod tests {
    use store::{ACCESS_TOKEN_SET, ResourceRef};

    use super::*;

    fn now() -> Timestamp {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn row(key: &str, minutes_old: i64) -> ManagedRow {
        ManagedRow {
            key: key.into(),
            version: 1,
            manager: ResourceRef {
                cluster: "c".into(),
                namespace: "shop".into(),
                name: key.into(),
                uid: format!("uid-{key}"),
            },
            deleted_with_manager: true,
            created_at: now() - SignedDuration::from_mins(minutes_old),
        }
    }

    fn present(rows: &[ManagedRow]) -> Present {
        rows.iter().map(|row| (Place::from(&row.manager), row.manager.uid.clone())).collect()
    }

    fn keys(rows: &[ManagedRow], present: &Present) -> Vec<String> {
        candidates(rows, present, now()).into_iter().map(|row| row.key.clone()).collect()
    }

    #[test]
    fn what_is_old_enough_and_goes_with_a_resource_that_is_gone_is_an_orphan() {
        let living: Vec<_> = (0..10).map(|n| row(&format!("living-{n}"), 60)).collect();
        let present = present(&living);
        let mut kept = row("kept", 60);
        kept.deleted_with_manager = false;
        for (row, orphaned) in [
            (row("gone", 60), true),
            (row("gone", 15), true),
            (row("young", 14), false),
            (row("from-the-future", -60), false),
            (row(ACCESS_TOKEN_SET, 60), false),
            (kept, false),
        ] {
            let mut rows = living.clone();
            rows.push(row.clone());
            assert_eq!(keys(&rows, &present), if orphaned { vec![row.key] } else { vec![] });
        }
        let mut renewed = living.clone();
        renewed[0].manager.uid = "another".into();
        assert_eq!(keys(&renewed, &present), ["living-0"], "another resource in its place");
    }

    #[test]
    fn a_fifth_of_all_at_once_needs_somebodys_word() {
        for (orphans, of, refused) in [
            (0, 0, false),
            (1, 1, false),
            (1, 2, false),
            (2, 3, true),
            (2, 10, false),
            (2, 9, true),
            (100, 100, true),
            (1_000, 5_000, false),
            (1_001, 5_000, true),
        ] {
            assert_eq!(are_too_many(orphans, of), refused, "{orphans} of {of}");
        }
    }

    #[test]
    fn a_last_look_tells_whether_it_is_one() {
        let row = row("orders", 60);
        for (found, orphan) in [
            (None, true),
            (Some(("uid-orders", None)), false),
            (Some(("uid-orders", Some("other"))), false),
            (Some(("uid-2", None)), false),
            (Some(("uid-2", Some("orders"))), false),
            (Some(("uid-2", Some("other"))), true),
        ] {
            assert_eq!(is_orphan(&row, found), orphan, "{found:?}");
        }
    }
}
