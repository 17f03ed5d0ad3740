//! How the resources of a folder stand, for people.

use std::collections::BTreeSet;

use crd::{Condition, ConditionStatus, ConditionType, Resource};

use super::registry::{Key, deleted_at};

/// One resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Which.
    pub key: Key,
    /// The status of its `Ready` condition: `True`, `False`, `Unknown`, or `-` where there is none.
    pub ready: &'static str,
    /// Why.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
}

/// All resources, and what is wrong with the manifests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The resources, in order.
    pub rows: Vec<Row>,
    /// What is wrong, each with its file.
    pub problems: BTreeSet<String>,
    /// True once everything was looked at for the first time.
    pub complete: bool,
}

impl Report {
    pub(super) fn new(resources: &[Resource], problems: &BTreeSet<String>) -> Self {
        let rows = resources.iter().filter(|resource| deleted_at(resource).is_none()).map(row).collect();
        Self { rows, problems: problems.clone(), complete: true }
    }
}

fn row(resource: &Resource) -> Row {
    let ready = match resource {
        Resource::OAuth2Client(client) => {
            client.status.as_ref().and_then(|s| s.condition(&ConditionType::Ready))
        }
        Resource::JsonWebKeySet(set) => set.status.as_ref().and_then(|s| s.condition(&ConditionType::Ready)),
    };
    Row {
        key: Key::of(resource),
        ready: ready.map_or("-", |ready| match ready.status {
            ConditionStatus::True => "True",
            ConditionStatus::False => "False",
            ConditionStatus::Unknown => "Unknown",
        }),
        reason: text(ready, |ready| ready.reason.to_string()),
        message: text(ready, |ready| ready.message.clone()),
    }
}

fn text(ready: Option<&Condition>, of: impl Fn(&Condition) -> String) -> String {
    ready.map(of).unwrap_or_default()
}
