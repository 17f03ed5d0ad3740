//! Answers in JSON, in the form that Hydra's users know: members in alphabetical order, Go's escapes, a line feed.

use std::io;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// `value` as JSON with a line feed. The members of `value` are declared in Hydra's order, mostly the alphabetical one.
pub(crate) fn to_json(value: &impl Serialize) -> Bytes {
    let mut bytes = Vec::with_capacity(512);
    let mut serializer = Serializer::with_formatter(&mut bytes, GoFormatter);
    #[expect(
        clippy::expect_used,
        reason = "every answer is a struct of strings and numbers, written to memory"
    )]
    value.serialize(&mut serializer).expect("an answer serialises");
    bytes.push(b'\n');
    bytes.into()
}

/// An answer of the other endpoints.
pub(crate) fn json(status: StatusCode, body: Bytes) -> Response {
    with_type(status, HeaderValue::from_static("application/json; charset=utf-8"), body)
}

/// An answer of an OAuth endpoint: nobody may keep it (RFC 6749 §5.1).
pub(crate) fn oauth_json(status: StatusCode, body: Bytes) -> Response {
    let mut response = with_type(status, HeaderValue::from_static("application/json;charset=UTF-8"), body);
    forbid_storing(&mut response);
    response
}

/// An answer of an OAuth endpoint that has nothing to say.
pub(crate) fn oauth_empty() -> Response {
    let mut response = Response::new(Body::empty());
    forbid_storing(&mut response);
    response
}

/// An answer of the other endpoints that has nothing to say.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

pub(crate) fn with_type(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

fn forbid_storing(response: &mut Response) {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
}

/// Compact JSON with the escapes of Go's encoder, which are safe to paste into HTML.
struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let (plain, special) = rest.split_at(at);
            let mut characters = special.chars();
            let character = characters.next().map_or(0, u32::from);
            write!(writer, "{plain}\\u{character:04x}")?;
            rest = characters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_written_as_go_writes_it() {
        let cases = [
            ("plain", "\"plain\"\n"),
            ("", "\"\"\n"),
            ("a&b<c>\"d\"\\", "\"a\\u0026b\\u003cc\\u003e\\\"d\\\"\\\\\"\n"),
            ("\u{2028}ü\u{2029}", "\"\\u2028ü\\u2029\"\n"),
            ("&&", "\"\\u0026\\u0026\"\n"),
        ];
        for (text, written) in cases {
            assert_eq!(to_json(&text), written.as_bytes(), "{text}");
        }
    }
}
