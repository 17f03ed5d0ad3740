//! Hydra's tables. Rows are read as JSON, so that a column that a version lacks is a member that is absent.

use jiff::Timestamp;
use serde_json::{Map, Value};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};

use crate::Error;

/// How many rows are read at once.
const PAGE: i64 = 500;

/// The tables that are read.
const TABLES: [&str; 6] = [
    "networks",
    "hydra_client",
    "hydra_jwk",
    "hydra_oauth2_trusted_jwt_bearer_issuer",
    "hydra_oauth2_flow",
    "hydra_oauth2_refresh",
];

/// A row of a table.
pub(super) type Row = Map<String, Value>;

/// The database of an Ory Hydra 2, in one snapshot.
pub struct HydraDatabase {
    connection: PgConnection,
    network: String,
}

impl HydraDatabase {
    /// Opens the database at a `postgres://` URL. Nothing is ever written to it.
    ///
    /// # Errors
    /// [`Error::Hydra`].
    pub async fn open(url: &str) -> Result<Self, Error> {
        let mut connection = PgConnection::connect(url).await.map_err(failed)?;
        let begin = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";
        connection.execute(begin).await.map_err(failed)?;
        for table in TABLES {
            let there: Option<String> = sqlx::query_scalar("SELECT CAST(to_regclass($1) AS TEXT)")
                .bind(table)
                .fetch_one(&mut connection)
                .await
                .map_err(failed)?;
            if there.is_none() {
                let why = format!("it has no table {table}, so it is no Ory Hydra 2, or not migrated");
                return Err(Error::Hydra(why));
            }
        }
        let network = "SELECT CAST(id AS TEXT) FROM networks ORDER BY created_at LIMIT 1";
        let network: Option<String> =
            sqlx::query_scalar(network).fetch_optional(&mut connection).await.map_err(failed)?;
        let network = network.ok_or_else(|| Error::Hydra("Hydra has never run on it".to_owned()))?;
        Ok(Self { connection, network })
    }

    /// The network whose rows are read, as Hydra itself does.
    pub(super) fn network(&self) -> &str {
        &self.network
    }

    pub(super) async fn has_several_networks(&mut self) -> Result<bool, Error> {
        let count = "SELECT COUNT(*) FROM networks";
        let count: i64 = sqlx::query_scalar(count).fetch_one(&mut self.connection).await.map_err(failed)?;
        Ok(count > 1)
    }

    /// The clients whose ids come after `after`.
    pub(super) async fn clients(&mut self, after: &str) -> Result<Vec<Row>, Error> {
        let sql = "SELECT CAST(to_jsonb(c) AS TEXT) FROM hydra_client c \
                   WHERE c.nid = CAST($1 AS UUID) AND c.id > $2 ORDER BY c.id LIMIT $3";
        self.page(sql, &[after]).await
    }

    /// All keys, the newest of each set first.
    pub(super) async fn keys(&mut self) -> Result<Vec<Row>, Error> {
        let sql = "SELECT CAST(to_jsonb(k) AS TEXT) FROM hydra_jwk k WHERE k.nid = CAST($1 AS UUID) \
                   ORDER BY k.sid, k.created_at DESC, k.kid";
        let query = sqlx::query_scalar(sql).bind(self.network.clone());
        rows(&query.fetch_all(&mut self.connection).await.map_err(failed)?)
    }

    /// All trusted issuers.
    pub(super) async fn issuers(&mut self) -> Result<Vec<Row>, Error> {
        let sql = "SELECT CAST(to_jsonb(i) AS TEXT) FROM hydra_oauth2_trusted_jwt_bearer_issuer i \
                   WHERE i.nid = CAST($1 AS UUID) ORDER BY i.id";
        let query = sqlx::query_scalar(sql).bind(self.network.clone());
        rows(&query.fetch_all(&mut self.connection).await.map_err(failed)?)
    }

    /// The remembered consents that Hydra would find at `now`, by subject and client behind `after`: the newest one that
    /// was given by a person, and has not ended.
    pub(super) async fn consents(
        &mut self,
        (subject, client): (&str, &str),
        now: Timestamp,
    ) -> Result<Vec<Row>, Error> {
        let sql = "SELECT CAST(j AS TEXT) FROM (SELECT DISTINCT ON (f.subject, f.client_id) \
                   to_jsonb(f) - 'request_url' - 'oidc_context' - 'context' - 'session_id_token' \
                   - 'session_access_token' AS j FROM hydra_oauth2_flow f \
                   WHERE f.nid = CAST($1 AS UUID) AND (f.subject, f.client_id) > ($2, $3) AND f.subject <> '' \
                   AND f.consent_remember AND NOT f.consent_skip AND f.consent_challenge_id IS NOT NULL \
                   AND COALESCE(to_jsonb(f)->>'state', '6') = '6' \
                   AND (COALESCE(f.consent_remember_for, 0) <= 0 \
                   OR f.requested_at + f.consent_remember_for * INTERVAL '1 second' > CAST($4 AS TIMESTAMP)) \
                   ORDER BY f.subject, f.client_id, f.requested_at DESC LIMIT $5) newest";
        self.page(sql, &[subject, client, &utc(now)]).await
    }

    /// The refresh tokens of logins of which one may still be used, by login and token behind `after`. Those that were
    /// used have no `session_data`. `flow_requested_at` and `flow_session_id` are of the login, where it is there still.
    pub(super) async fn refresh_tokens(&mut self, (login, token): (&str, &str)) -> Result<Vec<Row>, Error> {
        let sql = "SELECT CAST(to_jsonb(r) - 'form_data' - CASE WHEN r.active THEN '' ELSE 'session_data' END \
                   || jsonb_build_object('flow_requested_at', f.requested_at, 'flow_session_id', \
                   f.login_session_id) AS TEXT) \
                   FROM hydra_oauth2_refresh r LEFT JOIN hydra_oauth2_flow f \
                   ON f.consent_challenge_id = r.request_id AND f.nid = r.nid \
                   WHERE r.nid = CAST($1 AS UUID) AND (r.request_id, r.signature) > ($2, $3) \
                   AND (r.active OR EXISTS (SELECT 1 FROM hydra_oauth2_refresh a \
                   WHERE a.request_id = r.request_id AND a.nid = r.nid AND a.active)) \
                   ORDER BY r.request_id, r.signature LIMIT $4";
        self.page(sql, &[login, token]).await
    }

    /// Runs a statement whose parameters are the network, `given`, and how many rows it may give.
    async fn page(&mut self, sql: &'static str, given: &[&str]) -> Result<Vec<Row>, Error> {
        let mut query = sqlx::query_scalar(sql).bind(self.network.clone());
        for text in given {
            query = query.bind((*text).to_owned());
        }
        rows(&query.bind(PAGE).fetch_all(&mut self.connection).await.map_err(failed)?)
    }
}

/// As PostgreSQL reads it, in the form in which Hydra's columns have it.
fn utc(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn rows(texts: &[String]) -> Result<Vec<Row>, Error> {
    let parsed = texts.iter().map(|text| serde_json::from_str(text));
    parsed.collect::<Result<_, _>>().map_err(|_| Error::Hydra("a row is no JSON object".to_owned()))
}

/// The driver's errors name what failed, and hold no password.
#[expect(clippy::needless_pass_by_value, reason = "it maps an error")]
fn failed(error: sqlx::Error) -> Error {
    Error::Hydra(error.to_string())
}
