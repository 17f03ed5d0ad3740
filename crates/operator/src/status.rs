//! Conditions: set, compared, and kept.

use crd::{Condition, ConditionStatus, ConditionType, Reason};
use jiff::Timestamp;

/// What a condition is to say; [`conditions`] adds when it began to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) type_: ConditionType,
    pub(crate) status: ConditionStatus,
    pub(crate) reason: Reason,
    pub(crate) message: String,
}

impl Wanted {
    pub(crate) fn new(
        type_: ConditionType,
        status: ConditionStatus,
        reason: Reason,
        message: impl Into<String>,
    ) -> Self {
        Self { type_, status, reason, message: message.into() }
    }
}

/// The conditions of a status: the wanted ones, each with the time at which its status last changed, and those of
/// other controllers as they are. Our own that are not wanted go. All keep their places, so that a status that says
/// the same also equals the present one.
pub(crate) fn conditions(
    present: &[Condition],
    wanted: &[Wanted],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let condition = |wanted: &Wanted| {
        let before = present.iter().find(|c| c.type_ == wanted.type_ && c.status == wanted.status);
        Condition {
            type_: wanted.type_.clone(),
            status: wanted.status,
            observed_generation: generation,
            last_transition_time: before.map_or_else(|| now.into(), |c| c.last_transition_time),
            reason: wanted.reason.clone(),
            message: wanted.message.clone(),
        }
    };
    let kept = present.iter().filter_map(|present| match &present.type_ {
        ConditionType::Other(_) => Some(present.clone()),
        own => wanted.iter().find(|wanted| wanted.type_ == *own).map(condition),
    });
    let is_new = |wanted: &&Wanted| present.iter().all(|present| present.type_ != wanted.type_);
    kept.chain(wanted.iter().filter(is_new).map(condition)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ready(status: ConditionStatus, reason: Reason) -> Wanted {
        Wanted::new(ConditionType::Ready, status, reason, "")
    }

    #[test]
    fn a_transition_time_changes_only_with_the_status() {
        let first = conditions(&[], &[ready(ConditionStatus::False, Reason::InvalidSpec)], Some(1), at(10));
        let same =
            conditions(&first, &[ready(ConditionStatus::False, Reason::SecretNotFound)], Some(2), at(20));
        assert_eq!(same[0].last_transition_time.get(), at(10));
        let other = conditions(&same, &[ready(ConditionStatus::True, Reason::Synced)], Some(2), at(30));
        assert_eq!(other[0].last_transition_time.get(), at(30));
    }

    #[test]
    fn other_controllers_keep_theirs_and_ours_go_when_they_no_longer_hold() {
        let mut present = conditions(
            &[],
            &[Wanted::new(ConditionType::Stalled, ConditionStatus::True, Reason::InvalidSpec, "")],
            None,
            at(1),
        );
        present.push(Condition {
            type_: ConditionType::Other("example.com/Audited".into()),
            ..present[0].clone()
        });
        let after = conditions(&present, &[ready(ConditionStatus::True, Reason::Synced)], None, at(2));
        let types: Vec<_> = after.iter().map(|c| c.type_.to_string()).collect();
        assert_eq!(types, ["example.com/Audited", "Ready"]);
    }

    #[test]
    fn what_says_the_same_is_the_same_wherever_the_api_server_puts_the_conditions_of_others() {
        let wanted = [
            ready(ConditionStatus::True, Reason::Synced),
            Wanted::new(ConditionType::Synced, ConditionStatus::True, Reason::Synced, ""),
        ];
        let ours = conditions(&[], &wanted, Some(1), at(1));
        let foreign =
            Condition { type_: ConditionType::Other("example.com/Audited".into()), ..ours[0].clone() };
        for place in 0..=ours.len() {
            let mut present = ours.clone();
            present.insert(place, foreign.clone());
            assert_eq!(conditions(&present, &wanted, Some(1), at(2)), present, "{place}");
        }
    }
}
