//! A proxy before the API server that understands HTTP, and answers in its place on command.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use kube::{Client, Config};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::world::World;

/// What becomes of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// They are passed on.
    Fair,
    /// All are answered so, with `Retry-After` where seconds are given.
    Storm(StatusCode, Option<u64>),
    /// Watches are told that their place is lost (410); all else is passed on.
    Forgetful,
}

/// The proxy. A change of its weather ends all watches.
pub struct ApiProxy {
    weather: watch::Sender<Weather>,
    counters: Arc<Counters>,
    _server: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Counters {
    all: AtomicUsize,
    refused: AtomicUsize,
    forgotten: AtomicUsize,
    watches: AtomicUsize,
}

#[derive(Clone)]
struct Shared {
    client: Client,
    weather: watch::Receiver<Weather>,
    counters: Arc<Counters>,
}

impl ApiProxy {
    /// Before the API server of a world, and how an operator reaches that through it.
    pub async fn before(world: &World) -> (Self, Config) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = Config::new(format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap());
        config.headers.clone_from(&world.config.headers);
        let weather = watch::Sender::new(Weather::Fair);
        let counters = Arc::<Counters>::default();
        let shared =
            Shared { client: world.client.clone(), weather: weather.subscribe(), counters: counters.clone() };
        let router = Router::new().fallback(pass).with_state(shared);
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (Self { weather, counters, _server: AbortOnDropHandle::new(server) }, config)
    }

    pub fn turn(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// How many requests came so far.
    pub fn requests(&self) -> usize {
        self.counters.all.load(Ordering::SeqCst)
    }

    /// How many of them began a watch.
    pub fn watches(&self) -> usize {
        self.counters.watches.load(Ordering::SeqCst)
    }

    /// How many were answered by a storm.
    pub fn refused(&self) -> usize {
        self.counters.refused.load(Ordering::SeqCst)
    }

    /// How many watches were told that their place is lost.
    pub fn forgotten(&self) -> usize {
        self.counters.forgotten.load(Ordering::SeqCst)
    }
}

async fn pass(State(mut shared): State<Shared>, request: Request) -> Response {
    let weather = *shared.weather.borrow_and_update();
    let is_watch = request.uri().query().is_some_and(|query| query.contains("watch="));
    shared.counters.all.fetch_add(1, Ordering::SeqCst);
    if is_watch {
        shared.counters.watches.fetch_add(1, Ordering::SeqCst);
    }
    match weather {
        Weather::Storm(status, retry_after) => {
            shared.counters.refused.fetch_add(1, Ordering::SeqCst);
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, "application/json".parse().unwrap());
            if let Some(seconds) = retry_after {
                headers.insert(RETRY_AFTER, seconds.into());
            }
            (status, headers, failure(status).to_string()).into_response()
        }
        Weather::Forgetful if is_watch => Body::from(forgotten(&shared.counters)).into_response(),
        _ => forward(shared, request, is_watch).await,
    }
}

async fn forward(shared: Shared, request: Request, is_watch: bool) -> Response {
    let (mut parts, body) = request.into_parts();
    parts.headers.remove(HOST);
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let request = Request::from_parts(parts, kube::client::Body::from(body.to_vec()));
    let Ok(answer) = shared.client.send(request).await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let (parts, body) = answer.into_parts();
    let body = Body::new(body);
    if !is_watch {
        return Response::from_parts(parts, body);
    }
    let (mut changes, last) = (shared.weather.clone(), shared.weather);
    let until = Box::pin(async move {
        let _ = changes.changed().await;
    });
    let counters = shared.counters;
    let end = stream::once(async move {
        let forgetful = *last.borrow() == Weather::Forgetful;
        Ok::<_, axum::Error>(if forgetful { forgotten(&counters) } else { Bytes::new() })
    });
    Response::from_parts(parts, Body::from_stream(body.into_data_stream().take_until(until).chain(end)))
}

fn failure(status: StatusCode) -> serde_json::Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status.as_u16(),
        "reason": status.canonical_reason(), "message": "there is a storm",
    })
}

fn forgotten(counters: &Counters) -> Bytes {
    counters.forgotten.fetch_add(1, Ordering::SeqCst);
    format!("{}\n", json!({"type": "ERROR", "object": failure(StatusCode::GONE)})).into()
}
