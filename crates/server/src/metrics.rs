//! What is measured, under the names that Hydra's dashboards know where there are such.

use std::fmt::Write as _;
use std::time::Duration;

use axum::response::Response;
use http::{HeaderValue, Method, StatusCode};
use jose::SigningAlgorithm;
use oauth::{ErrorCode, GrantType};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::{Server, answer};

/// Seconds; Prometheus's default buckets and finer ones below, where this server answers.
const BUCKETS: [f64; 14] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// The server's metrics. No label has a value that a caller chooses: endpoints are templates, unknown grant types and
/// methods are `other`.
#[derive(Debug, Clone)]
pub struct Metrics {
    token_requests: Family<TokenLabels, Counter>,
    accepted_challenges: Family<ChallengeLabels, Counter>,
    rejected_challenges: Family<ChallengeLabels, Counter>,
    http_requests: Family<HttpLabels, Counter>,
    http_durations: Histograms<HttpLabels>,
    http_response_times: Histograms<EndpointLabels>,
    signatures: Family<AlgorithmLabels, Counter>,
    backchannel_logouts: Family<OutcomeLabels, Counter>,
    identity_provider_logouts: Family<OutcomeLabels, Counter>,
    pool_depths: Family<PoolLabels, Gauge>,
    pool_waits: Histograms<PoolLabels>,
    pool_rejections: Family<PoolLabels, Counter>,
    cache_trusted: Gauge,
    replica_away: Gauge,
    replica_lag: Gauge,
    statements: Counter,
}

/// What one pool of slow work measures.
#[derive(Debug, Clone)]
pub(crate) struct PoolMetrics {
    /// How much work is waiting.
    pub(crate) depth: Gauge,
    /// How long work waited, in seconds.
    pub(crate) wait: Histogram,
    /// How much was refused.
    pub(crate) rejected: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    grant_type: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ChallengeLabels {
    kind: &'static str,
}

/// What an app decides about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChallengeKind {
    Login,
    Consent,
    Device,
    Logout,
}

impl ChallengeKind {
    fn labels(self) -> ChallengeLabels {
        let kind = match self {
            Self::Login => "login",
            Self::Consent => "consent",
            Self::Device => "device",
            Self::Logout => "logout",
        };
        ChallengeLabels { kind }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HttpLabels {
    code: u16,
    method: &'static str,
    endpoint: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabels {
    endpoint: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AlgorithmLabels {
    algorithm: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabels {
    pool: &'static str,
}

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

fn histograms<L: Clone + std::hash::Hash + Eq>() -> Histograms<L> {
    Family::new_with_constructor(histogram)
}

impl Metrics {
    /// Makes the metrics and registers them. Counters get their `_total` from the registry's encoder.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            token_requests: Family::default(),
            accepted_challenges: Family::default(),
            rejected_challenges: Family::default(),
            http_requests: Family::default(),
            http_durations: histograms(),
            http_response_times: histograms(),
            signatures: Family::default(),
            backchannel_logouts: Family::default(),
            identity_provider_logouts: Family::default(),
            pool_depths: Family::default(),
            pool_waits: histograms(),
            pool_rejections: Family::default(),
            cache_trusted: Gauge::default(),
            replica_away: Gauge::default(),
            replica_lag: Gauge::default(),
            statements: Counter::default(),
        };
        metrics.register(registry);
        metrics
    }

    fn register(&self, to: &mut Registry) {
        to.register("token_endpoint_requests", "Token requests by outcome", self.token_requests.clone());
        to.register(
            "oauth2_accepted_challenges",
            "Challenges that an app accepted, by kind",
            self.accepted_challenges.clone(),
        );
        to.register(
            "oauth2_rejected_challenges",
            "Challenges that an app rejected, by kind",
            self.rejected_challenges.clone(),
        );
        to.register("http_requests", "Requests", self.http_requests.clone());
        to.register(
            "http_requests_duration_seconds",
            "Time to answer a request",
            self.http_durations.clone(),
        );
        to.register(
            "http_response_time_seconds",
            "Time to answer a request, by endpoint alone",
            self.http_response_times.clone(),
        );
        to.register("keywright_signatures", "Tokens signed, by algorithm", self.signatures.clone());
        to.register(
            "keywright_backchannel_logouts",
            "Attempts to tell a client of a logout, by outcome",
            self.backchannel_logouts.clone(),
        );
        to.register(
            "keywright_identity_provider_logouts",
            "Attempts to end a session at the identity provider, by outcome",
            self.identity_provider_logouts.clone(),
        );
        to.register("keywright_work_pool_queue_depth", "Slow work that is waiting", self.pool_depths.clone());
        to.register(
            "keywright_work_pool_wait_seconds",
            "How long slow work waited for a worker",
            self.pool_waits.clone(),
        );
        to.register(
            "keywright_work_pool_rejections",
            "Slow work that was refused because the queue was full",
            self.pool_rejections.clone(),
        );
        to.register(
            "keywright_cache_trusted",
            "1 while the database's change notifications arrive, so that caches are used",
            self.cache_trusted.clone(),
        );
        to.register(
            "keywright_replica_away",
            "1 while there is a read replica, and lists are read from the database itself",
            self.replica_away.clone(),
        );
        to.register(
            "keywright_replica_lag_seconds",
            "How far the read replica was behind when it answered last, up to ten seconds too much",
            self.replica_lag.clone(),
        );
        to.register("keywright_database_statements", "Statements sent", self.statements.clone());
    }

    pub(crate) fn pool(&self, pool: &'static str) -> PoolMetrics {
        let labels = PoolLabels { pool };
        PoolMetrics {
            depth: self.pool_depths.get_or_create_owned(&labels),
            wait: self.pool_waits.get_or_create_owned(&labels),
            rejected: self.pool_rejections.get_or_create_owned(&labels),
        }
    }

    /// Counts a request of the token endpoint; `None` is a grant type that nobody knows, or none.
    pub(crate) fn token_request(&self, grant: Option<GrantType>, outcome: Result<(), ErrorCode>) {
        let labels = TokenLabels {
            grant_type: grant.map_or("other", GrantType::as_str),
            outcome: outcome.map_or_else(ErrorCode::as_str, |()| "success"),
        };
        self.token_requests.get_or_create(&labels).inc();
    }

    /// Counts a challenge that was accepted: an answer that is given again counts again.
    pub(crate) fn challenge_accepted(&self, kind: ChallengeKind) {
        self.accepted_challenges.get_or_create(&kind.labels()).inc();
    }

    /// Counts a challenge that was rejected, in the same way.
    pub(crate) fn challenge_rejected(&self, kind: ChallengeKind) {
        self.rejected_challenges.get_or_create(&kind.labels()).inc();
    }

    /// Counts an answered request.
    pub(crate) fn http_request(&self, code: u16, method: &Method, endpoint: &'static str, took: Duration) {
        let (labels, took) = (HttpLabels { code, method: label(method), endpoint }, took.as_secs_f64());
        self.http_requests.get_or_create(&labels).inc();
        self.http_durations.get_or_create(&labels).observe(took);
        self.http_response_times.get_or_create(&EndpointLabels { endpoint }).observe(took);
    }

    /// Counts an attempt to tell a client of a logout.
    pub(crate) fn backchannel_logout(&self, outcome: &'static str) {
        self.backchannel_logouts.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Counts an attempt to end a session at the identity provider.
    pub(crate) fn identity_provider_logout(&self, outcome: &'static str) {
        self.identity_provider_logouts.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Counts a signed token.
    pub(crate) fn signature(&self, algorithm: SigningAlgorithm) {
        self.signatures.get_or_create(&AlgorithmLabels { algorithm: algorithm.as_str() }).inc();
    }
}

/// Lower case, as Hydra has it; a caller may invent methods, but no series.
fn label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        Method::OPTIONS => "options",
        _ => "other",
    }
}

/// `GET /admin/metrics/prometheus`, in the OpenMetrics text format.
pub(crate) fn expose(server: &Server, registry: &Registry) -> Response {
    let metrics = server.metrics();
    metrics.cache_trusted.set(server.store().is_cache_trusted().into());
    metrics.replica_away.set((server.store().is_replica_used() == Some(false)).into());
    let lag = server.store().replica_lag().unwrap_or_default();
    metrics.replica_lag.set(lag.as_secs().try_into().unwrap_or(i64::MAX));
    metrics.statements.inner().store(server.store().statements(), std::sync::atomic::Ordering::Relaxed);
    server.signatures().measure();
    server.hashes().measure();
    server.key_making().measure();
    let mut body = String::with_capacity(16 * 1024);
    if text::encode(&mut body, registry).is_err() {
        // Only a collector of somebody else's can fail; what it left half-written is not served.
        body.clear();
        let _ = writeln!(body, "# EOF");
    }
    let format = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    answer::with_type(StatusCode::OK, format, body.into())
}

#[cfg(test)]
impl Default for PoolMetrics {
    fn default() -> Self {
        Metrics::new(&mut Registry::default()).pool("test")
    }
}
