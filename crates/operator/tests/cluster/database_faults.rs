//! A database that is there, and does not do what it is asked.

use std::time::{Duration, Instant};

use crd::Reason;
use harness::{TestDatabase, TestPostgres};
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor, PgConnection};

use crate::world::World;

/// Somebody else on the world's database, whose connection stays.
struct Administrator {
    url: String,
    connection: PgConnection,
}

impl Administrator {
    async fn of(world: &World) -> Self {
        let url = world.database.url.clone();
        let connection = PgConnection::connect(&url).await.unwrap();
        Self { url, connection }
    }

    async fn run(&mut self, statement: &str) {
        let statement = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()));
        self.connection.execute(statement).await.unwrap();
    }

    /// Sets something for all connections to come, and ends those that there are.
    async fn set(&mut self, setting: &str) {
        let name = self.url.rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
        self.run(&format!("ALTER DATABASE {name} {setting}")).await;
        self.end_others().await;
    }

    async fn end_others(&mut self) {
        self.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
    }

    /// The SQLSTATE by which somebody is refused who comes with a statement.
    async fn refused_with(&self, statement: &str) -> Option<String> {
        let refused = async {
            let mut connection = PgConnection::connect(&self.url).await?;
            connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()))).await
        };
        let error = refused.await.err()?;
        Some(error.as_database_error()?.code()?.into_owned())
    }
}

/// A change that makes a row be written.
const WRITE: &str = "UPDATE clients SET version = version";

async fn edit_in_vain(world: &World) {
    world.oac("edited").edit(json!({"scopes": ["write"]})).await;
    world.oac("new").create(json!({"grantTypes": ["client_credentials"]})).await;
    for name in ["edited", "new"] {
        world.oac(name).stands(Reason::DatabaseUnavailable).await;
    }
}

/// All that was declared meanwhile is made, and soon.
async fn recovers(world: &World, began: Instant) {
    let edited = world.oac("edited").ready().await;
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let new = world.oac("new").ready().await;
    for client in [&edited, &new] {
        assert!(world.lets_in(&world.credentials(client).await).await);
    }
    let id = world.credentials(&edited).await.0;
    assert_eq!(world.row(&id).await.unwrap().metadata.scope.to_string(), "write");
    world.oac("new").tells(&["Created"]).await;
}

/// Scenario 38: it dies, and comes back as another process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_dies_is_waited_for() {
    let server = TestPostgres::start("").await;
    let database = TestDatabase::on(server.url.clone()).await;
    let options = database.options();
    let world = World::on(database, options).await;
    world.start().await;
    world.ready_service("edited").await;
    server.kill().await;
    assert!(PgConnection::connect(&world.database.url).await.is_err(), "it is gone");
    edit_in_vain(&world).await;
    server.restart().await;
    recovers(&world, Instant::now()).await;
    world.finish().await;
}

/// Scenario 38: fail over to a standby that was not promoted yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_only_reads_is_waited_for() {
    let world = World::on_postgres().await;
    world.start().await;
    world.ready_service("edited").await;
    let mut administrator = Administrator::of(&world).await;
    administrator.set("SET default_transaction_read_only = on").await;
    assert_eq!(administrator.refused_with(WRITE).await.as_deref(), Some("25006"));
    edit_in_vain(&world).await;
    // It reads, so that its answers alone do not tell that it is well again.
    let statements = world.store.statements();
    let began = Instant::now();
    world.until("more attempts", async || (world.store.statements() > statements + 8).then_some(())).await;
    assert!(began.elapsed() > Duration::from_millis(500), "it was asked without a pause");

    administrator.run("SET SESSION default_transaction_read_only = off").await;
    administrator.set("RESET default_transaction_read_only").await;
    recovers(&world, Instant::now()).await;
    world.finish().await;
}

/// Scenario 38: statements that take too long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_that_time_out_are_repeated_when_the_database_is_quick_again() {
    let world = World::on_postgres().await;
    world.start().await;
    world.ready_service("edited").await;
    let mut administrator = Administrator::of(&world).await;
    administrator.set("SET statement_timeout = '200ms'").await;
    administrator.run("BEGIN; LOCK TABLE clients IN ACCESS EXCLUSIVE MODE").await;
    assert_eq!(administrator.refused_with(WRITE).await.as_deref(), Some("57014"));
    edit_in_vain(&world).await;
    administrator.run("ROLLBACK").await;
    recovers(&world, Instant::now()).await;
    world.finish().await;
}

/// Scenario 38: connections that end at any time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_ended_again_and_again_cost_nothing_but_time() {
    let world = World::on_postgres().await;
    world.start().await;
    world.ready_service("edited").await;
    let mut administrator = Administrator::of(&world).await;
    for n in 0..20 {
        let name = format!("client-{n}");
        world.oac(&name).create(json!({"grantTypes": ["client_credentials"]})).await;
        administrator.end_others().await;
    }
    world.oac("edited").edit(json!({"scopes": ["write"]})).await;
    administrator.end_others().await;
    world.oac("new").create(json!({"grantTypes": ["client_credentials"]})).await;
    administrator.end_others().await;
    recovers(&world, Instant::now()).await;
    for n in 0..20 {
        let name = format!("client-{n}");
        let client = world.oac(&name).ready().await;
        assert!(world.lets_in(&world.credentials(&client).await).await);
        world.oac(&name).tells(&["Created"]).await;
    }
    world.finish().await;
}

/// What the connections are called that leave none to others.
const TAKER: &str = "taker";

/// Takes all connections that there may be, the operator's among them.
async fn take_all(world: &World, administrator: &mut Administrator) -> Vec<PgConnection> {
    let options: PgConnectOptions = administrator.url.parse().unwrap();
    let options = options.application_name(TAKER);
    let others = format!(
        "FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name <> '{TAKER}' \
         AND pid <> pg_backend_pid()"
    );
    let (end, count) =
        (format!("SELECT pg_terminate_backend(pid) {others}"), format!("SELECT count(*) {others}"));
    let mut taken = Vec::new();
    let all_taken = async || {
        administrator.run(&end).await;
        while let Ok(connection) = PgConnection::connect_with(&options).await {
            taken.push(connection);
        }
        let count = sqlx::query_scalar(sqlx::AssertSqlSafe(count.clone()));
        let left: i64 = count.fetch_one(&mut administrator.connection).await.unwrap();
        (left == 0).then_some(())
    };
    world.until("all connections are taken", all_taken).await;
    taken
}

/// Scenario 38: others have taken all connections that there may be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_without_a_free_connection_is_waited_for() {
    let server = TestPostgres::start("-c max_connections=12 -c superuser_reserved_connections=0").await;
    let database = TestDatabase::on(server.url.clone()).await;
    let options = database.options();
    let world = World::on(database, options).await;
    world.start().await;
    world.ready_service("edited").await;
    let mut administrator = Administrator::of(&world).await;
    let taken = take_all(&world, &mut administrator).await;
    assert_eq!(administrator.refused_with("SELECT 1").await.as_deref(), Some("53300"));
    edit_in_vain(&world).await;
    drop(taken);
    recovers(&world, Instant::now()).await;
    world.finish().await;
}
