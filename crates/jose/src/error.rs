//! The one error type of this crate.

/// Why something cryptographic was refused. No variant carries a secret, a token or a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The name is none of the algorithms of [`Algorithm`](crate::Algorithm); the caller refuses its input.
    #[error("algorithm {0:?} is not supported")]
    UnsupportedAlgorithm(String),
    /// A key is malformed, inconsistent, or of the wrong kind for what it was asked to do.
    #[error("unusable key: {0}")]
    InvalidKey(&'static str),
    /// A token is malformed or its signature does not verify; the caller refuses it.
    #[error("invalid token: {0}")]
    InvalidToken(&'static str),
    /// Sealed data did not open: another key, another purpose, another owner, or it was changed.
    #[error("sealed data does not open with these keys for this purpose")]
    NotOpened,
    /// A system secret is shorter than [`SystemSecret::MIN_CHARS`](crate::SystemSecret::MIN_CHARS).
    #[error("a system secret needs at least 16 characters")]
    WeakSecret,
    /// The cryptographic library failed at something that should work; not the caller's fault.
    #[error("cryptography failed: {0}")]
    Crypto(&'static str),
}
