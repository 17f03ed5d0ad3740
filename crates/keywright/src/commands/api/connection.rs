//! Requests to a running server.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;

use crate::cli::api::ApiArgs;

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
        self.http.request(method, format!("{}{path}", self.endpoint))
    }

    /// The answer to a request; an error where the server refuses it.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let response = request.send().await.map_err(reqwest::Error::without_url);
        let response = response.with_context(|| format!("{} does not answer", self.endpoint))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.unwrap_or_default();
        let said = serde_json::from_str::<Value>(&text).ok().and_then(|error| {
            let (code, description) = (error["error"].as_str()?, error["error_description"].as_str());
            Some(description.filter(|d| !d.is_empty()).map_or(code.to_owned(), |d| format!("{code}: {d}")))
        });
        bail!("the server answers {status}{}", said.map(|said| format!(": {said}")).unwrap_or_default())
    }

    /// The JSON answer to a request.
    pub(super) async fn json(&self, request: RequestBuilder) -> Result<Value> {
        self.send(request).await?.json().await.context("the server's answer is no JSON")
    }
}

/// An id in a path: whatever it holds, it stays one segment.
pub(super) fn segment(id: &str) -> String {
    percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC).to_string()
}
