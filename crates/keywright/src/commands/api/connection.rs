//! Requests to a running server.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use url::Url;

use crate::cli::api::ApiArgs;
use crate::commands::{complain, print};

/// How long a request may take.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// A way to one of the server's APIs.
pub(super) struct Connection {
    http: Client,
    endpoint: String,
}

impl Connection {
    /// # Errors
    /// Where no endpoint is given, or a header is none.
    pub(super) fn new(args: &ApiArgs) -> Result<Self> {
        let endpoint = args.endpoint.as_deref().map(|url| url.trim_end_matches('/')).unwrap_or_default();
        if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
            bail!("no endpoint: give --endpoint or ORY_SDK_URL, such as http://127.0.0.1:4445");
        }
        let mut headers = HeaderMap::new();
        for text in &args.headers {
            let header = text.split_once(':').and_then(|(name, value)| {
                Some((name.trim().parse::<HeaderName>().ok()?, HeaderValue::from_str(value.trim()).ok()?))
            });
            // Not repeated: it may hold a credential.
            let (name, value) =
                header.ok_or_else(|| anyhow!("--http-header must be given as 'Name: value'"))?;
            headers.append(name, value);
        }
        let http = Client::builder()
            .timeout(TIME_LIMIT)
            .default_headers(headers)
            .redirect(reqwest::redirect::Policy::none())
            .tls_danger_accept_invalid_certs(args.skip_tls_verify)
            .build()
            .context("requests are not possible")?;
        Ok(Self { http, endpoint: endpoint.to_owned() })
    }

    /// A request to a path below the endpoint.
    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(path))
    }

    /// The address of a path below the endpoint.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.endpoint)
    }

    /// A request with a body to an address of its own, or else to a path below the endpoint.
    pub(super) fn post(&self, own: Option<&Url>, path: &str) -> RequestBuilder {
        self.http.post(own.map_or_else(|| self.url(path), Url::to_string))
    }

    /// The answer to a request; an error where the server refuses it.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let response = request.send().await.map_err(reqwest::Error::without_url);
        let response = response.with_context(|| format!("{} does not answer", self.endpoint))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let text = response.text().await.unwrap_or_default();
        Err(refusal(status, &serde_json::from_str(&text).unwrap_or_default()))
    }

    /// The status and the JSON of the answer to a request, whatever they are.
    pub(super) async fn answer(&self, request: RequestBuilder) -> Result<(StatusCode, Value)> {
        let response = request.send().await.map_err(reqwest::Error::without_url);
        let response = response.with_context(|| format!("{} does not answer", self.endpoint))?;
        let status = response.status();
        Ok((status, response.json().await.unwrap_or_default()))
    }

    /// The JSON answer to a request.
    pub(super) async fn json(&self, request: RequestBuilder) -> Result<Value> {
        self.send(request).await?.json().await.context("the server's answer is no JSON")
    }
}

/// What a server says that refuses something (RFC 6749 §5.2).
pub(super) fn refusal(status: StatusCode, error: &Value) -> anyhow::Error {
    let said = error["error"].as_str().map(|code| match error["error_description"].as_str() {
        Some(description) if !description.is_empty() => format!(": {code}: {description}"),
        _ => format!(": {code}"),
    });
    anyhow!("the server answers {status}{}", said.unwrap_or_default())
}

/// Deletes what is below `path`, and prints what is gone. One that cannot be deleted does not keep the others.
///
/// # Errors
/// Where some were not deleted; `what` says what they are.
pub(super) async fn delete_each(args: &ApiArgs, path: &str, ids: &[String], what: &str) -> Result<()> {
    let connection = Connection::new(args)?;
    let mut failed = 0;
    for id in ids {
        let request = connection.request(Method::DELETE, &format!("{path}/{}", segment(id)));
        match connection.send(request).await {
            Ok(_) => print(&format!("{id}\n"))?,
            Err(error) => {
                complain(&format!("{id}: {error:#}"));
                failed += 1;
            }
        }
    }
    if failed > 0 {
        bail!("{failed} of {} {what} were not deleted", ids.len());
    }
    Ok(())
}

/// An id in a path: whatever it holds, it stays one segment.
pub(super) fn segment(id: &str) -> String {
    percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC).to_string()
}
