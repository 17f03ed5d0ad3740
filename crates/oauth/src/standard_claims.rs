//! Which claims about a user a scope gives (OpenID Connect Core §5.4).

use crate::ScopeSet;

const OF_PROFILE: [&str; 14] = [
    "name",
    "family_name",
    "given_name",
    "middle_name",
    "nickname",
    "preferred_username",
    "profile",
    "picture",
    "website",
    "gender",
    "birthdate",
    "zoneinfo",
    "locale",
    "updated_at",
];

/// The claims that a scope gives; none for one that is not of OpenID Connect.
fn of_scope(scope: &str) -> &'static [&'static str] {
    match scope {
        "profile" => &OF_PROFILE,
        "email" => &["email", "email_verified"],
        "address" => &["address"],
        "phone" => &["phone_number", "phone_number_verified"],
        _ => &[],
    }
}

/// True where one of the scopes gives this claim. A scope that is not of OpenID Connect gives the claim of its own name:
/// `groups` gives `groups`.
pub fn is_given(name: &str, scopes: &ScopeSet) -> bool {
    scopes.contains(name) || scopes.iter().any(|scope| of_scope(scope.as_str()).contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_scope_gives_its_own_claims_and_no_others() {
        let claims = json!({
            "name": "Alice", "locale": "en", "email": "a@example.com", "email_verified": true,
            "address": {"country": "FR"}, "phone_number": "+33", "groups": ["staff"], "salary": 1,
        });
        for (scopes, given) in [
            ("openid", vec![]),
            ("openid profile", vec!["locale", "name"]),
            ("email", vec!["email", "email_verified"]),
            ("address phone", vec!["address", "phone_number"]),
            ("groups", vec!["groups"]),
            ("offline_access orders.read", vec![]),
        ] {
            let scopes = scopes.parse().unwrap();
            let claims = claims.as_object().unwrap().keys().map(String::as_str);
            let mut names: Vec<_> = claims.filter(|name| is_given(name, &scopes)).collect();
            names.sort_unstable();
            assert_eq!(names, given, "{scopes:?}");
        }
    }
}
