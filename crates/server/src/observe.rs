//! What happens around every request: its id, its time limit, its line in the log, its metrics.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures::FutureExt;
use http::header::{CACHE_CONTROL, HOST};
use http::{HeaderValue, Method, Version};
use opentelemetry::trace::FutureExt as _;
use tokio::time::timeout;
use tracing::Instrument;
use tracing::field::Empty;

use crate::cors::{CrossOrigin, Reach};
use crate::error::{Challenge, Failure};
use crate::request_id::{RequestId, X_REQUEST_ID};
use crate::traces::{Callers, RequestSpan};
use crate::{ApiSettings, Server, Settings, router, tls_termination};

/// The usual time limit of a request.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(30);

/// The status under which a request is counted whose client went away before the answer; as in Hydra and nginx.
const CLIENT_GONE: u16 = 499;

/// Watches the requests of one API.
#[derive(Clone)]
pub(crate) struct Observer {
    /// The server.
    pub(crate) server: Server,
    /// Its settings of this API.
    pub(crate) api: fn(&Settings) -> &ApiSettings,
    /// Whose pages may use an endpoint of this API.
    pub(crate) reach: fn(&'static str) -> Reach,
    /// Who calls this API.
    pub(crate) callers: Callers,
    /// The longest that a request may take, its body included.
    pub(crate) time_limit: Duration,
}

/// Watches one request.
///
/// What the log gets of it is its method, the template of its path, and the ids: never a query, a header, a body.
pub(crate) async fn observe(State(observer): State<Observer>, request: Request, next: Next) -> Response {
    let server = observer.server.current();
    let api = (observer.api)(server.settings());
    let id = RequestId::of(request.headers(), server.store().entropy());
    // Lines that matter are in this span whatever the log's level, hence its own.
    let span = tracing::error_span!("request", request_id = id.as_str(), client_id = Empty, trace_id = Empty);
    let entry = Entry::begin(&server, api, observer.callers, &request);
    let trace = entry.trace.as_ref().map(RequestSpan::context);
    if let Some(trace) = &entry.trace {
        span.record("trace_id", trace.trace_id());
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let watched = async {
        let mut response = answered(&observer, (&server, api, entry.endpoint), request, next).await;
        let headers = response.headers_mut();
        if reads && !headers.contains_key(CACHE_CONTROL) {
            let private = HeaderValue::from_static("private, no-cache, no-store, must-revalidate");
            headers.insert(CACHE_CONTROL, private);
        }
        headers.insert(X_REQUEST_ID, id.into_header());
        entry.finish(response.status().as_u16());
        response
    };
    let watched = watched.instrument(span);
    match trace {
        Some(context) => watched.with_context(context).await,
        None => watched.await,
    }
}

/// The answer, with what a browser has to know about it.
async fn answered(
    observer: &Observer,
    (server, api, endpoint): (&Server, &ApiSettings, &'static str),
    mut request: Request,
    next: Next,
) -> Response {
    let Some(cors) = &api.cors else {
        return handled(observer, (server, api, endpoint), request, next).await;
    };
    let cross_origin = CrossOrigin::of(cors, &mut request, (observer.reach)(endpoint));
    let mut response = match cross_origin.answer_instead(cors) {
        Some(response) => response,
        None => handled(observer, (server, api, endpoint), request, next).await,
    };
    cross_origin.finish(cors, server, &mut response).await;
    response
}

async fn handled(
    observer: &Observer,
    (server, api, endpoint): (&Server, &ApiSettings, &'static str),
    request: Request,
    next: Next,
) -> Response {
    if !names_one_host(&request) {
        let refused = oauth::Error::invalid_request("The request needs one Host header.");
        return Failure::from(refused).answer(server.settings(), Challenge::None);
    }
    if !router::is_probed(endpoint)
        && let Err(insecure) = tls_termination::check(&api.proxies, &request)
    {
        return insecure.answer(server.settings(), Challenge::None);
    }
    // Whatever a panic left behind is not used again: the request owned it.
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    let failure = match timeout(observer.time_limit, answer).await {
        Ok(Ok(response)) => return response,
        Ok(Err(_panic)) => Failure::Defect("its handler panicked".to_owned()),
        Err(_) => Failure::TooSlow,
    };
    failure.answer(server.settings(), Challenge::None)
}

/// One `Host` in HTTP/1.1, and never two (RFC 9112 §3.2): of two, a proxy in front may have gone by the other one.
/// HTTP/2 has `:authority` instead.
fn names_one_host(request: &Request) -> bool {
    match request.headers().get_all(HOST).iter().count() {
        0 => request.version() != Version::HTTP_11,
        hosts => hosts == 1,
    }
}

/// A request that is to be counted and logged once, however it ends.
struct Entry {
    server: Server,
    method: Method,
    endpoint: &'static str,
    logged: bool,
    started: Instant,
    status: u16,
    trace: Option<RequestSpan>,
}

impl Entry {
    fn begin(server: &Server, api: &ApiSettings, callers: Callers, request: &Request) -> Self {
        let endpoint = request.extensions().get::<MatchedPath>().map_or("unknown", router::template);
        Self {
            server: server.clone(),
            method: request.method().clone(),
            endpoint,
            logged: !(api.quiet_health && router::is_health(endpoint)),
            started: Instant::now(),
            status: CLIENT_GONE,
            trace: RequestSpan::served(server.tracer(), callers, request, endpoint),
        }
    }

    fn finish(mut self, status: u16) {
        self.status = status;
    }
}

/// An entry that is dropped unfinished is of a client that went away: the server then drops the request's future.
impl Drop for Entry {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        self.server.metrics().http_request(self.status, &self.method, self.endpoint, took);
        match &self.trace {
            Some(trace) if self.status == CLIENT_GONE => trace.failed("client_gone"),
            Some(trace) => trace.answered(self.status),
            None => {}
        }
        if self.logged {
            tracing::info!(
                method = %self.method,
                path = self.endpoint,
                status = self.status,
                duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
                "request"
            );
        }
    }
}

#[cfg(test)]
mod tests;
