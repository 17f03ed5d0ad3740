//! A client's own public keys, written into its resource.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A set of public keys (RFC 7517 section 5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublicJwks {
    /// The keys.
    #[schemars(length(min = 1, max = 16))]
    pub keys: Vec<PublicJwk>,
}

/// One public key (RFC 7517 section 4), as it was written. The schema refuses private and symmetric
/// keys; the rest of its content is for the server to judge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublicJwk(pub Map<String, Value>);

impl JsonSchema for PublicJwk {
    fn schema_name() -> Cow<'static, str> {
        "PublicJwk".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "required": ["kty"],
            "x-kubernetes-preserve-unknown-fields": true,
            "properties": {
                "kty": {"type": "string", "enum": ["RSA", "EC", "OKP"], "description": "Key type."},
                "d": {"type": "string", "maxLength": 0, "description": "Private keys are refused."},
                "k": {"type": "string", "maxLength": 0, "description": "Symmetric keys are refused."},
            },
        })
    }
}
