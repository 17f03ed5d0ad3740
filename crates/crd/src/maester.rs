//! `OAuth2Client` of `hydra.ory.sh/v1alpha1`, the resource of Ory's Hydra Maester, and the way from it to ours.

mod convert;
mod lifespans;
mod oauth2_client;

pub use convert::{Conversion, LifespanError, convert, spec};
pub use lifespans::TokenLifespans;
pub use oauth2_client::{
    HydraAdmin, MaesterCondition, OAuth2Client, OAuth2ClientSpec, OAuth2ClientStatus, ReconciliationError,
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::schema;

/// API group of Hydra Maester's resources.
pub const GROUP: &str = "hydra.ory.sh";
/// `apiVersion` of Hydra Maester's resources.
pub const API_VERSION: &str = "hydra.ory.sh/v1alpha1";
/// The finalizer that Hydra Maester gives each of its resources.
pub const FINALIZER: &str = "finalizer.ory.hydra.sh";

/// The owner of a client as Hydra Maester writes it: by it a resource knows the client that Maester registered for it.
#[must_use]
pub fn owner(name: &str, namespace: &str) -> String {
    format!("{name}/{namespace}")
}

/// The definition of Hydra Maester's `OAuth2Client`: what Maester's accepts, this accepts.
pub fn crd() -> CustomResourceDefinition {
    let mut crd = schema::finish(OAuth2Client::crd());
    // Maester itself writes null here when it adds its finalizer.
    for version in &mut crd.spec.versions {
        let root = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        let spec = root.and_then(|root| root.properties.as_mut()?.get_mut("spec"));
        if let Some(metadata) = spec.and_then(|spec| spec.properties.as_mut()?.get_mut("metadata")) {
            metadata.nullable = Some(true);
        }
    }
    crd
}
