//! A collector of traces (OTLP over HTTP).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::{any, post};
use http::{HeaderMap, StatusCode};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;

use super::eventually;

/// What it got, as it came.
#[derive(Default)]
struct Inner {
    batches: Vec<Bytes>,
    headers: Vec<HeaderMap>,
    hooked: Vec<HeaderMap>,
}

/// A collector; it is a hook without an opinion, too.
#[derive(Clone)]
pub struct Collector {
    inner: Arc<Mutex<Inner>>,
    /// Where it listens.
    pub address: String,
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let collector = Self { inner: Arc::default(), address };
        let routes = Router::new()
            .route("/v1/traces", post(take))
            .route("/hook", any(hook))
            .with_state(collector.clone());
        tokio::spawn(async { axum::serve(listener, routes).await });
        collector
    }

    /// All bytes of spans that it got.
    pub fn bytes(&self) -> Vec<u8> {
        self.inner.lock().unwrap().batches.concat()
    }

    /// The headers of the last batch.
    pub fn headers(&self) -> HeaderMap {
        self.inner.lock().unwrap().headers.last().unwrap().clone()
    }

    /// The headers of each request to the hook.
    pub fn hooked(&self) -> Vec<HeaderMap> {
        self.inner.lock().unwrap().hooked.clone()
    }

    fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        let batches = self.inner.lock().unwrap().batches.clone();
        batches.into_iter().map(|batch| ExportTraceServiceRequest::decode(batch).unwrap()).collect()
    }

    /// What the spans are of.
    pub fn resource(&self) -> BTreeMap<String, String> {
        let resource = self.requests()[0].resource_spans[0].resource.clone().unwrap();
        attributes(&resource.attributes)
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<Span> {
        let of_resources = self.requests().into_iter().flat_map(|request| request.resource_spans);
        of_resources.flat_map(|spans| spans.scope_spans).flat_map(|spans| spans.spans).collect()
    }

    /// Waits for a span of this name.
    pub async fn span(&self, name: &str) -> Span {
        let found = || self.spans().into_iter().find(|span| span.name == name);
        eventually(&format!("the span {name}"), || async { found().is_some() }).await;
        found().unwrap()
    }
}

async fn take(State(collector): State<Collector>, headers: HeaderMap, body: Bytes) {
    let mut inner = collector.inner.lock().unwrap();
    inner.batches.push(body);
    inner.headers.push(headers);
}

async fn hook(State(collector): State<Collector>, headers: HeaderMap) -> StatusCode {
    collector.inner.lock().unwrap().hooked.push(headers);
    StatusCode::NO_CONTENT
}

/// Attributes as text.
pub fn attributes(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| match attribute.value.clone().unwrap().value.unwrap() {
        any_value::Value::StringValue(text) => text,
        any_value::Value::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    };
    attributes.iter().map(|attribute| (attribute.key.clone(), text(attribute))).collect()
}
