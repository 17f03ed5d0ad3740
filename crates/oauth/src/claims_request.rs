//! The `claims` parameter (OpenID Connect Core §5.5): which claims a client wants, and where.
//!
//! What the claims are, the consent app says: it sees the parameter. This server sees to three things itself. A claim that
//! is named for one place only is released in that place only ([`ClaimsRequest::placement`]). The user is the one whose
//! `sub` is named ([`ClaimsRequest::names`]). And an essential `acr` is met, or there is no response
//! ([`ClaimsRequest::accepts_acr`]).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Error, ErrorCode};

/// What a request says about claims. The default asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClaimsRequest {
    userinfo: Vec<String>,
    id_token: Vec<String>,
    /// For each place that says so, the values of `sub` that it takes.
    subjects: Vec<Vec<String>>,
    /// For each place that says so, the values of `acr` that it takes; none means any.
    essential_acrs: Vec<Vec<String>>,
}

/// Where claims are released that do not go everywhere, whoever adds them to what was granted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimsPlacement {
    /// In ID tokens, and not at the userinfo endpoint.
    pub id_token_only: Vec<String>,
    /// At the userinfo endpoint, and not in ID tokens.
    pub userinfo_only: Vec<String>,
}

/// How one claim is asked for (§5.5.1).
#[derive(Default)]
struct Demand {
    essential: bool,
    values: Vec<String>,
}

impl ClaimsRequest {
    /// Reads the parameter.
    ///
    /// # Errors
    /// `invalid_request` naming the member at fault.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let value: Value = serde_json::from_str(text).map_err(|error| {
            Error::invalid_request(format!("The parameter 'claims' is no JSON: {error}."))
        })?;
        let Value::Object(members) = value else { return Err(malformed("it is no object")) };
        let mut request = Self::default();
        request.userinfo = request.read_place(&members, "userinfo")?;
        request.id_token = request.read_place(&members, "id_token")?;
        Ok(request)
    }

    /// The names of the claims that a place is asked for.
    fn read_place(&mut self, members: &Map<String, Value>, place: &str) -> Result<Vec<String>, Error> {
        let claims = match members.get(place) {
            None | Some(Value::Null) => return Ok(vec![]),
            Some(Value::Object(claims)) => claims,
            Some(_) => return Err(malformed(format!("its member '{place}' is no object"))),
        };
        for (name, asked) in claims {
            let demand = Demand::read(asked).map_err(|why| malformed(format!("{place}.{name}: {why}")))?;
            match name.as_str() {
                "sub" if !demand.values.is_empty() => self.subjects.push(demand.values),
                "acr" if demand.essential => self.essential_acrs.push(demand.values),
                _ => {}
            }
        }
        Ok(claims.keys().cloned().collect())
    }

    /// True where something is asked of the userinfo endpoint.
    pub fn asks_userinfo(&self) -> bool {
        !self.userinfo.is_empty()
    }

    /// True where a claim of this name is asked for anywhere.
    pub fn asks(&self, name: &str) -> bool {
        self.userinfo.iter().chain(&self.id_token).any(|asked| asked == name)
    }

    /// True where the request is about the user that the client knows by this `sub`, or about anybody.
    pub fn names(&self, client_subject: &str) -> bool {
        self.subjects.iter().all(|values| values.iter().any(|value| value == client_subject))
    }

    /// True where a login of this `acr` will do.
    pub fn accepts_acr(&self, acr: &str) -> bool {
        let accepts = |values: &Vec<String>| match &values[..] {
            [] => !acr.is_empty(),
            values => values.iter().any(|value| value == acr),
        };
        self.essential_acrs.iter().all(accepts)
    }

    /// Checks a login that was made for this request (§5.5.1.1).
    ///
    /// # Errors
    /// `unmet_authentication_requirements`.
    pub fn check_acr(&self, acr: &str) -> Result<(), Error> {
        if self.accepts_acr(acr) {
            return Ok(());
        }
        let why = "The login has none of the values of acr that the parameter 'claims' says are essential.";
        Err(Error::new(ErrorCode::UnmetAuthenticationRequirements, why))
    }

    /// Where the claims go that are asked for in one place.
    pub fn placement(&self) -> ClaimsPlacement {
        let only = |here: &[String], there: &[String]| {
            here.iter().filter(|name| !there.contains(name)).cloned().collect()
        };
        ClaimsPlacement {
            id_token_only: only(&self.id_token, &self.userinfo),
            userinfo_only: only(&self.userinfo, &self.id_token),
        }
    }
}

impl Demand {
    fn read(asked: &Value) -> Result<Self, &'static str> {
        let members = match asked {
            Value::Null => return Ok(Self::default()),
            Value::Object(members) => members,
            _ => return Err("it is neither null nor an object"),
        };
        let essential = match members.get("essential") {
            None => false,
            Some(Value::Bool(essential)) => *essential,
            Some(_) => return Err("'essential' is neither true nor false"),
        };
        let values = match (members.get("value"), members.get("values")) {
            (Some(_), Some(_)) => return Err("it has both 'value' and 'values'"),
            (Some(value), None) => vec![value],
            (None, Some(Value::Array(values))) if !values.is_empty() => values.iter().collect(),
            (None, Some(_)) => return Err("'values' is no array, or an empty one"),
            (None, None) => vec![],
        };
        // Only subjects and authentication contexts are compared, and those are texts.
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Ok(Self { essential, values: values.into_iter().map(text).collect() })
    }
}

fn malformed(why: impl std::fmt::Display) -> Error {
    Error::invalid_request(format!("The parameter 'claims' is malformed: {why}."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn parse(value: &Value) -> ClaimsRequest {
        ClaimsRequest::parse(&value.to_string()).unwrap()
    }

    #[test]
    fn what_is_malformed_is_refused_by_its_name() {
        for (text, hint) in [
            ("", "is no JSON"),
            ("{", "is no JSON"),
            ("[]", "it is no object"),
            (r#"{"userinfo": ["email"]}"#, "'userinfo' is no object"),
            (r#"{"id_token": {"acr": "1"}}"#, "id_token.acr: it is neither null nor an object"),
            (r#"{"id_token": {"acr": {"essential": "yes"}}}"#, "'essential'"),
            (r#"{"id_token": {"acr": {"values": "1"}}}"#, "'values'"),
            (r#"{"id_token": {"acr": {"values": []}}}"#, "'values'"),
            (r#"{"id_token": {"sub": {"value": "a", "values": ["a"]}}}"#, "both"),
        ] {
            let error = ClaimsRequest::parse(text).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidRequest);
            assert!(error.description.contains(hint), "{text}: {error}");
        }
        assert_eq!(parse(&json!({"verified_claims": [], "userinfo": null})), ClaimsRequest::default());
    }

    #[test]
    fn a_claim_that_is_named_for_one_place_goes_there_only() {
        let request = parse(&json!({
            "userinfo": {"email": {"essential": true}, "picture": null, "phone": null},
            "id_token": {"groups": null, "phone": {"value": "1"}},
        }));
        let placement = request.placement();
        assert_eq!(placement.userinfo_only, ["email", "picture"]);
        assert_eq!(placement.id_token_only, ["groups"]);
        assert!(request.asks_userinfo() && !ClaimsRequest::default().asks_userinfo());
    }

    #[test]
    fn a_sub_names_the_user_whether_essential_or_not() {
        let one = parse(&json!({"id_token": {"sub": {"value": "alice"}}}));
        let several = parse(
            &json!({"id_token": {"sub": {"values": ["alice", "bob"]}}, "userinfo": {"sub": {"value": "bob"}}}),
        );
        let any = parse(&json!({"id_token": {"sub": {"essential": true}}}));
        for (request, subject, named) in [
            (&one, "alice", true),
            (&one, "bob", false),
            (&several, "alice", false),
            (&several, "bob", true),
            (&any, "carol", true),
        ] {
            assert_eq!(request.names(subject), named, "{request:?} {subject}");
        }
    }

    #[test]
    fn an_essential_acr_is_met_and_a_voluntary_one_is_not_asked_for() {
        let acr = |asked: Value| parse(&json!({"id_token": {"acr": asked}}));
        for (asked, acr_of_login, accepted) in [
            (json!({"essential": true, "values": ["2", "3"]}), "3", true),
            (json!({"essential": true, "values": ["2", "3"]}), "1", false),
            (json!({"essential": true, "value": "2"}), "", false),
            (json!({"essential": true}), "", false),
            (json!({"essential": true}), "1", true),
            (json!({"values": ["2"]}), "1", true),
            (Value::Null, "", true),
        ] {
            let request = acr(asked.clone());
            assert_eq!(request.accepts_acr(acr_of_login), accepted, "{asked}");
            let code = request.check_acr(acr_of_login).err().map(|error| error.code.as_str());
            assert_eq!(code, (!accepted).then_some("unmet_authentication_requirements"));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
            let _ = ClaimsRequest::parse(&text);
        }
    }
}
