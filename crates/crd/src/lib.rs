//! Keywright's custom resources, `OAuth2Client` and `JsonWebKeySet`, and Hydra Maester's beside them: types, the
//! CustomResourceDefinitions generated from them, and the check of a manifest without an API server.
//!
//! ```text
//! types ──derive──▶ crds() ──▶ crds/*.yaml, `keywright crds`
//!                     └──────▶ Validator: manifest ──▶ the same types, or what the API server would say
//! ```

mod algorithm;
mod client_metadata;
mod client_secret;
mod condition;
mod duration;
mod json_web_key_set;
mod lifespans;
pub mod maester;
pub mod names;
mod oauth2_client;
mod public_jwks;
mod schema;
mod status_time;
mod string_enum;
mod validate;

pub use algorithm::{KeyAlgorithm, KeyUse, RsaBits, RsaBitsError, SigningAlgorithm};
pub use client_metadata::{
    AccessTokenStrategy, DeletionPolicy, GrantType, ResponseType, SubjectType, TokenEndpointAuthMethod,
};
pub use client_secret::{ClientSecret, SecretKeys, SecretRotation, SecretRotationStatus, SecretSource};
pub use condition::{Condition, ConditionStatus, ConditionType, Reason};
pub use duration::{DurationError, GoDuration};
pub use json_web_key_set::{
    Export, JsonWebKeySet, JsonWebKeySetSpec, JsonWebKeySetStatus, KeyState, KeyStatus, Rotation,
    RotationPolicy, Turn,
};
pub use lifespans::{AccessTokenLifespan, ImplicitLifespans, Lifespans, TokenLifespans};
pub use oauth2_client::{OAuth2Client, OAuth2ClientSpec, OAuth2ClientStatus};
pub use public_jwks::{PublicJwk, PublicJwks};
pub use schema::is_object_name;
pub use status_time::StatusTime;
pub use validate::{ManifestError, Problem, Problems, Resource, Validator};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// The CustomResourceDefinitions of both kinds.
pub fn crds() -> Vec<CustomResourceDefinition> {
    [OAuth2Client::crd(), JsonWebKeySet::crd()].map(schema::finish).into()
}

/// The CustomResourceDefinitions of both kinds as YAML, one document each.
pub fn crds_yaml() -> String {
    crds().iter().map(crd_yaml).collect::<Vec<_>>().join("---\n")
}

/// One CustomResourceDefinition as YAML.
#[expect(clippy::expect_used, clippy::missing_panics_doc, reason = "maps, lists, texts and numbers only")]
pub fn crd_yaml(crd: &CustomResourceDefinition) -> String {
    serde_yaml::to_string(crd).expect("a definition is YAML")
}
