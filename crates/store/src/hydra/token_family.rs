//! The refresh tokens of one login, which follow one another: which of them becomes which grant.
//!
//! ```text
//!  used ─▶ used ─▶ may be used        the last one is the grant's first token here; the others prove theft
//!              └─▶ may be used        Hydra gave two in its grace period: a grant of its own
//! ```

use jiff::Timestamp;
use jose::HydraSecret;
use oauth::imported_token::{HydraTokenKind, ImportedId, signature_of};
use oauth::{GrantId, ImportedToken};

use super::KnownClient;
use super::session::flow_id;
use super::source::Row;
use super::value::{instant, text};

/// How many used tokens of a login are remembered, the newest ones; and of those that are remembered already, all.
const USED: usize = 10;

/// One refresh token.
#[derive(Debug)]
pub(super) struct FamilyToken {
    pub(super) signature: [u8; HydraSecret::SIGNATURE_LEN],
    pub(super) issued_at: Timestamp,
    /// It may still be used.
    pub(super) active: bool,
    /// What it stood for, where it was taken over before.
    pub(super) before: Option<ImportedToken>,
    pub(super) row: Row,
}

impl FamilyToken {
    /// Reads a row; `None` where its signature is none.
    pub(super) fn read(row: Row) -> Option<Self> {
        Some(Self {
            signature: signature_of(text(&row, "signature"))?,
            issued_at: instant(&row, "requested_at")?,
            active: row.get("active").and_then(serde_json::Value::as_bool)?,
            before: None,
            row,
        })
    }

    /// The name of its row among what was taken over.
    pub(super) fn id(&self) -> ImportedId {
        ImportedId::of_token(HydraTokenKind::Refresh, &self.signature)
    }

    /// The grant of the token, or the one that it ends, where it was taken over before.
    pub(super) fn any_grant(&self) -> Option<GrantId> {
        match self.before {
            Some(ImportedToken::Refresh { grant, .. }) => Some(grant),
            _ => None,
        }
    }

    /// True where it was taken over for a client that has been deleted since, or whose tokens were all revoked.
    pub(super) fn is_of_former(&self, client: KnownClient) -> bool {
        match self.before {
            Some(ImportedToken::Refresh { incarnation, epoch, .. }) => {
                (incarnation, epoch) != (client.incarnation, client.epoch)
            }
            _ => false,
        }
    }

    fn grant_before(&self) -> Option<GrantId> {
        match self.before {
            Some(ImportedToken::Refresh { grant, used: false, .. }) => Some(grant),
            _ => None,
        }
    }
}

/// What becomes of the tokens of a family, each by its place in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FamilyPlan {
    /// Tokens that become the first ones of grants.
    pub(super) grants: Vec<PlannedGrant>,
    /// Tokens that were used, and the grant that ends where somebody comes with one.
    pub(super) used: Vec<(usize, GrantId)>,
    /// Tokens that were taken over before.
    pub(super) known: Vec<usize>,
}

/// A token that becomes the first one of a grant.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PlannedGrant {
    pub(super) token: usize,
    pub(super) grant: GrantId,
    /// The token whose place it takes: it was taken over before, and was used at Hydra since.
    pub(super) follows: Option<usize>,
}

/// When a family's login began.
pub(super) fn began(family: &[FamilyToken]) -> Timestamp {
    let login = family.iter().find_map(|token| instant(&token.row, "flow_requested_at"));
    login.or_else(|| family.iter().map(|token| token.issued_at).min()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Plans for a family, whose tokens come the newest first.
pub(super) fn plan(family: &[FamilyToken]) -> FamilyPlan {
    let mut plan = FamilyPlan::default();
    let mut followed: Vec<usize> = indices(family, |t| !t.active && t.grant_before().is_some());
    followed.reverse();
    let mut taken: Vec<GrantId> = family.iter().filter_map(FamilyToken::grant_before).collect();
    for token in indices(family, |token| token.active) {
        if family[token].before.is_some() {
            plan.known.push(token);
            continue;
        }
        let follows = followed.pop();
        let grant = follows.and_then(|at| family[at].grant_before());
        let grant = grant.unwrap_or_else(|| free_id(family, token, &taken));
        taken.push(grant);
        plan.grants.push(PlannedGrant { token, grant, follows });
    }
    let known = plan.known.iter().find_map(|at| family[*at].grant_before());
    let Some(ends) = plan.grants.first().map(|first| first.grant).or(known) else { return plan };
    for (newer, token) in indices(family, |token| !token.active).into_iter().enumerate() {
        match family[token].before {
            Some(ImportedToken::Refresh { used: true, .. }) => continue,
            // It was taken over as one that may be used: however long ago it was, it must not stay that.
            Some(_) => {}
            None if newer < USED => {}
            None => continue,
        }
        let ends =
            plan.grants.iter().find(|planned| planned.follows == Some(token)).map_or(ends, |p| p.grant);
        plan.used.push((token, ends));
    }
    plan
}

fn indices(family: &[FamilyToken], is_meant: impl Fn(&FamilyToken) -> bool) -> Vec<usize> {
    (0..family.len()).filter(|at| is_meant(&family[*at])).collect()
}

/// The id of the login, under which its consent goes too, or where that is taken one of the token's own.
fn free_id(family: &[FamilyToken], at: usize, taken: &[GrantId]) -> GrantId {
    let (began, row) = (began(family), &family[at].row);
    let of_login = flow_id(began, &[text(row, "request_id")]);
    if taken.contains(&of_login) {
        flow_id(began, &[text(row, "request_id"), text(row, "signature")])
    } else {
        of_login
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use oauth::Incarnation;
    use serde_json::{Value, json};

    fn token(number: u8, active: bool, before: Option<(GrantId, bool)>) -> FamilyToken {
        let Value::Object(row) = json!({
            "signature": URL_SAFE_NO_PAD.encode([number; 32]), "request_id": "login",
            "requested_at": format!("2026-11-22T22:02:{number:02}"), "active": active,
            "flow_requested_at": "2026-11-22T22:01:00",
        }) else {
            unreachable!()
        };
        let before = before.map(|(grant, used)| ImportedToken::Refresh {
            grant,
            used,
            incarnation: Incarnation(1),
            epoch: 0,
            issued_at: 0,
            expires_at: None,
        });
        FamilyToken { before, ..FamilyToken::read(row).unwrap() }
    }

    fn login() -> GrantId {
        flow_id("2026-11-22T22:01:00Z".parse().unwrap(), &["login"])
    }

    fn new(token: usize, grant: GrantId) -> PlannedGrant {
        PlannedGrant { token, grant, follows: None }
    }

    #[test]
    fn the_last_token_becomes_the_logins_grant_and_the_used_ones_end_it() {
        let family = [token(3, true, None), token(2, false, None), token(1, false, None)];
        let expected = FamilyPlan {
            grants: vec![new(0, login())],
            used: vec![(1, login()), (2, login())],
            known: vec![],
        };
        assert_eq!(plan(&family), expected);
    }

    #[test]
    fn of_two_tokens_each_has_a_grant() {
        let family = [token(3, true, None), token(2, true, None), token(1, false, None)];
        let plan = plan(&family);
        assert_eq!(plan.grants[0], new(0, login()));
        assert_ne!(plan.grants[1].grant, login());
        assert_eq!(plan.grants[1].grant.started_at(), login().started_at());
        assert_eq!(plan.used, [(2, login())]);
    }

    #[test]
    fn what_was_taken_over_before_stays_and_what_followed_it_takes_its_place() {
        let family = [token(1, true, Some((login(), false)))];
        assert_eq!(plan(&family), FamilyPlan { known: vec![0], ..FamilyPlan::default() });

        let family = [token(2, true, None), token(1, false, Some((login(), false)))];
        let expected = FamilyPlan {
            grants: vec![PlannedGrant { token: 0, grant: login(), follows: Some(1) }],
            used: vec![(1, login())],
            known: vec![],
        };
        assert_eq!(plan(&family), expected);

        let family = [token(2, true, Some((login(), false))), token(1, false, Some((login(), true)))];
        assert_eq!(plan(&family), FamilyPlan { known: vec![0], ..FamilyPlan::default() });
    }

    #[test]
    fn only_the_newest_used_tokens_are_remembered() {
        let used = (1..30).rev().map(|number| token(number, false, None));
        let family: Vec<_> = std::iter::once(token(31, true, None)).chain(used).collect();
        let numbers: Vec<usize> = plan(&family).used.into_iter().map(|(at, _)| at).collect();
        assert_eq!(numbers, (1..=10).collect::<Vec<_>>());
    }

    #[test]
    fn a_token_that_was_taken_over_ends_however_often_it_was_followed_at_hydra() {
        let mut family: Vec<FamilyToken> = (0..20).rev().map(|n| token(n, n == 19, None)).collect();
        family[19] = token(0, false, Some((login(), false)));
        let plan = plan(&family);
        assert_eq!(plan.grants, [PlannedGrant { token: 0, grant: login(), follows: Some(19) }]);
        assert_eq!(plan.used.last(), Some(&(19, login())));
        assert_eq!(plan.used.len(), 11);
    }
}
