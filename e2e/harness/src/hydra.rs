//! The database of an Ory Hydra, as one really wrote it.
//!
//! `fixtures/hydra.json` holds the rows that an Ory Hydra 26 on PostgreSQL had after some clients were registered and some
//! people had logged in, of the columns that are read, and the answers that the clients got. Hydra's secrets were made for
//! this.

use serde_json::Value;
use sqlx::{Connection, Executor, PgConnection};
use store::HydraDatabase;

use crate::TestDatabase;

/// When that was: a moment after the last login.
pub const HYDRAS_TIME: &str = "2026-11-22T22:02:41Z";

/// A database of Hydra's, removed when this is dropped.
pub struct TestHydra {
    /// The entries of its `secrets.system`.
    pub secrets: Vec<String>,
    /// What its clients got.
    pub answers: Value,
    database: TestDatabase,
}

impl TestHydra {
    /// The database, with the rows of the fixture.
    ///
    /// # Panics
    /// Where there is no PostgreSQL.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its database")]
    pub async fn start() -> Self {
        let fixture: Value =
            serde_json::from_str(include_str!("../fixtures/hydra.json")).expect("the fixture is JSON");
        let database = TestDatabase::postgres().await;
        let hydra = Self {
            secrets: serde_json::from_value(fixture["secrets"].clone()).expect("texts"),
            answers: fixture["answers"].clone(),
            database,
        };
        for (table, rows) in fixture["tables"].as_object().expect("tables") {
            hydra.sql(&create_table(table, rows)).await;
            let rows = rows.to_string().replace('\'', "''");
            let insert = format!(
                "INSERT INTO {table} SELECT * FROM jsonb_populate_recordset(NULL::{table}, '{rows}')"
            );
            hydra.sql(&insert).await;
        }
        hydra
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.database.url
    }

    /// The database, opened to be taken over.
    ///
    /// # Panics
    /// Where it cannot be opened.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its database")]
    pub async fn open(&self) -> HydraDatabase {
        HydraDatabase::open(self.url()).await.expect("Hydra's database")
    }

    /// Does something to it, as Hydra might.
    ///
    /// # Panics
    /// Where the statement fails.
    #[expect(clippy::expect_used, reason = "a test cannot go on where a step of its own fails")]
    pub async fn sql(&self, statement: &str) {
        let mut connection = PgConnection::connect(self.url()).await.expect("Hydra's database");
        let statement = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()));
        connection.execute(statement).await.expect("a statement");
        connection.close().await.expect("the end of a connection");
    }

    /// Something that a client got.
    ///
    /// # Panics
    /// Where it is no text.
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub fn answer(&self, pointer: &str) -> &str {
        self.answers.pointer(pointer).and_then(Value::as_str).expect("a text of the fixture")
    }
}

/// A table with the columns of its rows.
fn create_table(table: &str, rows: &Value) -> String {
    let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
    let names = rows.first().and_then(Value::as_object).into_iter().flat_map(|row| row.keys());
    let columns: Vec<String> = names
        .map(|name| {
            let known = rows.iter().map(|row| &row[name]).find(|value| !value.is_null());
            format!("{name} {}", column_type(table, name, known))
        })
        .collect();
    format!("CREATE TABLE {table} ({})", columns.join(", "))
}

fn column_type(table: &str, name: &str, known: Option<&Value>) -> &'static str {
    match (name, known) {
        ("nid", _) => "UUID",
        ("id", _) if table != "hydra_client" => "UUID",
        (name, _) if name.ends_with("_at") && name != "client_secret_expires_at" => "TIMESTAMP",
        (name, None) if name.ends_with("_lifespan") => "BIGINT",
        ("state", _) => "INTEGER",
        (_, Some(Value::Array(_) | Value::Object(_))) => "JSONB",
        (_, Some(Value::Bool(_))) => "BOOLEAN",
        (_, Some(Value::Number(_))) => "BIGINT",
        _ => "TEXT",
    }
}
