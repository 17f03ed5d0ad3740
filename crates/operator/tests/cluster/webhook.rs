//! An admission webhook of somebody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use rcgen::CertifiedKey;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_util::task::AbortOnDropHandle;

use crate::world::World;

/// A webhook that refuses the clients' Secrets of one namespace, and quotes them.
pub struct Webhook {
    name: String,
    refused: Arc<AtomicUsize>,
    server: AbortOnDropHandle<()>,
}

impl Webhook {
    /// Registers it, and waits until it is asked.
    pub async fn install(world: &World) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap());
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let tls = ServerConfig::builder().with_no_client_auth();
        let tls = TlsAcceptor::from(Arc::new(tls.with_single_cert(vec![cert.der().clone()], key).unwrap()));
        let refused = Arc::<AtomicUsize>::default();
        let router = Router::new().fallback(post(review)).with_state(refused.clone());
        let server = AbortOnDropHandle::new(tokio::spawn(serve(listener, tls, router)));
        let webhook = Self { name: format!("refuse-{}", world.namespace), refused, server };
        webhook.register(world, &url, &cert.pem()).await;
        webhook
    }

    async fn register(&self, world: &World, url: &str, authority: &str) {
        let configuration: ValidatingWebhookConfiguration = serde_json::from_value(json!({
            "metadata": {"name": self.name},
            "webhooks": [{
                "name": "secrets.example.com",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "timeoutSeconds": 5,
                "clientConfig": {"url": url, "caBundle": STANDARD.encode(authority)},
                "rules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                    "resources": ["secrets"],
                }],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}},
            }],
        }))
        .unwrap();
        let api = Api::<ValidatingWebhookConfiguration>::all(world.client.clone());
        api.create(&PostParams::default(), &configuration).await.unwrap();
        let probe = json!({"metadata": {"name": "probe"}, "stringData": {"CLIENT_SECRET": "anything"}});
        let probe = serde_json::from_value(probe).unwrap();
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        let in_force = async || world.secrets().create(&dry, &probe).await.is_err().then_some(());
        world.until("the webhook is asked", in_force).await;
    }

    /// How often it has refused.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }

    /// It does not answer any more, and stays registered.
    pub fn die(&self) {
        self.server.abort();
    }

    /// Its registration ends.
    pub async fn remove(&self, world: &World) {
        let api = Api::<ValidatingWebhookConfiguration>::all(world.client.clone());
        api.delete(&self.name, &DeleteParams::default()).await.unwrap();
    }
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, router: Router) {
    // They end with the listener.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, service) = (tls.clone(), TowerToHyperService::new(router.clone()));
        connections.spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn review(State(refused): State<Arc<AtomicUsize>>, Json(review): Json<Value>) -> Json<Value> {
    let secret = review.pointer("/request/object/data/CLIENT_SECRET").and_then(Value::as_str);
    let plain = secret.and_then(|secret| STANDARD.decode(secret).ok()).unwrap_or_default();
    if secret.is_some() {
        refused.fetch_add(1, Ordering::SeqCst);
    }
    let message = format!("the vault has no room for {} here", String::from_utf8_lossy(&plain));
    Json(json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {
            "uid": review["request"]["uid"],
            "allowed": secret.is_none(),
            "status": {"code": 403, "message": message},
        },
    }))
}
