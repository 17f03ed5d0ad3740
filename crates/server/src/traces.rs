//! Spans (OpenTelemetry): one for each request that is served, and one for each that the server makes.
//!
//! A span holds what is named here and nothing else: method, template of the path, status, and of a request that the
//! server makes the host. Never a query, a header, a body, or what stands in a path. Names follow the semantic
//! conventions for HTTP spans. What a caller's `traceparent` says is taken over, and passed on (W3C Trace Context).
//!
//! Until [`start_traces`] is called, all of it costs a look at a constant.

use std::sync::OnceLock;

use axum::extract::Request;
use http::{HeaderMap, Method};
use opentelemetry::global::{self, BoxedTracer};
use opentelemetry::trace::{SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use url::Url;

use crate::router;

static TRACER: OnceLock<BoxedTracer> = OnceLock::new();

/// Makes spans from now on, in the whole process, with the provider and the propagator that are installed in
/// [`opentelemetry::global`].
pub fn start_traces() {
    // A second start, in a test, keeps the first.
    let _ = TRACER.set(global::tracer("keywright"));
}

/// A span under way; it ends when its last clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct RequestSpan(Context);

impl RequestSpan {
    /// That of a request to `endpoint`, the template of its path. `None` without traces, and for what probes ask.
    pub(crate) fn served(request: &Request, endpoint: &'static str) -> Option<Self> {
        let tracer = TRACER.get()?;
        if router::is_probed(endpoint) {
            return None;
        }
        let headers = HeaderExtractor(request.headers());
        let extract = |propagator: &dyn opentelemetry::propagation::TextMapPropagator| {
            propagator.extract_with_context(&Context::new(), &headers)
        };
        let parent = global::get_text_map_propagator(extract);
        let method = known(request.method());
        let attributes =
            [KeyValue::new("http.request.method", method), KeyValue::new("http.route", endpoint)];
        let span = tracer
            .span_builder(format!("{method} {endpoint}"))
            .with_kind(SpanKind::Server)
            .with_attributes(attributes)
            .start_with_context(tracer, &parent);
        Some(Self(parent.with_span(span)))
    }

    /// That of a request that the server makes, below the span of what makes it. `headers` get what tells the other end.
    pub(crate) fn asked(method: &Method, url: &Url, headers: &mut HeaderMap) -> Option<Self> {
        let tracer = TRACER.get()?;
        let method = known(method);
        let mut attributes = vec![
            KeyValue::new("http.request.method", method),
            KeyValue::new("server.address", url.host_str().unwrap_or_default().to_owned()),
        ];
        let port = url.port_or_known_default();
        attributes.extend(port.map(|port| KeyValue::new("server.port", i64::from(port))));
        let parent = Context::current();
        let span = tracer
            .span_builder(method)
            .with_kind(SpanKind::Client)
            .with_attributes(attributes)
            .start_with_context(tracer, &parent);
        let context = parent.with_span(span);
        global::get_text_map_propagator(|propagator| {
            propagator.inject_context(&context, &mut HeaderInjector(headers));
        });
        Some(Self(context))
    }

    /// What stands beside it while it is under way: [`Context::current`].
    pub(crate) fn context(&self) -> Context {
        self.0.clone()
    }

    /// The trace's id, by which log lines find it.
    pub(crate) fn trace_id(&self) -> String {
        self.0.span().span_context().trace_id().to_string()
    }

    /// A request ended with this status: the server's own failures count as errors.
    pub(crate) fn answered(&self, status: u16) {
        self.ended(status, status >= 500);
    }

    /// A request that the server made was answered with this status: any refusal counts as an error.
    pub(crate) fn got(&self, status: u16) {
        self.ended(status, status >= 400);
    }

    /// It came to nothing. `kind` is one of few words.
    pub(crate) fn failed(&self, kind: &'static str) {
        let span = self.0.span();
        span.set_attribute(KeyValue::new("error.type", kind));
        span.set_status(Status::error(kind));
        span.end();
    }

    fn ended(&self, status: u16, is_error: bool) {
        let span = self.0.span();
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        if is_error {
            span.set_attribute(KeyValue::new("error.type", status.to_string()));
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

/// A method's name, of few: a caller may invent others.
fn known(method: &Method) -> &'static str {
    let known = [
        (Method::GET, "GET"),
        (Method::POST, "POST"),
        (Method::PUT, "PUT"),
        (Method::PATCH, "PATCH"),
        (Method::DELETE, "DELETE"),
        (Method::HEAD, "HEAD"),
        (Method::OPTIONS, "OPTIONS"),
    ];
    known.into_iter().find(|(known, _)| known == method).map_or("_OTHER", |(_, name)| name)
}
