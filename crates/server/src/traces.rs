//! Spans (OpenTelemetry): one for each request that is served, and one for each that the server makes.
//!
//! A span holds what is named here and nothing else: method, template of the path, status, and of a request that the
//! server makes the host. Never a query, a header, a body, or what stands in a path. Names follow the semantic
//! conventions for HTTP spans. A request joins the trace that its caller's `traceparent` names (W3C Trace Context) only
//! where the caller is known, which is on the admin port: a stranger would choose what is recorded, and in whose trace.
//! A stranger's request begins a trace of its own, by this server's own sampling, with a link to the stranger's.
//!
//! Without a [`RequestTracer`], all of it costs a look at an `Option`.

use std::sync::Arc;

use axum::extract::Request;
use http::{HeaderMap, Method};
use opentelemetry::global::BoxedTracer;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Link, SpanContext, SpanKind, Status, TraceContextExt, TraceState, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use url::Url;

use crate::router;

/// What makes the spans of requests. Clones are one.
#[derive(Debug, Clone)]
pub struct RequestTracer {
    tracer: Arc<BoxedTracer>,
    propagator: Arc<dyn TextMapPropagator + Send + Sync>,
}

impl RequestTracer {
    /// Spans by `tracer`; `propagator` reads and writes the headers that name traces.
    pub fn new(tracer: Arc<BoxedTracer>, propagator: impl TextMapPropagator + Send + Sync + 'static) -> Self {
        Self { tracer, propagator: Arc::new(propagator) }
    }
}

/// Who calls an API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Callers {
    /// Anybody.
    Strangers,
    /// Those inside.
    Known,
}

/// A span under way; it ends when its last clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct RequestSpan(Context);

impl RequestSpan {
    /// That of a request to `endpoint`, the template of its path. `None` without traces, and for what probes ask.
    pub(crate) fn served(
        tracer: Option<&RequestTracer>,
        callers: Callers,
        request: &Request,
        endpoint: &'static str,
    ) -> Option<Self> {
        let RequestTracer { tracer, propagator } = tracer?;
        if router::is_probed(endpoint) {
            return None;
        }
        let headers = HeaderExtractor(request.headers());
        let named = propagator.extract_with_context(&Context::new(), &headers);
        let (parent, links) = match callers {
            Callers::Known => (named, Vec::new()),
            // A link to what is no trace is left out, and so is what else a stranger would have us write down.
            Callers::Strangers => {
                let span = named.span().span_context().clone();
                let (trace, span, flags) = (span.trace_id(), span.span_id(), span.trace_flags());
                let link = SpanContext::new(trace, span, flags, true, TraceState::NONE);
                (Context::new(), vec![Link::with_context(link)])
            }
        };
        let method = known(request.method());
        let attributes =
            [KeyValue::new("http.request.method", method), KeyValue::new("http.route", endpoint)];
        let span = tracer
            .span_builder(format!("{method} {endpoint}"))
            .with_kind(SpanKind::Server)
            .with_attributes(attributes)
            .with_links(links)
            .start_with_context(&**tracer, &parent);
        Some(Self(parent.with_span(span)))
    }

    /// That of a request that the server makes, below the span of what makes it. `headers` get what tells the other end.
    pub(crate) fn asked(
        tracer: Option<&RequestTracer>,
        method: &Method,
        url: &Url,
        headers: &mut HeaderMap,
    ) -> Option<Self> {
        let RequestTracer { tracer, propagator } = tracer?;
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
            .start_with_context(&**tracer, &parent);
        let context = parent.with_span(span);
        propagator.inject_context(&context, &mut HeaderInjector(headers));
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
