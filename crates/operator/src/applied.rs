//! The rows as they were when all was as declared, to tell those that were changed since, by whomever.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use store::{ManagedRow, ResourceRef};

/// Where a resource is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl From<&ResourceRef> for Place {
    fn from(resource: &ResourceRef) -> Self {
        Self { namespace: resource.namespace.clone(), name: resource.name.clone() }
    }
}

impl From<&ObjectMeta> for Place {
    fn from(meta: &ObjectMeta) -> Self {
        Self {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
        }
    }
}

/// The versions of the rows of one kind of resource, by client id or set name. Clones share them.
///
/// While its resource is being worked on, a row has the version from before: whoever compares just then has the resource
/// looked at once more, which does no harm.
#[derive(Debug, Clone, Default)]
pub struct Applied(Arc<Mutex<HashMap<String, (Place, i64)>>>);

impl Applied {
    /// A resource rests, with its row at this version.
    pub fn note(&self, key: &str, resource: &ResourceRef, version: i64) {
        self.lock().insert(key.to_owned(), (resource.into(), version));
    }

    /// A row is not the resource's any more. One that is another resource's stays as that left it.
    pub fn forget(&self, key: &str, resource: &ResourceRef) {
        let mut all = self.lock();
        if all.get(key).is_some_and(|(place, _)| *place == Place::from(resource)) {
            all.remove(key);
        }
    }

    /// The resource is gone: whatever became of its rows, nobody is there who could see to them.
    pub fn forget_place(&self, place: &Place) {
        self.lock().retain(|_, (of, _)| of != place);
    }

    /// True where the row's resource has rested.
    pub fn knows(&self, key: &str) -> bool {
        self.lock().contains_key(key)
    }

    /// The resources whose rows are not what they were: changed, given away, or gone. `rows` are all that resources of
    /// this kind own.
    pub fn drifted(&self, rows: &[ManagedRow]) -> BTreeSet<Place> {
        self.drifted_among(rows, |_| true)
    }

    /// The same of some rows; `rows` are those of them that resources of this kind own.
    pub fn drifted_among(&self, rows: &[ManagedRow], among: impl Fn(&str) -> bool) -> BTreeSet<Place> {
        let rows: HashMap<&str, &ManagedRow> = rows.iter().map(|row| (row.key.as_str(), row)).collect();
        let all = self.lock();
        let is_other = |(key, (place, version)): &(&String, &(Place, i64))| {
            let is_other = |row: &&ManagedRow| row.version != *version || Place::from(&row.manager) != *place;
            among(key) && rows.get(key.as_str()).is_none_or(is_other)
        };
        all.iter().filter(is_other).map(|(_, (place, _))| place.clone()).collect()
    }

    /// Each change of the map is one insertion or removal, so a panic leaves it whole.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Place, i64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(name: &str) -> ResourceRef {
        ResourceRef {
            cluster: "c".into(),
            namespace: "shop".into(),
            name: name.into(),
            uid: format!("uid-{name}"),
        }
    }

    fn row(key: &str, name: &str, version: i64) -> ManagedRow {
        ManagedRow {
            key: key.into(),
            version,
            manager: resource(name),
            deleted_with_manager: true,
            created_at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn rows_that_changed_hands_or_version_or_are_gone_have_drifted() {
        let applied = Applied::default();
        for name in ["same", "changed", "gone", "given-away", "not-mine"] {
            applied.note(&format!("id-{name}"), &resource(name), 7);
        }
        applied.forget("id-not-mine", &resource("not-mine"));
        applied.forget("id-changed", &resource("loser"));
        let rows = [
            row("id-same", "same", 7),
            row("id-changed", "changed", 8),
            row("id-given-away", "thief", 7),
            row("id-not-mine", "not-mine", 8),
            row("id-unknown", "unknown", 1),
        ];
        let drifted: Vec<String> = applied.drifted(&rows).into_iter().map(|place| place.name).collect();
        assert_eq!(drifted, ["changed", "given-away", "gone"]);
        let asked = ["id-gone", "id-same", "id-unknown"];
        let some: Vec<_> = rows.iter().filter(|row| asked.contains(&&*row.key)).cloned().collect();
        let drifted = applied.drifted_among(&some, |key| asked.contains(&key));
        assert_eq!(drifted.iter().map(|place| &*place.name).collect::<Vec<_>>(), ["gone"]);
        assert!(applied.knows("id-same") && !applied.knows("id-not-mine"));
        applied.forget_place(&Place::from(&resource("given-away")));
        let drifted: Vec<String> = applied.drifted(&rows).into_iter().map(|place| place.name).collect();
        assert_eq!(drifted, ["changed", "gone"], "a resource that is gone has no rows to see to");
    }
}
