//! Traces: spans that go out to a collector (OpenTelemetry, OTLP over HTTP).

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use opentelemetry::KeyValue;
use opentelemetry::global::BoxedTracer;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use server::RequestTracer;
use tokio::runtime::Handle;

use crate::config::{TraceProvider, Tracing};

/// How long a batch of spans may take to the collector.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// How long the last spans may take when the process stops.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// Traces that are being sent.
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: Arc<BoxedTracer>,
}

/// Starts to send traces, where the configuration says so, or else the environment by OpenTelemetry's variables.
///
/// # Errors
/// Where the collector's address or what goes with it cannot be used.
pub fn start(tracing: &Tracing) -> Result<Option<Traces>> {
    if !is_wanted(tracing.provider, |name| std::env::var(name).ok()) {
        return Ok(None);
    }
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_http_client(Collector::new().context("traces")?);
    if let Some(url) = &tracing.collector {
        exporter = exporter.with_endpoint(url.as_str());
    }
    if let Some(Ok(authorization)) = tracing.authorization.as_ref().map(|value| value.to_str()) {
        let headers = [("authorization".to_owned(), authorization.to_owned())];
        exporter = exporter.with_headers(HashMap::from(headers));
    }
    let exporter = exporter.build().context("traces cannot be sent")?;
    let mut provider =
        SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource(tracing));
    if let Some(ratio) = tracing.sampling_ratio {
        let kept = Sampler::TraceIdRatioBased(ratio);
        provider = provider.with_sampler(Sampler::ParentBased(Box::new(kept)));
    }
    let provider = provider.build();
    let tracer = Arc::new(BoxedTracer::new(Box::new(provider.tracer("keywright"))));
    Ok(Some(Traces { provider, tracer }))
}

impl Traces {
    /// What makes the spans of requests.
    pub fn of_requests(&self) -> RequestTracer {
        RequestTracer::new(Arc::clone(&self.tracer), TraceContextPropagator::new())
    }

    /// What makes the spans of statements.
    pub fn of_statements(&self) -> Arc<BoxedTracer> {
        Arc::clone(&self.tracer)
    }

    /// Sends what has not been sent yet.
    pub async fn finish(self) {
        let flushed = tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(FLUSH_LIMIT));
        if let Ok(Err(error)) = flushed.await {
            tracing::warn!(%error, "the last traces were not delivered");
        }
    }
}

/// The configuration decides; without a word of it, a collector in OpenTelemetry's own variables does.
fn is_wanted(provider: Option<TraceProvider>, variable: impl Fn(&str) -> Option<String>) -> bool {
    let value = |name| variable(name).unwrap_or_default().trim().to_ascii_lowercase();
    if value("OTEL_SDK_DISABLED") == "true" {
        return false;
    }
    if let Some(provider) = provider {
        return provider == TraceProvider::Otel;
    }
    let endpoints = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    let has_collector = endpoints.into_iter().any(|name| !value(name).is_empty());
    has_collector && ["", "otlp"].contains(&value("OTEL_TRACES_EXPORTER").as_str())
}

/// What the spans are of. OpenTelemetry's variables count (`OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`), the
/// configuration more.
fn resource(tracing: &Tracing) -> Resource {
    let detected = Resource::builder().build();
    let is_named = detected
        .iter()
        .any(|(key, value)| key.as_str() == "service.name" && !value.as_str().starts_with("unknown_service"));
    let own_name = || (!is_named).then(|| "keywright".to_owned());
    let name = tracing.service_name.clone().or_else(own_name);
    let environment = tracing.deployment_environment.clone();
    let attributes = [
        name.map(|name| KeyValue::new("service.name", name)),
        Some(KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))),
        environment.map(|name| KeyValue::new("deployment.environment.name", name)),
    ];
    Resource::builder().with_attributes(attributes.into_iter().flatten()).build()
}

/// The way to the collector: the HTTP stack that the server has anyway. Spans are sent from a thread of their own, so
/// the requests run on the runtime.
#[derive(Debug)]
struct Collector {
    http: reqwest::Client,
    runtime: Handle,
    is_failing: AtomicBool,
}

impl Collector {
    fn new() -> reqwest::Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(TIME_LIMIT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("keywright/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, runtime: Handle::current(), is_failing: AtomicBool::new(false) })
    }

    /// Says when delivery begins to fail and when it works again, not each time.
    fn note(&self, failure: Option<String>) {
        let is_failing = failure.is_some();
        if self.is_failing.swap(is_failing, Ordering::Relaxed) == is_failing {
            return;
        }
        if let Some(error) = failure {
            tracing::warn!(error, "traces are not delivered");
        } else {
            tracing::info!("traces are delivered again");
        }
    }
}

impl HttpClient for Collector {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let http = self.http.clone();
        let sent = self.runtime.spawn(async move {
            let response = http.execute(request.try_into()?).await?;
            let status = response.status();
            Ok::<_, reqwest::Error>((status, response.bytes().await?))
        });
        Box::pin(async move {
            let (status, body) = match sent.await? {
                Ok(answer) => answer,
                Err(error) => {
                    // The address may hold a credential.
                    let error = error.without_url();
                    self.note(Some(error.to_string()));
                    return Err(error.into());
                }
            };
            self.note((!status.is_success()).then(|| format!("the collector answers {status}")));
            Ok(Response::builder().status(status).body(body)?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

    #[test]
    fn traces_are_sent_where_the_configuration_or_the_environment_says_so() {
        use TraceProvider::{Otel, Other};
        type Variables = &'static [(&'static str, &'static str)];

        let cases: [(Option<TraceProvider>, Variables, bool); 9] = [
            (None, &[], false),
            (Some(Otel), &[], true),
            (Some(Other), &[ENDPOINT], false),
            (None, &[ENDPOINT], true),
            (None, &[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://a/v1/traces")], true),
            (None, &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")], false),
            (None, &[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")], false),
            (None, &[ENDPOINT, ("OTEL_TRACES_EXPORTER", "otlp")], true),
            (Some(Otel), &[("OTEL_SDK_DISABLED", "true")], false),
        ];
        for (provider, variables, wanted) in cases {
            let variable = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(is_wanted(provider, variable), wanted, "{provider:?} {variables:?}");
        }
    }
}
