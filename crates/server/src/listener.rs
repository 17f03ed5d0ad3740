//! Connections: HTTP/1.1, and HTTP/2 with prior knowledge.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::head_deadline::{HeadDeadline, Phase};

/// How much of a request's head is read, in bytes; more is answered with 431.
const HEAD_LIMIT: u32 = 64 * 1024;

/// How many requests one HTTP/2 connection may have under way.
const STREAMS: u32 = 64;

/// How often an HTTP/2 connection is asked whether it is still there, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(20);

/// How long nothing is accepted after the process ran out of file descriptors or memory.
const AFTER_EXHAUSTION: Duration = Duration::from_millis(500);

/// What a listener bears with.
#[derive(Debug, Clone)]
pub struct ListenerLimits {
    /// How long a request's head may take, from the connection or its first byte on.
    pub head: Duration,
    /// How long an HTTP/1.1 connection may be idle between two requests. Longer than proxies keep theirs, or they
    /// send requests into connections that are just being closed.
    pub idle: Duration,
    /// How many connections there may be; further ones wait to be accepted.
    pub connections: usize,
    /// How long requests under way may take to finish at shutdown.
    pub grace: Duration,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(5),
            idle: Duration::from_mins(2),
            connections: 10_000,
            grace: Duration::from_secs(25),
        }
    }
}

/// Serves `router` on `listener` until `shutdown` is cancelled. Then nothing more is accepted, what is under way is
/// finished within the grace period, and what remains is cut off.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ListenerLimits,
    shutdown: CancellationToken,
) {
    let http = http(&limits);
    let graceful = GracefulShutdown::new();
    let cut = CancellationToken::new();
    let places = Arc::new(Semaphore::new(limits.connections));
    while let Some((stream, place)) = shutdown.run_until_cancelled(accept(&listener, &places)).await {
        let connection = connection(&http, stream, router.clone(), limits.head);
        let watched = graceful.watch(connection);
        let cut = cut.clone();
        tokio::spawn(async move {
            // Whatever ends a connection, be it the client's nonsense, is of no consequence to the others.
            let _ = cut.run_until_cancelled(watched).await;
            drop(place);
        });
    }
    drop(listener);
    if timeout(limits.grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were cut off: they did not finish within the grace period");
    }
    cut.cancel();
}

/// The next connection, as soon as there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted; trying again");
                sleep(AFTER_EXHAUSTION).await;
            }
        }
    }
}

fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

fn http(limits: &ListenerLimits) -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        // It runs while a connection is idle, too; the one for heads is ours.
        .header_read_timeout(limits.idle)
        .max_buf_size(HEAD_LIMIT as usize);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY)
        .max_header_list_size(HEAD_LIMIT)
        .max_concurrent_streams(STREAMS);
    http
}

fn connection(
    http: &Builder<TokioExecutor>,
    stream: TcpStream,
    router: Router,
    head: Duration,
) -> impl GracefulConnection + Send + use<> {
    // Answers are written whole; waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let phase = Arc::new(Phase::default());
    let socket = TokioIo::new(HeadDeadline::new(stream, Arc::clone(&phase), head));
    let service = service_fn(move |request: Request<Incoming>| {
        let (phase, version) = (Arc::clone(&phase), request.version());
        phase.head_is_read(version);
        let answer = router.clone().call(request);
        async move {
            let answer: Result<Response, Infallible> = answer.await;
            phase.answered(version);
            answer
        }
    });
    http.serve_connection(socket, service).into_owned()
}
