//! Connections: malformed, slow, many, and at the end.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use common::{
    TestClient, TestServer, exchange, header, listen, manual_clock, read_to_end, registered, settings,
};
use harness::eventually;
use prometheus_client::registry::Registry;
use reqwest::Version;
use server::{ListenerLimits, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::Service;

const ALIVE: &[u8] = b"GET /health/alive HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

async fn server() -> TestServer {
    TestServer::alone(manual_clock(), settings()).await
}

async fn is_alive(address: SocketAddr) -> bool {
    exchange(address, ALIVE).await.starts_with("HTTP/1.1 200 ")
}

/// A token request whose body is announced but not sent.
fn announced(length: usize) -> String {
    format!(
        "POST /oauth2/token HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n"
    )
}

fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let head = |line: &str, headers: &str| format!("{line}\r\nHost: x\r\n{headers}\r\n").into_bytes();
    let post = |headers: &str| head("POST /oauth2/token HTTP/1.1", headers);
    let chunked = "Transfer-Encoding: chunked\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    let with = |mut head: Vec<u8>, body: &[u8]| {
        head.extend(body);
        head
    };
    vec![
        ("words", b"hello there\r\n\r\n".to_vec()),
        ("zeros", vec![0; 64]),
        ("a TLS greeting", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(8)),
        ("an unknown version", head("GET /health/alive HTTP/9.9", "")),
        ("a path with a zero", head("GET /health\0alive HTTP/1.1", "")),
        ("no path", head("OPTIONS * HTTP/1.1", "Connection: close\r\n")),
        ("an authority", head("CONNECT example.com:443 HTTP/1.1", "Connection: close\r\n")),
        ("another host's URL", head("GET http://example.com/nothing HTTP/1.1", "Connection: close\r\n")),
        ("an invented method", head("INVENTED /oauth2/token HTTP/1.1", "Connection: close\r\n")),
        ("a header without a colon", head("GET / HTTP/1.1", "nonsense\r\n")),
        ("a header with a zero", head("GET / HTTP/1.1", "X: a\0b\r\n")),
        ("two lengths", post("Content-Length: 1\r\nContent-Length: 2\r\n")),
        ("a negative length", post("Content-Length: -1\r\n")),
        ("a length that is none", post("Content-Length: 1x\r\n")),
        ("a huge length", post("Content-Length: 99999999999999999999999\r\n")),
        ("an unknown coding", post("Transfer-Encoding: gzip\r\n")),
        ("a chunk without size", with(post(chunked), b"zz\r\nabc\r\n0\r\n\r\n")),
        ("a huge chunk", with(post(chunked), b"ffffffffffffffffff\r\nabc")),
        ("many headers", head("GET / HTTP/1.1", &"A: b\r\n".repeat(1000))),
        ("a huge header", head("GET / HTTP/1.1", &format!("A: {}\r\n", "b".repeat(100_000)))),
        ("a huge path", head(&format!("GET /{} HTTP/1.1", "a".repeat(100_000)), "")),
        ("HTTP/2 and then nonsense", with(PREFACE.to_vec(), b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")),
        ("HTTP/2 with a huge frame", with(PREFACE.to_vec(), b"\xff\xff\xff\x01\x04\0\0\0\x01")),
    ]
}

#[tokio::test]
async fn malformed_requests_harm_nobody_but_their_sender() {
    let server = server().await;
    for (what, bytes) in malformed() {
        for address in [server.public, server.admin] {
            let answer = exchange(address, &bytes).await;
            assert!(!answer.starts_with("HTTP/1.1 2"), "{what}: {answer}");
            assert!(is_alive(address).await, "after {what}");
        }
    }
    for cut in [1, 10, 30] {
        let mut stream = TcpStream::connect(server.public).await.unwrap();
        stream.write_all(&announced(1000).as_bytes()[..cut]).await.unwrap();
        drop(stream);
        assert!(is_alive(server.public).await, "after a head that was cut at {cut}");
    }
}

#[tokio::test]
async fn a_request_names_one_host() {
    let server = server().await;
    for (head, status) in [
        ("GET /health/alive HTTP/1.1\r\n", 400),
        ("GET http://x/health/alive HTTP/1.1\r\n", 400),
        ("GET /health/alive HTTP/1.1\r\nHost: x\r\nHost: y\r\n", 400),
        ("GET /health/alive HTTP/1.1\r\nHost: x\r\nX: y\r\nhost: x\r\n", 400),
        ("GET /health/alive HTTP/1.1\r\nHost: x\r\n", 200),
        ("GET /health/alive HTTP/1.1\r\nHost:\r\n", 200),
        ("GET /health/alive HTTP/1.0\r\nHost: x\r\nHost: y\r\n", 400),
        ("GET /health/alive HTTP/1.0\r\n", 200),
    ] {
        for address in [server.public, server.admin] {
            let answer = exchange(address, format!("{head}Connection: close\r\n\r\n").as_bytes()).await;
            let (line, _) = answer.split_once("\r\n").unwrap();
            assert!(line.contains(&format!(" {status} ")), "{head:?}: {answer}");
            assert_eq!(answer.contains("invalid_request"), status == 400, "{head:?}: {answer}");
        }
    }
}

#[tokio::test]
async fn bodies_above_a_mebibyte_are_refused() {
    let server = server().await;
    let declared = exchange(server.public, announced(64 * 1024 + 1).as_bytes()).await;
    assert!(declared.starts_with("HTTP/1.1 413 ") && declared.contains("invalid_request"), "{declared}");
    let mut stream = TcpStream::connect(server.public).await.unwrap();
    let head = "POST /oauth2/token HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    // One byte more than allowed, and then silence: nothing is left unread that could reset the connection.
    for _ in 0..16 {
        stream.write_all(b"10000\r\n").await.unwrap();
        stream.write_all(&vec![b'a'; 0x10000]).await.unwrap();
        stream.write_all(b"\r\n").await.unwrap();
    }
    stream.write_all(b"1\r\na\r\n").await.unwrap();
    let sent = read_to_end(&mut stream).await;
    assert!(sent.starts_with("HTTP/1.1 413 "), "{sent}");
    let large = format!("{}{}", announced(64 * 1024), "a".repeat(64 * 1024));
    let read = exchange(server.public, large.as_bytes()).await;
    assert!(read.starts_with("HTTP/1.1 400 ") && read.contains("'grant_type' is missing"), "{read}");
}

#[tokio::test]
async fn bodies_that_are_slow_on_the_public_port_take_no_place_of_the_admin_port() {
    let server = server().await;
    let (mut public, mut admin) =
        (server.server.public_router(), server.server.admin_router(Arc::new(Registry::default())));
    let ask = |router: &mut Router, path: &str, body: Body| {
        let request = http::Request::post(path)
            .header("host", "x")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .unwrap();
        let answer = router.call(request);
        async move { answer.await.unwrap().status().as_u16() }
    };
    let slow = || Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    for _ in 0..1024 {
        tokio::spawn(ask(&mut public, "/oauth2/token", slow()));
    }
    let one_more = async || ask(&mut public.clone(), "/oauth2/token", Body::empty()).await == 503;
    eventually("all places of the public port are taken", one_more).await;
    assert_eq!(ask(&mut admin, "/admin/oauth2/introspect", Body::from("token=x")).await, 200);
}

#[tokio::test]
async fn a_body_that_ends_early_is_no_request() {
    let server = server().await;
    let mut stream = TcpStream::connect(server.public).await.unwrap();
    stream.write_all(announced(100).as_bytes()).await.unwrap();
    stream.write_all(b"grant_type=client").await.unwrap();
    drop(stream);
    let counted = "http_requests_total{code=\"499\",method=\"post\",endpoint=\"/oauth2/token\"}";
    let refused = "http_requests_total{code=\"400\",method=\"post\",endpoint=\"/oauth2/token\"}";
    eventually("it is counted once", async || {
        let counts = [server.metric(counted).await, server.metric(refused).await];
        counts.into_iter().flatten().sum::<f64>() > 0.5
    })
    .await;
    assert!(is_alive(server.public).await);
}

#[tokio::test]
async fn a_head_must_arrive_in_time_and_an_idle_connection_stays() {
    let server = server().await;
    let limits = ListenerLimits { head: Duration::from_millis(300), ..ListenerLimits::default() };
    let address = listen(server.server.public_router(), limits, CancellationToken::new()).await;
    // Nothing, the beginning of either protocol, and half a head.
    for beginning in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n", b"GET /health/alive HTTP/1.1\r\nHo"] {
        let began = Instant::now();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        let answer = read_to_end(&mut stream).await;
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(began.elapsed() < Duration::from_secs(10), "{beginning:?}");
    }
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..2 {
        stream.write_all(b"GET /health/alive HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut answer = [0; 4096];
        let read = stream.read(&mut answer).await.unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 200 "));
        // Idle for longer than a head may take: another connection's head does, meanwhile.
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET").await.unwrap();
        read_to_end(&mut slow).await;
    }
    stream.write_all(b"GET /health").await.unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(!answer.contains("HTTP/1.1 200"), "a second head has a deadline, too");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let server = server().await;
    let limits = ListenerLimits { connections: 1, ..ListenerLimits::default() };
    let address = listen(server.server.public_router(), limits, CancellationToken::new()).await;
    let first = TcpStream::connect(address).await.unwrap();
    let second = tokio::spawn(is_alive(address));
    // Others are served meanwhile, so that the second had every chance.
    for _ in 0..50 {
        assert!(is_alive(server.public).await);
    }
    assert!(!second.is_finished(), "there is only one place");
    drop(first);
    assert!(second.await.unwrap());
}

#[tokio::test]
async fn http_2_is_served_with_prior_knowledge() {
    let server = server().await;
    let client = TestClient::create(&server.store, "orders", registered()).await;
    let http2 = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    for _ in 0..2 {
        let response = http2
            .post(server.public_url("/oauth2/token"))
            .basic_auth("orders", Some(client.secret.expose()))
            .form(&[("grant_type", "client_credentials")])
            .send()
            .await
            .unwrap();
        assert_eq!((response.version(), response.status().as_u16()), (Version::HTTP_2, 200));
        assert_eq!(header(&response, "cache-control"), "no-store");
    }
}

/// A frame of HTTP/2 (RFC 9113 §4.1) with its type, flags and stream.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    let head = [0, 0, length, kind, flags, 0, 0, 0, stream];
    [&head[..], payload].concat()
}

/// Reads frames up to the first of this type, flags and stream.
async fn read_frame(stream: &mut TcpStream, wanted: (u8, u8, u8)) {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        stream.read_exact(&mut payload).await.unwrap();
        if (head[3], head[4], head[8]) == wanted {
            return;
        }
    }
}

#[tokio::test]
async fn an_idle_http_2_connection_stays_however_many_requests_it_had() {
    const PING: u8 = 6;
    let server = server().await;
    let limits = ListenerLimits { head: Duration::from_millis(300), ..ListenerLimits::default() };
    let address = listen(server.server.public_router(), limits, CancellationToken::new()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(PREFACE).await.unwrap();
    stream.write_all(&frame(4, 0, 0, b"")).await.unwrap();
    for id in [1, 3, 5] {
        // GET, http, /, and the authority x, with the end of headers and of the stream.
        stream.write_all(&frame(1, 5, id, b"\x82\x86\x84\x41\x01x")).await.unwrap();
        read_frame(&mut stream, (0, 1, id)).await;
        stream.write_all(&frame(PING, 0, 0, b"12345678")).await.unwrap();
        read_frame(&mut stream, (PING, 1, 0)).await;
        // Another connection's head runs out of time meanwhile.
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET").await.unwrap();
        read_to_end(&mut slow).await;
    }
}

/// The public API on a listener of its own, and what ends it.
async fn served(
    server: &TestServer,
    limits: ListenerLimits,
) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let serving = serve(listener, server.server.public_router(), limits, shutdown.clone());
    (address, shutdown, tokio::spawn(serving))
}

/// Begins a shutdown, and waits until nobody else is let in.
async fn shut_down(address: SocketAddr, shutdown: &CancellationToken) {
    shutdown.cancel();
    eventually("new connections are refused", async || TcpStream::connect(address).await.is_err()).await;
}

#[tokio::test]
async fn shutting_down_finishes_a_request_under_way() {
    let server = server().await;
    let client = TestClient::create(&server.store, "orders", registered()).await;
    let (address, shutdown, serving) = served(&server, ListenerLimits::default()).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    let form = format!(
        "grant_type=client_credentials&client_id=orders&client_secret={}&scope=%22",
        client.secret.expose()
    );
    let mut under_way = TcpStream::connect(address).await.unwrap();
    under_way.write_all(announced(form.len()).as_bytes()).await.unwrap();
    under_way.write_all(&form.as_bytes()[..20]).await.unwrap();
    assert!(is_alive(address).await, "so the others have been accepted");
    shut_down(address, &shutdown).await;
    assert_eq!(read_to_end(&mut idle).await, "", "an idle connection is closed");
    assert!(!serving.is_finished());
    under_way.write_all(&form.as_bytes()[20..]).await.unwrap();
    let answer = read_to_end(&mut under_way).await;
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("client_secret_post"), "{answer}");
    serving.await.unwrap();
}

#[tokio::test]
async fn at_shutdown_a_connection_ends_with_an_answer_that_says_so() {
    let server = server().await;
    let limits = ListenerLimits { farewell: Duration::from_mins(1), ..ListenerLimits::default() };
    let (address, shutdown, serving) = served(&server, limits).await;
    let kept = b"GET /health/alive HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(kept).await.unwrap();
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    shut_down(address, &shutdown).await;
    stream.write_all(kept).await.unwrap();
    let rest = read_to_end(&mut stream).await.to_ascii_lowercase();
    let (first, second) = rest.split_once("http/1.1 200 ok").unwrap();
    assert!(!first.contains("connection: close") && second.contains("connection: close"), "{rest}");
    // Nobody is left to wait for.
    serving.await.unwrap();
}

#[tokio::test]
async fn what_does_not_finish_within_the_grace_period_is_cut_off() {
    let server = server().await;
    let limits = ListenerLimits { grace: Duration::from_millis(300), ..ListenerLimits::default() };
    let (address, shutdown, serving) = served(&server, limits).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(announced(100).as_bytes()).await.unwrap();
    assert!(is_alive(address).await, "so the other has been accepted");
    shutdown.cancel();
    serving.await.unwrap();
    assert_eq!(read_to_end(&mut stream).await, "");
}
