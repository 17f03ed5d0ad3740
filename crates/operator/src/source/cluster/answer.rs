//! What the API server's answers mean to a reconciler.

use std::error::Error;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::core::Status;

use crate::ObjectError;

/// The longest that one call may take. It bounds a connection that a network silently eats, and the client's own
/// retries of 429 and 503.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest text that is taken over from an API server or a webhook, in bytes.
const LONGEST_TEXT: usize = 500;

/// Waits for an answer, for at most half a minute.
pub(super) async fn answer<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, ObjectError> {
    within(call).await?.map_err(classify)
}

/// The same with the API server's refusal as it is, for calls where it says more than [`ObjectError`].
pub(super) async fn within<T>(
    call: impl Future<Output = kube::Result<T>>,
) -> Result<kube::Result<T>, ObjectError> {
    let late = |_| ObjectError::Unavailable(format!("no answer in {} s", TIMEOUT.as_secs()));
    tokio::time::timeout(TIMEOUT, call).await.map_err(late)
}

/// Sorts an error by what the caller does about it.
pub(super) fn classify(error: kube::Error) -> ObjectError {
    match error {
        kube::Error::Api(status) => of_status(&status),
        // Their texts quote what was read.
        kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => {
            ObjectError::Unavailable("the answer could not be read".to_owned())
        }
        other => ObjectError::Unavailable(shortened(&with_sources(&other))),
    }
}

fn of_status(status: &Status) -> ObjectError {
    match status.code {
        409 => ObjectError::Raced,
        // The API server is there, and somebody else's webhook is not: that may last, and must be told.
        500 if status.message.contains("failed calling webhook") => {
            ObjectError::Refused(shortened(&status.message))
        }
        0 | 401 | 408 | 429 | 500.. => ObjectError::Unavailable(shortened(&status.message)),
        _ => ObjectError::Refused(shortened(&status.message)),
    }
}

/// Takes the Secret's values out of a text: a webhook may quote in its refusal what it was shown.
pub(super) fn without_values_of(error: ObjectError, secret: &Secret) -> ObjectError {
    let clean = |mut text: String| {
        for value in secret.data.iter().flat_map(|data| data.values()) {
            let plain = String::from_utf8_lossy(&value.0).into_owned();
            let encoded = serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned));
            for form in [Some(plain), encoded].into_iter().flatten().filter(|form| !form.is_empty()) {
                text = text.replace(&form, "…");
            }
        }
        text
    };
    match error {
        ObjectError::Refused(text) => ObjectError::Refused(clean(text)),
        ObjectError::Unavailable(text) => ObjectError::Unavailable(clean(text)),
        ObjectError::Raced => ObjectError::Raced,
    }
}

/// At most so much of a text as a condition or an event should carry.
pub(super) fn shortened(text: &str) -> String {
    if text.len() <= LONGEST_TEXT {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(LONGEST_TEXT)])
}

/// An error and what caused it: the outer text alone says no more than "client error".
fn with_sources(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::ByteString;

    use super::*;

    fn api_error(code: u16, message: &str) -> ObjectError {
        let status = Status { code, message: message.to_owned(), ..Status::success() };
        classify(kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn answers_are_sorted_by_what_can_be_done_about_them() {
        for code in [400, 403, 404, 413, 422] {
            assert!(matches!(api_error(code, "no"), ObjectError::Refused(text) if text == "no"), "{code}");
        }
        for code in [0, 401, 429, 500, 503, 504] {
            assert!(matches!(api_error(code, "later"), ObjectError::Unavailable(_)), "{code}");
        }
        let unasked = "Internal error occurred: failed calling webhook \"a.example.com\": connection refused";
        assert!(matches!(api_error(500, unasked), ObjectError::Refused(_)));
        assert!(matches!(api_error(409, "stale"), ObjectError::Raced));
    }

    #[test]
    fn what_a_webhook_quotes_of_a_secret_is_taken_out_again() {
        let data = BTreeMap::from([("CLIENT_SECRET".to_owned(), ByteString(b"hunter2hunter2".to_vec()))]);
        let secret = Secret { data: Some(data), ..Secret::default() };
        let error = api_error(400, "denied: hunter2hunter2, aHVudGVyMmh1bnRlcjI=");
        assert_eq!(without_values_of(error, &secret).to_string(), "refused: denied: …, …");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let ObjectError::Refused(text) = api_error(422, &"é".repeat(1000)) else { panic!("not refused") };
        assert_eq!(text.chars().count(), 251);
    }
}
