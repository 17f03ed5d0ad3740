//! Scopes (RFC 6749 §3.3) and how a client's scopes allow a requested one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One scope: a non-empty string of printable ASCII without space, `"` and `\` (RFC 6749 appendix A.4).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scope(String);

/// Why a string is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a scope is printable ASCII without spaces, quotes and backslashes")]
pub struct InvalidScope;

impl Scope {
    /// Parses one scope.
    ///
    /// # Errors
    /// [`InvalidScope`] where the text is empty or holds a character outside RFC 6749's `scope-token`.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidScope> {
        let text = text.into();
        let valid = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        if valid { Ok(Self(text)) } else { Err(InvalidScope) }
    }

    /// The scope as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Scope {
    type Error = InvalidScope;

    fn try_from(text: String) -> Result<Self, InvalidScope> {
        Self::parse(text)
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.0
    }
}

/// Scopes in the order in which they were named, each once. On the wire: one string, separated by spaces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScopeSet(Vec<Scope>);

impl ScopeSet {
    /// True where no scope is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True where exactly this scope is in the set.
    pub fn contains(&self, name: &str) -> bool {
        self.iter().any(|scope| scope.as_str() == name)
    }

    /// The scopes, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }

    /// The first scope that `allowed` does not cover under `strategy`, if any.
    pub fn first_beyond(&self, allowed: &ScopeSet, strategy: ScopeStrategy) -> Option<&Scope> {
        self.iter().find(|scope| !allowed.covers(scope, strategy))
    }

    /// True where some scope of this set allows `requested`.
    pub fn covers(&self, requested: &Scope, strategy: ScopeStrategy) -> bool {
        self.iter().any(|allowed| strategy.allows(allowed.as_str(), requested.as_str()))
    }
}

impl FromStr for ScopeSet {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        text.split(' ').filter(|part| !part.is_empty()).map(Scope::parse).collect()
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut set = Vec::new();
        for scope in scopes {
            if !set.contains(&scope) {
                set.push(scope);
            }
        }
        Self(set)
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, scope) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

impl Serialize for ScopeSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ScopeSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// How a registered scope is compared with a requested one (Hydra's `strategies.scope`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScopeStrategy {
    /// Byte for byte.
    Exact,
    /// Segments between dots; a registered `*` stands for one segment, at the end for one or more.
    #[default]
    Wildcard,
}

impl ScopeStrategy {
    /// True where the registered scope `pattern` allows `requested`.
    pub fn allows(self, pattern: &str, requested: &str) -> bool {
        if self == Self::Exact || !pattern.contains('*') {
            return pattern == requested;
        }
        let patterns: Vec<&str> = pattern.split('.').collect();
        let segments: Vec<&str> = requested.split('.').collect();
        let Some((last, _)) = patterns.split_last() else { return false };
        let lengths_fit = match *last {
            "*" => segments.len() >= patterns.len(),
            _ => segments.len() == patterns.len(),
        };
        lengths_fit
            && segments.iter().all(|segment| !segment.is_empty())
            && patterns.iter().zip(&segments).all(|(p, s)| *p == "*" || p == s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_segment_and_at_the_end_for_more() {
        let cases = [
            ("read", "read", true),
            ("read", "write", false),
            ("orders.*", "orders.read", true),
            ("orders.*", "orders.read.all", true),
            ("orders.*", "orders", false),
            ("orders.*", "orders.", false),
            ("orders.*", "ordersx.read", false),
            ("*.read", "orders.read", true),
            ("*.read", "orders.write", false),
            ("*.read", "a.b.read", false),
            ("a.*.c", "a.b.c", true),
            ("a.*.c", "a..c", false),
            ("*", "anything.at.all", true),
            ("user:*", "user:read", false),
        ];
        for (pattern, requested, allowed) in cases {
            let got = ScopeStrategy::Wildcard.allows(pattern, requested);
            assert_eq!(got, allowed, "{pattern} vs {requested}");
        }
        assert!(!ScopeStrategy::Exact.allows("orders.*", "orders.read"));
        assert!(ScopeStrategy::Exact.allows("orders.*", "orders.*"));
    }

    #[test]
    fn a_set_keeps_its_order_and_names_each_scope_once() {
        let set: ScopeSet = "b  a b".parse().unwrap();
        assert_eq!(set.to_string(), "b a");
        assert!("a \"b\"".parse::<ScopeSet>().is_err());
        assert!("a\tb".parse::<ScopeSet>().is_err());
    }
}
