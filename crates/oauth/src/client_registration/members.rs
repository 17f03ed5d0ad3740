//! The members of a document, taken one after the other.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::invalid;
use crate::{ClientSecret, Error};

/// The members that were not taken yet.
pub(super) struct Members(Map<String, Value>);

impl Members {
    pub(super) fn new(document: Map<String, Value>) -> Self {
        Self(document)
    }

    /// A member's value as it is; `None` where it is absent, `null` or `""`.
    pub(super) fn take_value(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null() && value.as_str() != Some(""))
    }

    /// A member, parsed.
    ///
    /// # Errors
    /// `invalid_client_metadata` naming the member, and what was expected.
    pub(super) fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, Error> {
        let parsed = self.take_value(name).map(serde_json::from_value).transpose();
        parsed.map_err(|error| invalid(name, error))
    }

    /// A secret. Whatever is wrong with it, the error does not show it.
    pub(super) fn take_secret(&mut self, name: &str) -> Result<Option<ClientSecret>, Error> {
        match self.take_value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(ClientSecret::new(text))),
            Some(_) => Err(invalid(name, "it is no string")),
        }
    }
}
