//! TLS on the listeners, and proxies that end it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::{TestServer, exchange, manual_clock, read_to_end, settings};
use http::Request;
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use server::{Endpoint, ListenerLimits, Tls, TlsIdentity, TlsIdentityError, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

const ALIVE: &[u8] = b"GET /health/alive HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn certificate() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(["localhost".to_owned()]).unwrap()
}

fn identity(certificate: &CertifiedKey<KeyPair>) -> TlsIdentity {
    let key = certificate.signing_key.serialize_pem();
    TlsIdentity::from_pem(certificate.cert.pem().as_bytes(), key.as_bytes()).unwrap()
}

/// A server behind TLS; it stops with the token.
async fn listen(tls: &Tls, limits: ListenerLimits) -> (TestServer, SocketAddr, CancellationToken) {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (endpoint, stop) = (Endpoint::new(listener, Some(tls.clone())), CancellationToken::new());
    tokio::spawn(serve(endpoint, server.server.public_router(), limits, stop.clone()));
    (server, address, stop)
}

/// A client that trusts these certificates and no other.
fn client(trusted: &[&CertifiedKey<KeyPair>], protocols: &[&str]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add(certificate.cert.der().clone()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

async fn connect(client: &TlsConnector, address: SocketAddr) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    client.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()
}

async fn is_alive(stream: &mut TlsStream<TcpStream>) -> bool {
    stream.write_all(ALIVE).await.unwrap();
    let mut answer = [0; 1024];
    let read = stream.read(&mut answer).await.unwrap();
    answer[..read].starts_with(b"HTTP/1.1 200 ")
}

fn presented(stream: &TlsStream<TcpStream>) -> CertificateDer<'_> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone()
}

#[tokio::test]
async fn b6_tls_is_spoken_with_http_2_for_those_who_know_it_and_http_1_for_the_others() {
    let certificate = certificate();
    let (_server, address, _stop) =
        listen(&Tls::new(&identity(&certificate)), ListenerLimits::default()).await;

    let stream = connect(&client(&[&certificate], &["h2", "http/1.1"]), address).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut requests, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("https://localhost/health/alive").body(Empty::<bytes::Bytes>::new()).unwrap();
    assert_eq!(requests.send_request(request).await.unwrap().status(), 200);
    connection.abort();

    for protocols in [&["http/1.1"][..], &[]] {
        let mut stream = connect(&client(&[&certificate], protocols), address).await;
        assert!(is_alive(&mut stream).await, "{protocols:?}");
    }
}

#[tokio::test]
async fn a_new_certificate_is_presented_and_no_connection_is_dropped() {
    let (first, second) = (certificate(), certificate());
    let tls = Tls::new(&identity(&first));
    let (_server, address, _stop) = listen(&tls, ListenerLimits::default()).await;
    let client = client(&[&first, &second], &[]);
    let mut before = connect(&client, address).await;
    assert!(is_alive(&mut before).await);
    assert_eq!(presented(&before), *first.cert.der());

    tls.replace(&identity(&second));
    let mut after = connect(&client, address).await;
    assert_eq!(presented(&after), *second.cert.der());
    assert!(is_alive(&mut before).await && is_alive(&mut after).await);
}

#[tokio::test]
async fn who_does_not_shake_hands_is_sent_away_and_holds_nobody_up() {
    let certificate = certificate();
    let limits = ListenerLimits { head: Duration::from_millis(200), ..ListenerLimits::default() };
    let (_server, address, stop) = listen(&Tls::new(&identity(&certificate)), limits).await;
    let plain = exchange(address, ALIVE).await;
    assert!(!plain.contains("HTTP/1.1 200"), "{plain}");
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut stream = connect(&client(&[&certificate], &[]), address).await;
    assert!(is_alive(&mut stream).await, "beside one that says nothing");
    assert_eq!(read_to_end(&mut silent).await, "");
    stop.cancel();
}

#[tokio::test]
async fn a_handshake_under_way_does_not_delay_the_end() {
    let limits = ListenerLimits { head: Duration::from_mins(10), ..ListenerLimits::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, tls) = (CancellationToken::new(), Tls::new(&identity(&certificate())));
    let serving = serve(Endpoint::new(listener, Some(tls)), axum::Router::new(), limits, stop.clone());
    let serving = tokio::spawn(serving);
    let mut silent = TcpStream::connect(address).await.unwrap();
    silent.write_all(b"\x16\x03").await.unwrap();
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), serving).await.unwrap().unwrap();
}

#[test]
fn what_is_no_identity_is_refused_and_no_error_shows_a_key() {
    let (one, other) = (certificate(), certificate());
    let (pem, key) = (one.cert.pem(), one.signing_key.serialize_pem());
    let others_key = other.signing_key.serialize_pem();
    let unreadable = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    let at_fault = |error: &TlsIdentityError| match error {
        TlsIdentityError::Certificate(_) => "certificate",
        TlsIdentityError::Key(_) => "key",
        TlsIdentityError::Mismatch => "both",
    };
    let cases = [
        (pem.as_str(), others_key.as_str(), "both"),
        ("", &key, "certificate"),
        (unreadable, &key, "certificate"),
        (&key, &key, "certificate"),
        (&pem, "", "key"),
        (&pem, &pem, "key"),
    ];
    for (certificate, key, fault) in cases {
        let error = TlsIdentity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap_err();
        assert_eq!(at_fault(&error), fault, "{error:?}");
        assert!(!error.to_string().contains("-----"), "{error}");
    }
    let shown = format!("{:?}", identity(&one));
    assert_eq!(shown, "TlsIdentity { certificates: 1, .. }");
}

#[tokio::test]
async fn b6_where_a_proxy_ends_tls_requests_come_by_it_or_not_at_all() {
    for (network, passes) in [("127.0.0.0/8", true), ("10.0.0.0/8", false)] {
        let mut settings = settings();
        settings.public.proxies = vec![network.parse().unwrap()];
        settings.admin.proxies = vec![network.parse().unwrap()];
        let server = TestServer::alone(manual_clock(), settings).await;
        for (url, of_probes) in [
            (server.public_url("/.well-known/openid-configuration"), false),
            (server.admin_url("/admin/version"), false),
            (server.public_url("/health/alive"), true),
            (server.admin_url("/admin/health/ready"), true),
            (server.admin_url("/admin/metrics/prometheus"), true),
        ] {
            let status = async |protocol: Option<&str>| {
                let request = server.http.get(&url);
                let request = protocol
                    .map(|p| ("x-forwarded-proto", p))
                    .into_iter()
                    .fold(request.header("x-forwarded-for", "10.0.0.1"), |request, (name, value)| {
                        request.header(name, value)
                    });
                request.send().await.unwrap().status().as_u16()
            };
            assert_eq!(status(Some("https")).await != 502, passes || of_probes, "{network} {url}");
            assert_eq!(status(Some("http")).await != 502, of_probes, "{network} {url}");
            assert_eq!(status(None).await != 502, of_probes, "{network} {url}");
        }
    }
}
