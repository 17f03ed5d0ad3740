//! The answer for what is not there: a page, text or JSON, by what the caller accepts.

use axum::response::Response;
use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, StatusCode};
use mime::Mime;

use crate::answer;

const PAGE: Bytes = Bytes::from_static(
    b"<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>404 Not Found</title></head>\n\
      <body><h1>404 Not Found</h1><p>There is nothing at this address.</p></body>\n</html>\n",
);
const TEXT: Bytes = Bytes::from_static(b"404 Not Found: there is nothing at this address\n");
const JSON: Bytes = Bytes::from_static(
    b"{\"error\":{\"code\":404,\"message\":\"Not Found\",\"reason\":\"There is nothing at this address.\"}}\n",
);

/// The forms, the default first.
const FORMS: [(Mime, &str, Bytes); 3] = [
    (mime::TEXT_HTML, "text/html; charset=utf-8", PAGE),
    (mime::TEXT_PLAIN, "text/plain; charset=utf-8", TEXT),
    (mime::APPLICATION_JSON, "application/json; charset=utf-8", JSON),
];

/// Marks an answer as that for an unknown path or method.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoRoute;

/// Answers for an unknown path, and for a method that a known one does not have.
pub(crate) async fn not_found(headers: HeaderMap) -> Response {
    let (content_type, body) = form(&headers);
    let mut response = answer::with_type(StatusCode::NOT_FOUND, HeaderValue::from_static(content_type), body);
    response.extensions_mut().insert(NoRoute);
    response
}

/// The form that the caller likes best (RFC 9110 §12.5.1): the highest quality, then the most specific range.
fn form(headers: &HeaderMap) -> (&'static str, Bytes) {
    let accepted: Vec<(Mime, f32)> = headers.get_all(ACCEPT).iter().flat_map(ranges).collect();
    let mut best = (0.0, 0);
    let [(_, mut chosen, mut body), ..] = FORMS;
    for (offered, content_type, text) in FORMS {
        let liking = accepted.iter().filter_map(|(range, q)| Some((*q, specificity(range, &offered)?)));
        for liking in liking.filter(|(q, _)| *q > 0.0) {
            if liking > best {
                (best, chosen, body) = (liking, content_type, text.clone());
            }
        }
    }
    (chosen, body)
}

fn ranges(accept: &HeaderValue) -> Vec<(Mime, f32)> {
    let ranges = accept.to_str().unwrap_or_default().split(',').filter_map(|range| range.trim().parse().ok());
    let quality = |range: &Mime| range.get_param("q").map_or(Some(1.0), |q| q.as_str().parse().ok());
    ranges.filter_map(|range: Mime| quality(&range).map(|q| (range, q))).collect()
}

fn specificity(range: &Mime, offered: &Mime) -> Option<u8> {
    match (range.type_(), range.subtype()) {
        (mime::STAR, mime::STAR) => Some(1),
        (kind, mime::STAR) if kind == offered.type_() => Some(2),
        (kind, subtype) if kind == offered.type_() && subtype == offered.subtype() => Some(3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_follows_what_the_caller_accepts() {
        let cases = [
            (None, "text/html"),
            (Some("*/*"), "text/html"),
            (Some("application/json"), "application/json"),
            (Some("application/json, text/plain, */*"), "text/plain"),
            (Some("application/json, */*;q=0.5"), "application/json"),
            (Some("text/html;q=0.1, text/plain;q=0.9"), "text/plain"),
            (Some("text/html;q=0, application/*"), "application/json"),
            (Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), "text/html"),
            (Some("image/png"), "text/html"),
            (Some("nonsense,,;q=x"), "text/html"),
        ];
        for (accept, expected) in cases {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(ACCEPT, HeaderValue::from_static(accept));
            }
            let (content_type, _) = form(&headers);
            assert!(content_type.starts_with(expected), "{accept:?}: {content_type}");
        }
    }
}
