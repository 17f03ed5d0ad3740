//! Traces, as a collector gets them.

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderValue;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use crate::support::collector::{Collector, attributes};
use crate::support::dev::client;
use crate::support::{Dev, Process, free_port};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// Traces to `collector`, every now and then.
fn traced(collector: &Collector, every: Duration) -> Vec<(&'static str, String)> {
    vec![
        ("TRACING_PROVIDER", "otel".to_owned()),
        ("TRACING_PROVIDERS_OTLP_SERVER_URL", collector.address.clone()),
        ("TRACING_PROVIDERS_OTLP_INSECURE", "true".to_owned()),
        ("TRACING_PROVIDERS_OTLP_AUTHORIZATION_HEADER", "Bearer hush-hush".to_owned()),
        ("TRACING_SERVICE_NAME", "id".to_owned()),
        ("TRACING_DEPLOYMENT_ENVIRONMENT", "staging".to_owned()),
        ("OTEL_BSP_SCHEDULE_DELAY", every.as_millis().to_string()),
        ("LOG_FORMAT", "json".to_owned()),
    ]
}

async fn started(variables: Vec<(&'static str, String)>) -> Dev {
    let mut dev = Dev::prepared();
    dev.variables = variables;
    dev.write("client.yaml", &client("a", &["scopes: [read]"]));
    dev.start().await;
    dev
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn a_request_and_what_it_asks_are_spans_of_one_trace_which_only_links_to_a_strangers() {
    let collector = Collector::start().await;
    let mut variables = traced(&collector, Duration::from_millis(50));
    variables.push(("OAUTH2_TOKEN_HOOK", format!("http://{}/hook", collector.address)));
    let mut dev = started(variables).await;
    let secret = dev.client_secret("a");
    let request = dev.post(dev.url("/oauth2/token?x=in-the-query"), &[("grant_type", "client_credentials")]);
    let request = request.basic_auth("a", Some(&secret));
    let request = request.header("traceparent", format!("00-{TRACE}-{PARENT}-01"));
    assert_eq!(request.header("tracestate", "vendor=1").send().await.unwrap().status(), 200);

    let served = collector.span("POST /oauth2/token").await;
    assert!(hex(&served.trace_id) != TRACE && served.parent_span_id.is_empty());
    let links: Vec<_> = served.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect();
    assert_eq!(links, [(TRACE.to_owned(), PARENT.to_owned())]);
    assert_eq!((served.kind(), served.trace_state.as_str()), (SpanKind::Server, ""));
    let expected = [
        ("http.request.method", "POST"),
        ("http.response.status_code", "200"),
        ("http.route", "/oauth2/token"),
    ];
    assert_eq!(attributes(&served.attributes), texts(&expected));
    assert!(served.end_time_unix_nano > served.start_time_unix_nano);

    let asked = collector.span("POST").await;
    assert_eq!((asked.kind(), &asked.parent_span_id), (SpanKind::Client, &served.span_id));
    let (address, port) = collector.address.split_once(':').unwrap();
    let expected = [
        ("http.request.method", "POST"),
        ("http.response.status_code", "204"),
        ("server.address", address),
        ("server.port", port),
    ];
    assert_eq!(attributes(&asked.attributes), texts(&expected));
    assert_eq!(asked.trace_id, served.trace_id);
    let told = format!("00-{}-{}-01", hex(&served.trace_id), hex(&asked.span_id));
    assert_eq!(collector.hooked()[0]["traceparent"], told.as_str());
    assert_ne!(collector.hooked()[0].get("tracestate").map(HeaderValue::as_bytes), Some(&b"vendor=1"[..]));

    assert_eq!(collector.headers()["authorization"], "Bearer hush-hush");
    let resource = collector.resource();
    assert_eq!((&*resource["service.name"], &*resource["deployment.environment.name"]), ("id", "staging"));
    dev.logs(&hex(&served.trace_id)).await;
    assert!(!dev.stop().await.stderr.contains("hush-hush"));
}

#[tokio::test]
async fn requests_to_the_admin_api_join_their_callers_trace() {
    let collector = Collector::start().await;
    let mut dev = started(traced(&collector, Duration::from_millis(50))).await;
    let request = reqwest::Client::new().get(dev.admin_url("/admin/clients/a"));
    let request = request.header("traceparent", format!("00-{TRACE}-{PARENT}-01"));
    assert_eq!(request.header("tracestate", "vendor=1").send().await.unwrap().status(), 200);
    let served = collector.span("GET /admin/clients/{id}").await;
    assert_eq!((hex(&served.trace_id), hex(&served.parent_span_id)), (TRACE.to_owned(), PARENT.to_owned()));
    assert_eq!((served.trace_state.as_str(), served.links.len()), ("vendor=1", 0));
    dev.logs(TRACE).await;
    dev.stop().await;
}

#[tokio::test]
async fn statements_are_spans_of_the_request_that_waits_for_them() {
    let collector = Collector::start().await;
    let mut dev = started(traced(&collector, Duration::from_mins(10))).await;
    let secret = dev.client_secret("a");
    let token = dev.token("a", &secret).await.unwrap();
    assert!(dev.is_active(&token).await);
    // What has not been sent yet goes out before the process ends.
    assert!(collector.bytes().is_empty());
    dev.stop().await;
    let served = collector.span("POST /admin/oauth2/introspect").await;
    let statement = collector.span("look up a token").await;
    assert_eq!((&statement.parent_span_id, &statement.trace_id), (&served.span_id, &served.trace_id));
    let expected = [("db.operation.name", "look up a token"), ("db.system.name", "sqlite")];
    assert_eq!(attributes(&statement.attributes), texts(&expected));
    assert!(served.parent_span_id.is_empty());
    let probed = collector.spans().into_iter().filter(|span| span.name.contains("health")).count();
    assert_eq!(probed, 0);
}

#[tokio::test]
async fn failures_of_the_server_are_errors_and_what_is_not_found_is_not_named() {
    let collector = Collector::start().await;
    let mut variables = traced(&collector, Duration::from_millis(50));
    variables.push(("OAUTH2_TOKEN_HOOK", "http://127.0.0.1:1/hook".to_owned()));
    let mut dev = started(variables).await;
    let secret = dev.client_secret("a");
    assert!(dev.token("a", &secret).await.is_err());
    dev.get(dev.url("/no-such-page/in-the-path")).await;
    let served = collector.span("POST /oauth2/token").await;
    assert_eq!(served.status.unwrap().code(), StatusCode::Error);
    assert!(attributes(&served.attributes)["error.type"].starts_with('5'));
    let asked = collector.span("POST").await;
    assert_eq!(attributes(&asked.attributes)["error.type"], "unreachable");
    let lost = collector.span("GET unknown").await;
    assert_eq!(lost.status.unwrap_or_default().code(), StatusCode::Unset);
    assert_eq!(attributes(&lost.attributes)["http.response.status_code"], "404");
    dev.stop().await;
    let bytes = String::from_utf8_lossy(&collector.bytes()).into_owned();
    assert!(!bytes.contains("in-the-path") && !bytes.contains("/hook"), "{bytes}");
}

#[tokio::test]
async fn open_telemetrys_own_variables_are_enough() {
    let collector = Collector::start().await;
    let variables = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", collector.address)),
        ("OTEL_SERVICE_NAME", "from-the-environment".to_owned()),
        ("OTEL_RESOURCE_ATTRIBUTES", "team=identity".to_owned()),
    ];
    let mut dev = started(variables).await;
    dev.get(dev.url("/.well-known/jwks.json")).await;
    dev.stop().await;
    collector.span("GET /.well-known/jwks.json").await;
    let resource = collector.resource();
    assert_eq!((&*resource["service.name"], &*resource["team"]), ("from-the-environment", "identity"));
}

#[tokio::test]
async fn a_collector_that_is_away_is_told_of_once_and_delays_nothing() {
    let mut variables = vec![("TRACING_PROVIDER", "otel".to_owned())];
    variables.push(("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{}", free_port())));
    variables.push(("OTEL_BSP_SCHEDULE_DELAY", "20".to_owned()));
    let mut dev = started(variables).await;
    dev.get(dev.url("/.well-known/jwks.json")).await;
    dev.logs("traces are not delivered").await;
    dev.get(dev.url("/.well-known/jwks.json")).await;
    let ended = dev.stop().await;
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.stderr.matches("traces are not delivered").count(), 1, "{}", ended.stderr);
}

#[tokio::test]
async fn a_sampling_ratio_of_nothing_keeps_what_callers_inside_keep_and_nothing_of_strangers() {
    let collector = Collector::start().await;
    let mut variables = traced(&collector, Duration::from_mins(10));
    variables.push(("TRACING_PROVIDERS_OTLP_SAMPLING_SAMPLING_RATIO", "0".to_owned()));
    let mut dev = started(variables).await;
    dev.get(dev.url("/.well-known/jwks.json")).await;
    for url in [dev.url("/.well-known/openid-configuration"), dev.admin_url("/admin/clients/a")] {
        let request = reqwest::Client::new().get(url);
        request.header("traceparent", format!("00-{TRACE}-{PARENT}-01")).send().await.unwrap();
    }
    dev.stop().await;
    let served = collector.spans().into_iter().filter(|span| span.kind() == SpanKind::Server);
    let names: Vec<String> = served.map(|span| span.name).collect();
    assert_eq!(names, ["GET /admin/clients/{id}"]);
}

#[tokio::test]
async fn a_collector_that_cannot_be_one_stops_the_start() {
    let variables = [("TRACING_PROVIDERS_OTLP_SERVER_URL", "grpc://collector:4317".to_owned())];
    let ended = Process::start(&["serve"], &variables).ended(Duration::from_secs(10)).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("tracing.providers.otlp.server_url"), "{}", ended.stderr);
}
