//! A client's own server, which the server under test calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use http_body_util::BodyExt;
use tokio::net::TcpListener;

/// What it got, and what it says.
#[derive(Default)]
struct Inner {
    requests: Vec<Received>,
    answers: Vec<(u16, String)>,
    /// Requests that are waiting for an answer, now and at most so far.
    waiting: usize,
    most_waiting: usize,
    is_silent: bool,
}

/// A request that it got.
#[derive(Debug, Clone)]
pub struct Received {
    pub method: String,
    pub path: String,
    pub headers: HashMap<String, String>,
    pub body: String,
}

/// The server. It answers 200 with an empty body until it is told otherwise.
#[derive(Clone)]
pub struct Receiver {
    inner: Arc<Mutex<Inner>>,
    port: u16,
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self { inner: Arc::default(), port: listener.local_addr().unwrap().port() };
        let routes = Router::new().fallback(receive).with_state(receiver.clone());
        tokio::spawn(async { axum::serve(listener, routes).await });
        receiver
    }

    /// An address of it, by a host name of loopback.
    pub fn url(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.port)
    }

    /// The next requests get these answers, one after the other; the last one goes for all that follow.
    pub fn answer(&self, answers: &[(u16, &str)]) {
        self.inner.lock().unwrap().answers =
            answers.iter().rev().map(|(status, body)| (*status, (*body).to_owned())).collect();
    }

    /// Requests get no answer, or do again.
    pub fn be_silent(&self, is_silent: bool) {
        self.inner.lock().unwrap().is_silent = is_silent;
    }

    pub fn received(&self) -> Vec<Received> {
        self.inner.lock().unwrap().requests.clone()
    }

    /// The most requests that waited for an answer at once.
    pub fn most_waiting(&self) -> usize {
        self.inner.lock().unwrap().most_waiting
    }
}

async fn receive(State(receiver): State<Receiver>, request: Request) -> Response<String> {
    let (head, body) = request.into_parts();
    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let headers = head.headers.iter();
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    let waiting = {
        let mut inner = receiver.inner.lock().unwrap();
        let (method, path) = (head.method.to_string(), head.uri.to_string());
        inner.requests.push(Received { method, path, headers, body });
        inner.waiting += 1;
        inner.most_waiting = inner.most_waiting.max(inner.waiting);
        Waiting(receiver.clone())
    };
    while receiver.inner.lock().unwrap().is_silent {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(waiting);
    let mut inner = receiver.inner.lock().unwrap();
    let answer = match inner.answers.len() {
        0 => (200, String::new()),
        1 => inner.answers[0].clone(),
        _ => inner.answers.pop().unwrap(),
    };
    let mut response = Response::new(answer.1);
    *response.status_mut() = StatusCode::from_u16(answer.0).unwrap();
    response
}

/// A request that waits; one whose caller went away waits no longer.
struct Waiting(Receiver);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.inner.lock().unwrap().waiting -= 1;
    }
}
