//! What errors say, and what they do not.

mod common;

use common::{
    clock, create_client, databases, declaration, declare, every, named, read, resource, sql, try_open,
};
use harness::TestDatabase;
use store::{ACCESS_TOKEN_SET, Error, Options};

/// What no error may show.
const CANARY: &str = "canary-5f1e7d";

fn says_nothing(error: &Error) {
    let text = format!("{error} {error:?}");
    assert!(!text.contains("canary"), "{text}");
}

#[tokio::test]
async fn a_value_that_cannot_be_read_is_told_by_its_column_only() {
    for database in databases().await {
        let store = database.open(clock()).await;
        create_client(&store, "orders").await;
        declare(&store, &declaration(ACCESS_TOKEN_SET, every(168, 24))).await;
        for (column, value) in [
            ("clients.metadata", format!(r#"{{"grant_types":"{CANARY}"}}"#)),
            ("clients.metadata", CANARY.to_owned()),
            ("client_secrets.hash", format!("{CANARY}.1.AAAA")),
            ("client_secrets.state", CANARY.to_owned()),
            ("key_sets.policy", format!(r#"{{"algorithms":["{CANARY}"]}}"#)),
            ("key_sets.key_use", CANARY.to_owned()),
        ] {
            let (table, name) = column.split_once('.').unwrap();
            sql(&database, format!("CREATE TABLE kept AS SELECT {name} AS value FROM {table}")).await;
            sql(&database, format!("UPDATE {table} SET {name} = '{value}'")).await;
            let error = match store.read_client(&common::client_id("orders")).await {
                Err(error) => error,
                Ok(_) => store.read_key_sets().await.unwrap_err(),
            };
            assert!(matches!(&error, Error::Corrupt(what) if what.contains(column)), "{column}: {error}");
            says_nothing(&error);
            sql(&database, format!("UPDATE {table} SET {name} = (SELECT value FROM kept); DROP TABLE kept"))
                .await;
        }
        read(&store, "orders").await;
        assert_eq!(store.read_key_sets().await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_statement_that_the_database_refuses_does_not_show_what_it_was_given() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (row, _) = create_client(&store, "orders").await;
        sql(&database, "CREATE UNIQUE INDEX one_of_a_kind ON clients (spec_hash)").await;
        let (other, _) = {
            let (mut new, secret) = common::new_client(&store, "other");
            new.spec_hash = CANARY.into();
            store.create_client(&new).await.unwrap();
            (read(&store, "other").await, secret)
        };
        // PostgreSQL tells the value in the error's detail.
        let doubled = store
            .update_client(&row.fence(), &named(CANARY), row.manager.as_ref().unwrap(), CANARY)
            .await
            .unwrap_err();
        assert!(matches!(doubled, Error::Statement(_)), "{doubled}");
        says_nothing(&doubled);

        // PostgreSQL has no NUL in text; SQLite has.
        let nul = format!("{CANARY}\0");
        if let Err(error) = store.update_client(&other.fence(), &named("x"), &resource("other"), &nul).await {
            assert!(matches!(error, Error::Statement(_)), "{error}");
            says_nothing(&error);
        }

        sql(&database, "ALTER TABLE clients RENAME TO hidden").await;
        let missing = store.read_client(&row.id).await.unwrap_err();
        assert!(matches!(missing, Error::Statement(_)) && !missing.is_transient(), "{missing}");
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_opened_does_not_show_its_password() {
    let database = TestDatabase::postgres().await;
    let right = url::Url::parse(&database.url).unwrap();
    let wrong = |change: &dyn Fn(&mut url::Url)| {
        let mut url = right.clone();
        url.set_password(Some(CANARY)).unwrap();
        change(&mut url);
        url.to_string()
    };
    for url in [
        wrong(&|_| {}),
        wrong(&|url| url.set_path("/absent")),
        wrong(&|url| url.set_port(Some(1)).unwrap()),
        wrong(&|url| url.set_host(Some("host.invalid")).unwrap()),
        wrong(&|url| url.set_query(Some("sslmode=sometimes"))),
        wrong(&|url| url.set_query(Some("sslmode=verify-full"))),
        format!("mysql://root:{CANARY}@127.0.0.1/keywright"),
        format!("postgres://root:{CANARY}@127.0.0.1:port/keywright"),
        format!("root:{CANARY}@127.0.0.1/keywright"),
        CANARY.to_owned(),
    ] {
        let options = Options { listen_url: Some(url.clone()), ..database.options_at(url) };
        let error = try_open(options).await.map(drop).unwrap_err();
        says_nothing(&error);
    }
}
