//! The OpenAPI description of both APIs, `docs/openapi.json`: written from the operations and types below, and checked
//! against the routers and their answers.
//!
//! A new route is one line in `operations`; a new member of an answer, one in `schemas` or none where the answer's own
//! type is described.

mod operations;
pub(crate) mod schemas;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::{env, fs};

use axum::Router;
use axum::body::Body;
use harness::TestDatabase;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use prometheus_client::registry::Registry;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};
use store::Clock;
use tower::ServiceExt;

use self::operations::{Content, Operation, operations};
use crate::not_found::NoRoute;
use crate::router::TEMPLATES;
use crate::{Metrics, Server, Settings};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// The one parameter of a query that is a number.
const PAGE_SIZE: &str = "page_size";

/// The whole description.
fn document() -> Value {
    let mut generator = SchemaSettings::openapi3().into_generator();
    let mut paths = Map::new();
    for operation in operations() {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method.as_str().to_ascii_lowercase()] = described(&operation, &mut generator);
    }
    let error = generator.subschema_for::<schemas::ErrorOAuth2>();
    let mut schemas = generator.take_definitions(true);
    schemas.sort_keys();
    json!({
        "openapi": "3.0.3",
        "info": {
            "title": "Keywright",
            "description": "OAuth 2.0 and OpenID Connect. What is below /admin is served on the admin port, which \
                authenticates nobody; all else on the public one.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {"error": {
                "description": "The request is refused, or cannot be served now.",
                "content": {"application/json": {"schema": error}},
            }},
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    })
}

fn described(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let in_path = operation.path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let parameter = |name: &str, place: &str, required: bool| {
        let kind = if name == PAGE_SIZE { "integer" } else { "string" };
        json!({"name": name, "in": place, "required": required, "schema": {"type": kind}})
    };
    let mut parameters: Vec<_> = in_path.map(|name| parameter(name, "path", true)).collect();
    parameters.extend(operation.needs.iter().map(|name| parameter(name, "query", true)));
    parameters.extend(operation.query.iter().map(|name| parameter(name, "query", false)));
    let mut answer = json!({"description": operation.outcome});
    if let Some((media, schema)) = content(operation.answer, generator) {
        answer["content"] = json!({media: {"schema": schema}});
    }
    let mut described = json!({
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": parameters,
        "responses": {operation.status.to_string(): answer, "default": {"$ref": "#/components/responses/error"}},
    });
    if let Some((media, schema)) = content(operation.body, generator) {
        described["requestBody"] = json!({"content": {media: {"schema": schema}}});
    }
    if let Some(scheme) = operation.security {
        described["security"] = json!([{scheme: []}]);
    }
    described
}

fn content(content: Content, generator: &mut SchemaGenerator) -> Option<(&'static str, Value)> {
    match content {
        Content::None => None,
        Content::Text(media) => Some((media, json!({"type": "string"}))),
        Content::Json(schema) => Some(("application/json", schema(generator).into())),
        Content::Form(schema) => Some(("application/x-www-form-urlencoded", schema(generator).into())),
    }
}

/// A server on which every route is there.
async fn server() -> (Router, Router, TestDatabase) {
    let database = TestDatabase::sqlite();
    let store = database.open(Clock::system()).await;
    let settings = Settings { dynamic_client_registration: true, ..Settings::of_a_test() };
    let metrics = Metrics::new(&mut Registry::default());
    let server = Server::new(store, settings, metrics, None).unwrap();
    (server.public_router(), server.admin_router(Arc::new(Registry::default())), database)
}

fn request(method: &Method, path: &str, body: &Value) -> Request<Body> {
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    let request = Request::builder().method(method).uri(path).header("host", "localhost");
    request.body(body).unwrap()
}

#[test]
fn the_description_is_up_to_date() {
    let current = format!("{}\n", serde_json::to_string_pretty(&document()).unwrap());
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(DOCUMENT, current).unwrap();
    } else {
        let written = fs::read_to_string(DOCUMENT).unwrap_or_default();
        let how = "UPDATE_DOCS=1 cargo test -p keywright-server --lib openapi";
        assert!(written == current, "docs/openapi.json is old: {how}");
    }
}

#[test]
fn no_two_operations_have_one_id() {
    let mut seen = BTreeSet::new();
    for operation in operations() {
        assert!(seen.insert(operation.id), "{}", operation.id);
    }
}

#[tokio::test]
async fn every_route_is_described_and_nothing_else() {
    let (public, admin, _database) = server().await;
    let mut served = BTreeSet::new();
    for template in TEMPLATES {
        let path = template.replace(['{', '}'], "");
        let router = if template.starts_with("/admin/") { &admin } else { &public };
        for method in METHODS {
            let asked = request(&method, &path, &Value::Null);
            let response = router.clone().oneshot(asked).await.unwrap();
            if response.extensions().get::<NoRoute>().is_none() {
                served.insert(format!("{method} {template}"));
            }
        }
    }
    let described: BTreeSet<String> =
        operations().iter().map(|operation| format!("{} {}", operation.method, operation.path)).collect();
    let missing: Vec<_> = served.difference(&described).collect();
    assert!(missing.is_empty(), "served, and not in openapi/operations.rs: {missing:#?}");
    let gone: Vec<_> = described.difference(&served).collect();
    assert!(gone.is_empty(), "in openapi/operations.rs, and not served: {gone:#?}");
}

#[tokio::test]
async fn answers_have_no_member_that_is_not_described() {
    let (public, admin, _database) = server().await;
    let client = json!({
        "client_id": "app", "redirect_uris": ["https://a/cb"], "post_logout_redirect_uris": ["https://a/bye"],
        "metadata": {"a": 1}, "access_token_strategy": "jwt", "id_token_signed_response_alg": "RS256",
        "backchannel_logout_uri": "https://a/b", "backchannel_logout_session_required": true,
        "frontchannel_logout_uri": "https://a/f", "frontchannel_logout_session_required": true,
        "request_object_signing_alg": "RS256", "request_uris": ["https://a/r"], "jwks_uri": "https://a/jwks",
        "token_endpoint_auth_signing_alg": "RS256",
    });
    let key = json!({"alg": "ES256", "use": "sig", "kid": "one"});
    let document = document();
    for (method, path, asked, schema) in [
        (Method::POST, "/admin/clients", client, "oAuth2Client"),
        (Method::GET, "/admin/clients/app", Value::Null, "oAuth2Client"),
        (Method::POST, "/oauth2/register", json!({}), "oAuth2Client"),
        (Method::POST, "/admin/keys/own", key, "jsonWebKeySet"),
        (Method::GET, "/admin/version", Value::Null, "version"),
        (Method::GET, "/health/alive", Value::Null, "healthStatus"),
        (Method::GET, "/admin/clients/nobody", Value::Null, "errorOAuth2"),
        (Method::POST, "/oauth2/token", Value::Null, "errorOAuth2"),
    ] {
        let router = if path.starts_with("/admin/") { &admin } else { &public };
        let response = router.clone().oneshot(request(&method, path, &asked)).await.unwrap();
        assert_ne!(response.status(), StatusCode::INTERNAL_SERVER_ERROR, "{method} {path}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let answer: Map<String, Value> = serde_json::from_slice(&body).unwrap();
        let described = &document["components"]["schemas"][schema]["properties"];
        for member in answer.keys() {
            assert!(described.get(member).is_some(), "{member} of {method} {path} is not in {schema}");
        }
    }
}
