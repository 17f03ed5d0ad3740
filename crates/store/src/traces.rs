//! Spans of statements (OpenTelemetry), in the span of whoever waits for them.
//!
//! A span says which kind of statement it was and how long it took, the wait for its turn included; never a value.

use opentelemetry::global::{BoxedSpan, BoxedTracer};
use opentelemetry::trace::{Span, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};

use crate::Error;
use crate::database::Dialect;

/// The span of a statement that somebody waits for; it ends when this is dropped.
pub(crate) struct StatementSpan(Option<BoxedSpan>);

impl StatementSpan {
    /// Begins one where there is a tracer and the caller has a span that is recorded; else this costs nothing.
    pub(crate) fn begin(tracer: Option<&BoxedTracer>, operation: &'static str, dialect: Dialect) -> Self {
        let is_recorded = || Context::map_current(|context| context.span().is_recording());
        let Some(tracer) = tracer.filter(|_| is_recorded()) else { return Self(None) };
        let system = match dialect {
            Dialect::Postgres => "postgresql",
            Dialect::Sqlite => "sqlite",
        };
        let attributes =
            [KeyValue::new("db.system.name", system), KeyValue::new("db.operation.name", operation)];
        let span = tracer.span_builder(operation).with_kind(SpanKind::Client).with_attributes(attributes);
        Self(Some(span.start(tracer)))
    }

    /// Ends it with what became of the statement.
    pub(crate) fn end<T>(self, outcome: Result<T, Error>) -> Result<T, Error> {
        if let (Some(mut span), Err(error)) = (self.0, &outcome) {
            let kind = if matches!(error, Error::Unavailable(_)) { "unavailable" } else { "refused" };
            span.set_attribute(KeyValue::new("error.type", kind));
            span.set_status(Status::error(kind));
        }
        outcome
    }
}
