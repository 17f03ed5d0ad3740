//! The device authorization grant (RFC 8628): `POST /oauth2/device/auth`, and the browser's way through
//! `/oauth2/device/verify`.
//!
//! ```text
//!  device  ─▶ authorize ──▶ device code, user code
//!  browser ─▶ visit ──────▶ page for the code  (device_challenge)
//!             log_in ─────▶ login app          (device_verifier in, login_challenge out)
//!             after_login ▶ consent app        (login_verifier in, consent_challenge out)
//!             grant ──────▶ success page       (consent_verifier in)
//! ```

mod authorize;
mod verify;

pub(crate) use self::authorize::authorize;
pub(crate) use self::verify::{enter, verify};
