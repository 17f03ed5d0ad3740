//! `application/x-www-form-urlencoded` bodies and queries (RFC 6749 appendix B), read strictly.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use crate::Error;

/// The parameters of a request.
///
/// Strict where lenient readers lose or invent data: a broken percent-encoding, bytes that are not UTF-8, and a
/// parameter that comes twice (RFC 6749 §3.2) are errors. A parameter without a value counts as absent (§3.2).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Form(Vec<(String, String)>);

/// The most parameters that a request may carry: each one is compared with those before it.
const MAX_PARAMETERS: usize = 500;

/// Parameters of which a request may carry several values.
const REPEATABLE: [&str; 2] = ["audience", "resource"];

impl Form {
    /// Parses a body or a query.
    ///
    /// # Errors
    /// `invalid_request` for broken percent-encoding, invalid UTF-8, a repeated parameter, which it names, or too many.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        if has_broken_escape(body) {
            return Err(Error::invalid_request("The request holds a % that no two hex digits follow."));
        }
        // Every separator is ASCII, so the whole is valid UTF-8 exactly where each part is.
        if percent_decode(body).decode_utf8().is_err() {
            return Err(Error::invalid_request("The request is not valid UTF-8."));
        }
        let mut form = Self::default();
        for (name, value) in form_urlencoded::parse(body) {
            form.add(name.into_owned(), value.into_owned())?;
        }
        Ok(form)
    }

    /// These parameters and those of another part of the same request.
    ///
    /// # Errors
    /// `invalid_request` for a parameter that stands in both, which it names, or too many.
    pub fn and(mut self, other: Self) -> Result<Self, Error> {
        for (name, value) in other.0 {
            self.add(name, value)?;
        }
        Ok(self)
    }

    fn add(&mut self, name: String, value: String) -> Result<(), Error> {
        if self.0.len() == MAX_PARAMETERS {
            return Err(Error::invalid_request("The request has too many parameters."));
        }
        let repeated = self.0.iter().any(|(known, _)| *known == name);
        if repeated && !REPEATABLE.contains(&name.as_str()) {
            return Err(Error::invalid_request(format!(
                "The parameter '{}' comes more than once.",
                short(&name)
            )));
        }
        self.0.push((name, value));
        Ok(())
    }

    /// The value of a parameter; `None` where it is absent or empty.
    pub fn get<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// All values of a parameter that may come more than once; empty ones are left out.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(known, value)| known == name && !value.is_empty())
            .map(|(_, v)| v.as_str())
    }

    /// All parameters, in their order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The parameters but for those of these names.
    #[must_use]
    pub fn without(mut self, names: &[&str]) -> Self {
        self.0.retain(|(name, _)| !names.contains(&name.as_str()));
        self
    }

    /// The parameters sorted by name, and one more, as a query.
    pub fn to_query(&self, more: Option<(&str, &str)>) -> String {
        let mut pairs: Vec<_> = self.pairs().chain(more).collect();
        pairs.sort_by_key(|(name, _)| *name);
        form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    }

    /// The value of a parameter that must be there.
    ///
    /// # Errors
    /// `invalid_request` naming the parameter.
    pub fn require<'a>(&'a self, name: &'a str) -> Result<&'a str, Error> {
        self.get(name).ok_or_else(|| Error::invalid_request(format!("The parameter '{name}' is missing.")))
    }
}

impl FromIterator<(String, String)> for Form {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

/// Names only: values may be secrets.
impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// Decodes one form-urlencoded value, as RFC 6749 §2.3.1 has the parts of Basic credentials.
///
/// # Errors
/// `None` for broken percent-encoding or invalid UTF-8.
pub(crate) fn decode_value(value: &[u8]) -> Option<String> {
    if has_broken_escape(value) {
        return None;
    }
    let spaced: Cow<'_, [u8]> = if value.contains(&b'+') {
        value.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect()
    } else {
        value.into()
    };
    percent_decode(&spaced).decode_utf8().ok().map(Cow::into_owned)
}

fn has_broken_escape(bytes: &[u8]) -> bool {
    let broken = |i: usize| !bytes.get(i + 1..i + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
    bytes.iter().enumerate().any(|(i, &b)| b == b'%' && broken(i))
}

/// A parameter's name as it may stand in an error: nobody's error description grows with their request.
fn short(name: &str) -> String {
    name.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_decoded_and_empty_ones_count_as_absent() {
        let form = Form::parse(b"a=1+2&b=%C3%BC&c=&audience=x&audience=y").unwrap();
        assert_eq!(form.get("a"), Some("1 2"));
        assert_eq!(form.get("b"), Some("ü"));
        assert_eq!(form.get("c"), None);
        assert_eq!(form.all("audience").collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(form.require("d").unwrap_err().description, "The parameter 'd' is missing.");
    }

    #[test]
    fn a_body_that_could_be_read_in_two_ways_is_refused() {
        let cases: [(&[u8], &str); 6] = [
            (b"scope=a&scope=b", "'scope' comes more than once"),
            (b"scope=a&scope=", "'scope' comes more than once"),
            (b"a=%", "no two hex digits"),
            (b"a=%2", "no two hex digits"),
            (b"a=%zz", "no two hex digits"),
            (b"a=%ff", "not valid UTF-8"),
        ];
        for (body, hint) in cases {
            let error = Form::parse(body).unwrap_err();
            assert!(error.description.contains(hint), "{error}");
        }
    }

    #[test]
    fn two_parts_of_a_request_are_read_as_one() {
        let joined = |query: &str, body: &str| {
            let [query, body] = [query, body].map(|part| Form::parse(part.as_bytes()).unwrap());
            query.and(body).map(|form| form.to_query(None)).map_err(|error| error.description.into_owned())
        };
        let twice = |name: &str| Err(format!("The parameter '{name}' comes more than once."));
        let many = |prefix: &str| (0..300).map(|i| format!("{prefix}{i}=1")).collect::<Vec<_>>().join("&");
        let cases = [
            ("", "a=1", Ok("a=1".to_owned())),
            ("a=1", "", Ok("a=1".to_owned())),
            ("b=2", "a=1", Ok("a=1&b=2".to_owned())),
            ("audience=x", "audience=y", Ok("audience=x&audience=y".to_owned())),
            ("scope=a", "scope=a", twice("scope")),
            ("scope=a", "scope=", twice("scope")),
            (&many("p"), &many("q"), Err("The request has too many parameters.".to_owned())),
        ];
        for (query, body, want) in cases {
            assert_eq!(joined(query, body), want, "{query} {body}");
        }
    }

    #[test]
    fn a_body_of_nothing_but_parameters_is_refused_before_it_costs_anything() {
        let body = |count: usize| (0..count).map(|i| format!("p{i}=1")).collect::<Vec<_>>().join("&");
        assert!(Form::parse(body(MAX_PARAMETERS).as_bytes()).is_ok());
        let error = Form::parse(body(MAX_PARAMETERS + 1).as_bytes()).unwrap_err();
        assert!(error.description.contains("too many parameters"), "{error}");
    }

    #[test]
    fn debug_output_holds_no_values() {
        let form = Form::parse(b"client_secret=hunter2").unwrap();
        assert_eq!(format!("{form:?}"), r#"{"client_secret"}"#);
    }

    proptest! {
        #[test]
        fn any_body_parses_or_gives_an_error(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Form::parse(&body);
            let _ = decode_value(&body);
        }

        #[test]
        fn what_was_encoded_comes_back(name in "[a-z]{1,8}", value in "\\PC{1,40}") {
            let body = form_urlencoded::Serializer::new(String::new()).append_pair(&name, &value).finish();
            let form = Form::parse(body.as_bytes()).unwrap();
            prop_assert_eq!(form.get(&name), Some(value.as_str()));
        }
    }
}
