//! The pages of this server: fixed, accessible, and without anything that is loaded from elsewhere.

use askama::Template;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use jose::Entropy;
use oauth::RedirectUri;

use crate::{Server, answer, router};

/// The page for an error that no client can be told.
#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    nonce: &'a str,
    error: &'a str,
    description: &'a str,
}

/// The page in place of one that the configuration does not name.
#[derive(Template)]
#[template(path = "not_configured.html")]
struct NotConfiguredPage<'a> {
    nonce: &'a str,
    page: &'a str,
    setting: &'a str,
    variable: &'a str,
}

/// The page at the end of a logout, where the configuration names no other.
#[derive(Template)]
#[template(path = "logged_out.html")]
struct LoggedOutPage<'a> {
    nonce: &'a str,
    is_demonstration: bool,
}

/// The page that has the browser tell clients of a logout (OpenID Connect Front-Channel Logout §3).
#[derive(Template)]
#[template(path = "logging_out.html")]
struct LoggingOutPage<'a> {
    nonce: &'a str,
    /// In seconds.
    limit: u32,
    return_to: &'a str,
    frames: &'a [String],
}

/// The page on which a user code is entered.
#[derive(Template)]
#[template(path = "device.html")]
struct DevicePage<'a> {
    nonce: &'a str,
    action: &'a str,
    form: DeviceForm<'a>,
}

/// What the page for user codes shows.
#[derive(Clone, Copy)]
pub(crate) struct DeviceForm<'a> {
    /// The challenge, which goes along.
    pub(crate) challenge: &'a str,
    /// The code, as far as it is known.
    pub(crate) user_code: &'a str,
    /// What was wrong with it.
    pub(crate) problem: Option<&'a str>,
}

/// The page at the end of a device's flow, where the configuration names no other.
#[derive(Template)]
#[template(path = "device_done.html")]
struct DeviceDonePage<'a> {
    nonce: &'a str,
}

/// The form that the browser posts to the client (OAuth 2.0 Form Post Response Mode §2).
#[derive(Template)]
#[template(path = "form_post.html")]
struct FormPostPage<'a> {
    nonce: &'a str,
    action: &'a str,
    fields: &'a [(&'static str, String)],
}

/// Tells the user of an error.
pub(crate) fn error(status: StatusCode, error: &str, description: &str, entropy: &Entropy) -> Response {
    page(status, entropy, |nonce| ErrorPage { nonce, error, description }.render())
}

/// Tells whoever runs the server that a page is missing.
pub(crate) fn not_configured(page_name: &str, setting: &str, entropy: &Entropy) -> Response {
    let variable = setting.replace('.', "_").to_ascii_uppercase();
    page(StatusCode::OK, entropy, |nonce| {
        NotConfiguredPage { nonce, page: page_name, setting, variable: &variable }.render()
    })
}

/// Tells the user that they are logged out, and whoever runs the server what belongs here.
pub(crate) fn logged_out(is_demonstration: bool, entropy: &Entropy) -> Response {
    page(StatusCode::OK, entropy, |nonce| LoggedOutPage { nonce, is_demonstration }.render())
}

/// Has the browser tell clients that the user logged out, and go on when all have answered, or after `limit` seconds.
/// `frames` is what it loads, `origins` where that lies.
pub(crate) fn logging_out(
    return_to: &str,
    frames: &[String],
    origins: &[String],
    limit: u32,
    entropy: &Entropy,
) -> Response {
    let more = format!("; frame-src {}", origins.join(" "));
    page_with(StatusCode::OK, entropy, &more, |nonce| {
        LoggingOutPage { nonce, limit, return_to, frames }.render()
    })
}

/// Lets somebody enter a user code. Nothing happens before they press the button: a link that brings a code along
/// connects nobody's device by itself (RFC 8628 §5.4).
pub(crate) fn device(status: StatusCode, server: &Server, form: DeviceForm<'_>) -> Response {
    let action = server.settings().public_url.join(router::DEVICE_VERIFY);
    page(status, server.store().entropy(), |nonce| DevicePage { nonce, action: &action, form }.render())
}

/// Tells somebody that their device may go on.
pub(crate) fn device_done(entropy: &Entropy) -> Response {
    page(StatusCode::OK, entropy, |nonce| DeviceDonePage { nonce }.render())
}

/// Lets the browser post a response to the client.
pub(crate) fn form_post(
    action: &RedirectUri,
    fields: &[(&'static str, String)],
    entropy: &Entropy,
) -> Response {
    page(StatusCode::OK, entropy, |nonce| FormPostPage { nonce, action: action.as_str(), fields }.render())
}

/// Answers with a page, which `render` makes for a nonce.
///
/// Nothing is loaded from anywhere, and no script runs but the one that posts a response to the client. There is no
/// `form-action`: browsers apply it to all that a form's answer redirects to, and that is any client.
pub(crate) fn page(
    status: StatusCode,
    entropy: &Entropy,
    render: impl FnOnce(&str) -> Result<String, askama::Error>,
) -> Response {
    page_with(status, entropy, "", render)
}

/// `policy` continues the content security policy.
fn page_with(
    status: StatusCode,
    entropy: &Entropy,
    policy: &str,
    render: impl FnOnce(&str) -> Result<String, askama::Error>,
) -> Response {
    let nonce = STANDARD.encode(entropy.bytes::<16>());
    #[expect(clippy::expect_used, reason = "the templates only write strings to memory")]
    let html = render(&nonce).expect("a page renders");
    let content_type = HeaderValue::from_static("text/html;charset=UTF-8");
    let mut response = answer::with_type(status, content_type, html.into());
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; base-uri 'none'; \
         frame-ancestors 'none'{policy}"
    );
    let headers = response.headers_mut();
    // Base64 and origins within fixed words: always a header value.
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
