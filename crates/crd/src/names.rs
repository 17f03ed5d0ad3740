//! Every name that Keywright reads from or writes to the metadata of Kubernetes objects.

/// API group of both kinds.
pub const GROUP: &str = "keywright.dev";
/// Version of both kinds.
pub const VERSION: &str = "v1alpha1";
/// `apiVersion` of both kinds.
pub const API_VERSION: &str = "keywright.dev/v1alpha1";

/// Annotation of an `OAuth2Client`: a value that differs from the last one handled rotates the
/// generated client secret. Keywright never edits it.
pub const ROTATE_SECRET: &str = "keywright.dev/rotate-secret";
/// Annotation of a `JsonWebKeySet`: a value that differs from the last one handled publishes the
/// next key now and activates it after `publishBefore`.
pub const ROTATE: &str = "keywright.dev/rotate";
/// Annotation of a `JsonWebKeySet`: a value that differs from the last one handled activates a new
/// key at once, before verifiers can have seen it.
pub const ROTATE_NOW: &str = "keywright.dev/rotate-now";

/// Label, with the value [`LABEL_TRUE`], of Secrets that Keywright writes.
pub const MANAGED: &str = "keywright.dev/managed";
/// Label, with the value [`LABEL_TRUE`], by which the owner of a Secret allows that an
/// `OAuth2Client` reads it.
pub const SECRET_OPT_IN: &str = "keywright.dev/oauth2-client";
/// The value of [`MANAGED`] and [`SECRET_OPT_IN`].
pub const LABEL_TRUE: &str = "true";

/// Finalizer of an `OAuth2Client` with deletion policy `Delete`.
pub const CLIENT_FINALIZER: &str = "keywright.dev/client";
/// Finalizer of a `JsonWebKeySet` with deletion policy `Delete`.
pub const KEY_SET_FINALIZER: &str = "keywright.dev/key-set";

/// Entry of an export Secret that holds the key set as JSON (RFC 7517).
pub const EXPORT_KEY: &str = "jwks.json";
