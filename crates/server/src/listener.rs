//! Connections: HTTP/1.1, and HTTP/2 by ALPN over TLS or with prior knowledge without.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::head_deadline::{HeadDeadline, Phase};
use crate::{Tls, UnixSocket};

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
    /// How long connections stay open at shutdown for their clients to learn, by the next answer, that they end. One
    /// that is closed unannounced may just be getting a request.
    pub farewell: Duration,
    /// How long requests under way may take to finish after that.
    pub grace: Duration,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(5),
            idle: Duration::from_mins(2),
            connections: 10_000,
            farewell: Duration::from_secs(1),
            grace: Duration::from_secs(25),
        }
    }
}

/// Where a router is served.
pub struct Endpoint {
    listener: Listener,
    tls: Option<Tls>,
}

enum Listener {
    Tcp(TcpListener),
    /// With what keeps its file in place.
    Unix {
        listener: UnixListener,
        _file: Box<dyn Send + Sync>,
    },
}

impl Endpoint {
    /// A listener, with TLS or without.
    pub fn new(listener: TcpListener, tls: Option<Tls>) -> Self {
        Self { listener: Listener::Tcp(listener), tls }
    }

    /// A unix socket, with TLS or without.
    ///
    /// # Errors
    /// Where the reactor cannot take it.
    pub fn unix(socket: UnixSocket, tls: Option<Tls>) -> io::Result<Self> {
        let (listener, file) = socket.into_parts()?;
        Ok(Self { listener: Listener::Unix { listener, _file: Box::new(file) }, tls })
    }
}

/// A connection as it was accepted.
enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Listener {
    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, peer)| Accepted::Tcp(stream, peer)),
            Self::Unix { listener, .. } => listener.accept().await.map(|(stream, _)| Accepted::Unix(stream)),
        }
    }
}

impl From<TcpListener> for Endpoint {
    fn from(listener: TcpListener) -> Self {
        Self::new(listener, None)
    }
}

/// Who is at the other end of a request's connection: the client, or a proxy in front. Of a unix socket it is this
/// machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// What all connections of a listener share.
#[derive(Clone)]
struct Connections {
    http: Builder<TokioExecutor>,
    tls: Option<Tls>,
    router: Router,
    /// How long a handshake may take, and after it a request's head.
    head: Duration,
    shutdown: CancellationToken,
}

/// Serves `router` until `shutdown` is cancelled. Then nothing more is accepted, open connections end with their next
/// answer or after the farewell, what is under way is finished within the grace period, and what remains is cut off.
pub async fn serve(
    endpoint: impl Into<Endpoint>,
    router: Router,
    limits: ListenerLimits,
    shutdown: CancellationToken,
) {
    let Endpoint { listener, tls } = endpoint.into();
    let connections =
        Connections { http: http(&limits), tls, router, head: limits.head, shutdown: shutdown.clone() };
    let graceful = GracefulShutdown::new();
    let cut = CancellationToken::new();
    let places = Arc::new(Semaphore::new(limits.connections));
    while let Some((accepted, place)) = shutdown.run_until_cancelled(accept(&listener, &places)).await {
        let connection = connections.clone().run(accepted, graceful.watcher());
        let cut = cut.clone();
        tokio::spawn(async move {
            cut.run_until_cancelled(connection).await;
            drop(place);
        });
    }
    drop(listener);
    // A connection gives its place back when it ends.
    let all = places.acquire_many(u32::try_from(limits.connections).unwrap_or(u32::MAX));
    let _ = timeout(limits.farewell, all).await;
    if timeout(limits.grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were cut off: they did not finish within the grace period");
    }
    cut.cancel();
}

/// The next connection, as soon as there is a place for it.
async fn accept(listener: &Listener, places: &Arc<Semaphore>) -> (Accepted, Option<OwnedSemaphorePermit>) {
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok(accepted) => return (accepted, place),
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

impl Connections {
    /// One connection to its end. Whatever ends it, be it the client's nonsense, is of no consequence to the others.
    async fn run(self, accepted: Accepted, watcher: Watcher) {
        match accepted {
            Accepted::Tcp(stream, peer) => {
                // Answers are written whole; waiting for more to send would only delay them.
                let _ = stream.set_nodelay(true);
                self.secured(stream, Peer(peer.ip().to_canonical()), watcher).await;
            }
            Accepted::Unix(stream) => {
                self.secured(stream, Peer(Ipv4Addr::LOCALHOST.into()), watcher).await;
            }
        }
    }

    async fn secured<S>(&self, stream: S, peer: Peer, watcher: Watcher)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Some(tls) = &self.tls else { return self.requests(stream, peer, watcher).await };
        let handshake = timeout(self.head, tls.acceptor().accept(stream));
        // A client in its handshake has asked for nothing yet.
        match self.shutdown.run_until_cancelled(handshake).await {
            Some(Ok(Ok(stream))) => self.requests(stream, peer, watcher).await,
            Some(Ok(Err(error))) => tracing::debug!(%error, "a TLS handshake failed"),
            Some(Err(_)) | None => {}
        }
    }

    async fn requests<S>(&self, stream: S, peer: Peer, watcher: Watcher)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let phase = Arc::new(Phase::default());
        let socket = TokioIo::new(HeadDeadline::new(stream, Arc::clone(&phase), self.head));
        let router = self.router.clone();
        let shutdown = self.shutdown.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let (phase, version) = (Arc::clone(&phase), request.version());
            let shutdown = shutdown.clone();
            phase.head_is_read(version);
            request.extensions_mut().insert(peer);
            let answer = router.clone().call(request);
            async move {
                let mut answer: Result<Response, Infallible> = answer.await;
                phase.answered(version);
                if let Ok(answer) = &mut answer
                    && shutdown.is_cancelled()
                    && version < Version::HTTP_2
                {
                    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                answer
            }
        });
        let connection = self.http.serve_connection(socket, service).into_owned();
        let _ = watcher.watch(connection).await;
    }
}
