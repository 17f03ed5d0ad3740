//! Taking over an Ory Hydra's database.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use common::{client_id, costing, databases, hours, number, read, resource, sql};
use harness::hydra::HYDRAS_TIME;
use harness::{TestDatabase, TestHydra};
use jiff::Timestamp;
use jose::schedule::State;
use jose::{Entropy, HydraSecret};
use oauth::client::SecretCheck;
use oauth::consent::RememberedConsent;
use oauth::imported_token::HydraTokenKind;
use oauth::refresh_token::RefreshToken;
use oauth::{ClientSecret, GrantId, HydraToken};
use sqlx::Row;
use store::{
    ACCESS_TOKEN_SET, Clock, Error, HydraImport, ID_TOKEN_SET, ImportCount, ImportReport, PurgeWalk,
    RefreshOutcome, RefreshRotation, SecretChange, Store,
};

fn clock() -> Clock {
    Clock::manual(HYDRAS_TIME.parse().unwrap())
}

fn secrets(hydra: &TestHydra) -> Vec<HydraSecret> {
    hydra.secrets.iter().map(|secret| HydraSecret::new(secret)).collect()
}

async fn import(hydra: &TestHydra, store: &Store, dry_run: bool) -> ImportReport {
    let secrets = secrets(hydra);
    let import = HydraImport { store: Some(store), secrets: &secrets, registration_tokens: true, dry_run };
    import.run(&mut hydra.open().await, store.clock().now(), store.entropy()).await.unwrap()
}

/// Found, taken over, here already, ended, left out.
fn counts(report: &ImportReport) -> Vec<(&'static str, [u64; 5])> {
    let numbers = |c: &ImportCount| [c.found, c.taken_over, c.here_already, c.ended, c.left_out];
    report.counts.iter().map(|count| (count.kind, numbers(count))).collect()
}

fn problems(report: &ImportReport) -> Vec<(&str, &str)> {
    report.problems.iter().map(|problem| (problem.name.as_str(), problem.problem.as_str())).collect()
}

const WHOLE: [(&str, [u64; 5]); 5] = [
    ("clients", [5, 5, 0, 0, 0]),
    ("keys", [6, 5, 0, 0, 1]),
    ("trusted issuers", [1, 1, 0, 0, 0]),
    ("consents", [2, 2, 0, 0, 0]),
    ("refresh tokens", [7, 7, 0, 0, 0]),
];

/// Whether a secret authenticates a client, by whatever hash.
async fn authenticates(store: &Store, id: &str, secret: &ClientSecret) -> bool {
    let client = store.fresh_client(&client_id(id)).await.unwrap().unwrap();
    let check = client.check_secret(store.ring(), secret, store.clock().now());
    match check {
        SecretCheck::Match => true,
        SecretCheck::Mismatch => false,
        SecretCheck::Slow(hashes) => {
            hashes.iter().any(|hash| hash.verify(store.ring(), &client.id, client.incarnation, secret))
        }
    }
}

/// The token of somebody, as this server sees it.
async fn opened(store: &Store, token: &str) -> Option<RefreshToken> {
    let token = HydraToken::parse(HydraTokenKind::Refresh, token).unwrap();
    let row = store.imported_token(&token).await.unwrap();
    row.map(|row| token.refresh_token(&row).unwrap())
}

async fn refresh(store: &Store, token: &RefreshToken) -> RefreshOutcome {
    let (now, nonce) = (store.clock().now(), store.entropy().bytes());
    let rotation = RefreshRotation {
        grant_id: token.grant,
        generation: token.generation,
        presented_hash: token.hash(),
        next_hash: token.next(store.ring(), nonce, now, None).hash(),
        nonce,
        expires_at: now + hours(24),
        keep_until: now + hours(24),
        grace: std::time::Duration::ZERO,
        incarnation: token.incarnation,
        epoch: token.epoch,
        content: None,
    };
    store.rotate_refresh_token(&rotation).await.unwrap()
}

async fn rows(database: &TestDatabase) -> Vec<i64> {
    let mut rows = Vec::new();
    for table in ["clients", "client_secrets", "keys", "trusted_issuers", "consents", "grants", "imported"] {
        rows.push(number(database, format!("SELECT COUNT(*) FROM {table}")).await);
    }
    rows
}

#[tokio::test]
async fn all_that_hydra_has_is_taken_over_once() {
    for database in databases().await {
        let (hydra, store) = (TestHydra::start().await, database.open(clock()).await);
        let dry = import(&hydra, &store, true).await;
        assert_eq!(rows(&database).await, [0; 7], "a dry run writes nothing");
        let report = import(&hydra, &store, false).await;
        assert_eq!(counts(&report), WHOLE);
        assert_eq!((&dry.counts, &dry.problems), (&report.counts, &report.problems));
        assert_eq!(
            problems(&report),
            [
                ("assertion", "without the grant type \"password\", which is not served"),
                ("symmetric sym-1", "unusable key: `kty` is oct: symmetric keys are not kept"),
            ]
        );
        let before = rows(&database).await;
        let again = import(&hydra, &store, false).await;
        let known =
            |count: &ImportCount| count.taken_over == 0 && count.here_already + count.left_out == count.found;
        assert!(again.counts.iter().all(known), "{again:?}");
        assert_eq!(rows(&database).await, before);
    }
}

#[tokio::test]
async fn clients_come_with_their_secrets_and_all_that_is_registered() {
    for database in databases().await {
        let (hydra, store) = (TestHydra::start().await, database.open(clock()).await);
        import(&hydra, &store, false).await;
        for (id, secret) in [
            ("web", "web-secret-of-hydra"),
            ("service", "first-secret-of-service"),
            ("service", hydra.answer("/service_secret")),
            (hydra.answer("/registered/client_id"), hydra.answer("/registered/client_secret")),
        ] {
            assert!(authenticates(&store, id, &ClientSecret::new(secret)).await, "{id}");
            assert!(!authenticates(&store, id, &ClientSecret::new("another secret")).await, "{id}");
        }
        let web = read(&store, "web").await;
        assert_eq!(web.created_at.to_string(), "2026-11-22T22:02:35Z");
        assert_eq!(web.metadata.other["owner"], "web/team");
        assert_eq!(web.metadata.other["metadata"]["team"]["id"], 7);
        assert_eq!(web.metadata.lifespans.longest_access_token().unwrap().as_secs(), 31 * 60);
        assert!(web.metadata.backchannel_logout_uri.is_some() && web.manager.is_none());
        // A hash that is copied to another client's row opens nothing there.
        sql(&database, "UPDATE client_secrets SET client_id = 'spa' WHERE client_id = 'web'").await;
        assert!(!authenticates(&store, "spa", &ClientSecret::new("web-secret-of-hydra")).await);
    }
}

#[tokio::test]
async fn hydras_newest_key_signs_and_the_others_verify_for_as_long_as_their_tokens_live() {
    for database in databases().await {
        let (hydra, store) = (TestHydra::start().await, database.open(clock()).await);
        import(&hydra, &store, false).await;
        let now = store.clock().now();
        let set = store.read_key_set(ID_TOKEN_SET).await.unwrap().unwrap();
        let mut states: Vec<(String, State, bool)> = set
            .keys
            .iter()
            .map(|key| {
                let scheduled = &key.schedule;
                (scheduled.kid.to_string(), scheduled.instants.state(now), scheduled.has_private_half)
            })
            .collect();
        states.sort();
        let former = "6519e5b8-805d-40a2-8265-bccf08486cee".to_owned();
        assert_eq!(
            states,
            [(former.clone(), State::Retired, false), ("id-token-key-2".to_owned(), State::Active, true)]
        );
        let retired = set.keys.iter().find(|key| key.schedule.kid.as_str() == former).unwrap();
        let stays = retired.schedule.instants.removed_at.unwrap().duration_since(now);
        assert!(stays >= common::minutes(75), "the longest lifetime and a quarter of an hour: {stays:?}");
        let keys = store.keys().await.unwrap();
        assert!(keys.is_complete(now));
        assert_eq!(keys.published(&[], now).keys.len(), 3);
        // Nothing is made anew, and the schedule goes on from now.
        store.ensure_token_sets().await.unwrap();
        store.turn_unattended_sets().await.unwrap();
        assert_eq!(store.read_key_set(ID_TOKEN_SET).await.unwrap().unwrap().keys.len(), 2);
        let own = store.read_key_set("app-keys").await.unwrap().unwrap();
        assert!(own.policy.is_by_hand() && own.keys.len() == 2);
        assert!(store.read_key_set("https://issuer.example.com").await.unwrap().is_none());
        let trusted = store.list_trusted_issuers(None, 10, None).await.unwrap().issuers;
        assert_eq!((trusted.len(), trusted[0].subject.as_deref()), (1, Some("robot")));
        assert_eq!(trusted[0].id.to_string(), "d5b814f7-3892-4a1b-a5db-cbb63564f901");
    }
}

#[tokio::test]
async fn keys_of_a_set_that_is_here_already_verify_alone() {
    for database in databases().await {
        let (hydra, store) = (TestHydra::start().await, database.open(clock()).await);
        let declared = common::declaration(ACCESS_TOKEN_SET, common::every(720, 24));
        let own = common::declare(&store, &declared).await.after.keys[0].schedule.kid.clone();
        let report = import(&hydra, &store, false).await;
        let why = "the set was here already: its own key goes on signing, and Hydra's verify";
        assert!(problems(&report).contains(&(ACCESS_TOKEN_SET, why)), "{report:?}");
        let now = store.clock().now();
        let keys = store.keys().await.unwrap();
        assert_eq!(keys.signing_key(ACCESS_TOKEN_SET, None, now).unwrap().signer.key_id(), &own);
        assert!(keys.verifier(&"access-token-key".to_owned().into(), now).is_some());
        common::declare(&store, &declared).await;
        assert_eq!(store.read_key_set(ACCESS_TOKEN_SET).await.unwrap().unwrap().keys.len(), 2);
    }
}

#[tokio::test]
async fn consents_are_remembered_until_they_end() {
    for database in databases().await {
        let (hydra, store) = (TestHydra::start().await, database.open(clock()).await);
        import(&hydra, &store, false).await;
        let (web, at) = (read(&store, "web").await, |text: &str| text.parse::<Timestamp>().unwrap());
        for (subject, ends) in [("alice", None), ("bob", Some(at("2076-11-09T22:02:37Z")))] {
            let row = store.remembered_consent(subject, &web.id, web.incarnation).await.unwrap().unwrap();
            assert_eq!(row.expires_at, ends, "{subject}");
            let consent = RememberedConsent::open(store.ring(), &row.content).unwrap();
            assert_eq!(
                (consent.subject.as_str(), consent.scope.to_string()),
                (subject, "openid offline read".into())
            );
            assert_eq!(consent.audience[0].as_str(), "https://api.example.com");
        }
        // Dave's has ended, and the others were not to be remembered.
        assert_eq!(number(&database, "SELECT COUNT(*) FROM consents").await, 2);
        store.forget_consents("alice", None).await.unwrap();
        import(&hydra, &store, false).await;
        assert!(store.remembered_consent("alice", &web.id, web.incarnation).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_refresh_token_is_the_first_one_of_a_grant() {
    for database in databases().await {
        let (hydra, store) = (TestHydra::start().await, database.open(clock()).await);
        import(&hydra, &store, false).await;
        let (frank, cost) = costing(&store, opened(&store, hydra.answer("/frank/refresh_token"))).await;
        let frank = frank.unwrap();
        assert_eq!((frank.generation, cost), (0, 1));
        let RefreshOutcome::Rotated(grant) = refresh(&store, &frank).await else {
            panic!("it is the current one")
        };
        assert_eq!((grant.subject.as_str(), grant.client_id.as_str()), ("frank", "web"));
        assert_eq!(refresh(&store, &frank).await, RefreshOutcome::Reused);

        // Bob's first one was used at Hydra: whoever has it may have stolen it.
        let (used, current) = (opened(&store, hydra.answer("/bob_used/refresh_token")).await.unwrap(), {
            opened(&store, hydra.answer("/bob/refresh_token")).await.unwrap()
        });
        assert_eq!(used.grant, current.grant);
        assert_eq!(refresh(&store, &used).await, RefreshOutcome::Reused);
        assert_eq!(refresh(&store, &current).await, RefreshOutcome::Refused);

        assert!(
            opened(&store, hydra.answer("/erin/refresh_token")).await.is_none(),
            "it was revoked at Hydra"
        );
        let (random, signature) = hydra.answer("/grace/refresh_token").split_once('.').unwrap();
        let other = hydra.answer("/heidi/refresh_token").split_once('.').unwrap();
        assert!(
            opened(&store, &format!("{}.{signature}", other.0)).await.is_none(),
            "Hydra never signed that"
        );
        assert!(opened(&store, &format!("{random}.{}", other.1)).await.is_none());
    }
}

#[tokio::test]
async fn a_copy_of_both_databases_holds_no_token_and_no_secret() {
    for database in databases().await {
        let (hydra, store) = (TestHydra::start().await, database.open(clock()).await);
        import(&hydra, &store, false).await;
        let secrets = secrets(&hydra);
        let mut contents = Vec::new();
        for sql_text in
            ["SELECT content FROM imported WHERE content IS NOT NULL", "SELECT content FROM imported_secrets"]
        {
            contents.extend(sql(&database, sql_text).await.iter().map(|row| row.get::<Vec<u8>, _>(0)));
        }
        assert!(contents.len() > 10);
        for content in contents {
            for secret in &secrets {
                assert!(!content.windows(32).any(|window| window == secret.expose()));
            }
        }
        // A row that is copied under another token's name stands for nothing.
        let statement = "UPDATE imported SET content = \
                         (SELECT content FROM imported WHERE content IS NOT NULL ORDER BY id LIMIT 1)";
        sql(&database, statement).await;
        let people = ["frank", "grace", "heidi", "carol", "bob"];
        let mut opening = 0;
        for person in people {
            let token = hydra.answer(&format!("/{person}/refresh_token"));
            opening += usize::from(opened(&store, token).await.is_some());
        }
        assert!(opening <= 1, "{opening}");
    }
}

#[tokio::test]
async fn what_hydra_did_since_the_last_run_is_followed_and_what_was_done_here_stays() {
    for database in databases().await {
        let (hydra, store) = (TestHydra::start().await, database.open(clock()).await);
        // Before bob's refresh at Hydra.
        let second = "subject = 'bob' AND active";
        hydra
            .sql(&format!(
                "CREATE TABLE later AS SELECT * FROM hydra_oauth2_refresh WHERE {second}; \
                 DELETE FROM hydra_oauth2_refresh WHERE {second}; \
                 UPDATE hydra_oauth2_refresh SET active = true, session_data = (SELECT session_data FROM later) \
                 WHERE subject = 'bob'"
            ))
            .await;
        import(&hydra, &store, false).await;
        let first = opened(&store, hydra.answer("/bob_used/refresh_token")).await.unwrap();
        assert_eq!(first.generation, 0);
        // Meanwhile frank refreshes here, and a client is deleted here.
        let frank = opened(&store, hydra.answer("/frank/refresh_token")).await.unwrap();
        assert!(matches!(refresh(&store, &frank).await, RefreshOutcome::Rotated(_)));
        assert!(store.delete_unmanaged_client(&client_id("assertion")).await.unwrap());

        hydra
            .sql(
                "UPDATE hydra_oauth2_refresh SET active = false WHERE subject = 'bob'; \
                 INSERT INTO hydra_oauth2_refresh SELECT * FROM later; \
                 INSERT INTO hydra_client SELECT (jsonb_populate_record(c, '{\"id\": \"late\"}')).* \
                 FROM hydra_client c WHERE id = 'service'",
            )
            .await;
        let report = import(&hydra, &store, false).await;
        let of = |kind| counts(&report).into_iter().find(|(known, _)| *known == kind).unwrap().1;
        assert_eq!(of("clients"), [6, 1, 5, 0, 0]);
        assert_eq!(of("refresh tokens"), [7, 1, 6, 0, 0]);
        assert!(store.read_client(&client_id("assertion")).await.unwrap().is_none(), "deleted is deleted");
        let current = opened(&store, hydra.answer("/bob/refresh_token")).await.unwrap();
        assert_eq!((current.generation, current.grant), (0, first.grant));
        assert!(matches!(refresh(&store, &current).await, RefreshOutcome::Rotated(_)));
        let used = opened(&store, hydra.answer("/bob_used/refresh_token")).await.unwrap();
        assert_eq!(refresh(&store, &used).await, RefreshOutcome::Reused);
    }
}

#[tokio::test]
async fn a_token_that_was_used_in_both_places_is_named_and_left() {
    for database in databases().await {
        let (hydra, store) = (TestHydra::start().await, database.open(clock()).await);
        hydra
            .sql(
                "CREATE TABLE later AS SELECT * FROM hydra_oauth2_refresh WHERE subject = 'bob' AND active; \
                 DELETE FROM hydra_oauth2_refresh WHERE subject = 'bob' AND active; \
                 UPDATE hydra_oauth2_refresh SET active = true, session_data = (SELECT session_data FROM later) \
                 WHERE subject = 'bob'",
            )
            .await;
        import(&hydra, &store, false).await;
        let bob = opened(&store, hydra.answer("/bob_used/refresh_token")).await.unwrap();
        let RefreshOutcome::Rotated(_) = refresh(&store, &bob).await else { panic!("it is the current one") };
        hydra
            .sql(
                "UPDATE hydra_oauth2_refresh SET active = false WHERE subject = 'bob'; \
                 INSERT INTO hydra_oauth2_refresh SELECT * FROM later",
            )
            .await;
        let report = import(&hydra, &store, false).await;
        let named = problems(&report).into_iter().filter(|(name, _)| name.starts_with("bob for web")).count();
        assert_eq!(named, 1, "{report:?}");
        assert!(opened(&store, hydra.answer("/bob/refresh_token")).await.is_none());
    }
}

#[tokio::test]
async fn rows_that_cannot_be_taken_over_are_named_and_keep_no_other() {
    for database in databases().await {
        let (hydra, store) = (TestHydra::start().await, database.open(clock()).await);
        hydra
            .sql(
                "UPDATE hydra_client SET client_secret = 'plain' WHERE id = 'service'; \
                 UPDATE hydra_client SET metadata = '{' WHERE id = 'assertion'; \
                 UPDATE hydra_jwk SET keydata = 'AAAA' WHERE kid IN ('app-1', 'issuer-key'); \
                 UPDATE hydra_oauth2_flow SET granted_scope = '[\"a b\"]' WHERE subject = 'alice'; \
                 UPDATE hydra_oauth2_refresh SET session_data = 'AAAA' WHERE subject = 'grace'; \
                 UPDATE hydra_oauth2_refresh SET session_data = '[]' WHERE subject = 'heidi'; \
                 UPDATE hydra_oauth2_refresh SET client_id = 'gone' WHERE subject = 'frank'",
            )
            .await;
        let dry = import(&hydra, &store, true).await;
        let report = import(&hydra, &store, false).await;
        assert_eq!(dry.problems, report.problems);
        let expected = [
            ("clients", [5, 3, 0, 0, 2]),
            ("keys", [6, 4, 0, 0, 2]),
            ("trusted issuers", [1, 0, 0, 0, 1]),
            ("consents", [2, 1, 0, 0, 1]),
            ("refresh tokens", [7, 4, 0, 0, 3]),
        ];
        assert_eq!(counts(&report), expected, "{report:?}");
        let named: Vec<&str> = report.problems.iter().map(|problem| problem.name.as_str()).collect();
        for name in ["service", "assertion", "app-keys app-1", "https://issuer.example.com", "alice for web"]
        {
            assert!(named.contains(&name), "{name}: {named:?}");
        }
        assert!(!format!("{report:?}").contains("plain"), "a secret is not told");
    }
}

#[tokio::test]
async fn with_a_wrong_secret_nothing_is_written() {
    let (hydra, database) = (TestHydra::start().await, TestDatabase::sqlite());
    let store = database.open(clock()).await;
    let secrets = [HydraSecret::new("not the secret of hydra")];
    let import =
        HydraImport { store: Some(&store), secrets: &secrets, registration_tokens: true, dry_run: false };
    let refused = import.run(&mut hydra.open().await, store.clock().now(), &Entropy::system()).await;
    assert!(matches!(refused, Err(Error::WrongHydraSecret)));
    assert_eq!(rows(&database).await, [0; 7]);
}

#[tokio::test]
async fn what_is_no_hydras_database_is_refused() {
    let empty = TestDatabase::postgres().await;
    let Err(Error::Hydra(why)) = store::HydraDatabase::open(&empty.url).await else { panic!("it is empty") };
    assert!(why.contains("no table networks"), "{why}");
}

#[tokio::test]
async fn without_a_database_of_ours_a_dry_run_says_what_there_is() {
    let hydra = TestHydra::start().await;
    let secrets = secrets(&hydra);
    let import = HydraImport { store: None, secrets: &secrets, registration_tokens: false, dry_run: true };
    let report = import.run(&mut hydra.open().await, clock().now(), &Entropy::system()).await.unwrap();
    assert_eq!(counts(&report), WHOLE);
}

#[tokio::test]
async fn a_client_that_is_here_already_stays_as_it_is() {
    for database in databases().await {
        let (hydra, store) = (TestHydra::start().await, database.open(clock()).await);
        let (own, secret) = common::create_client(&store, "web").await;
        let report = import(&hydra, &store, false).await;
        assert!(
            problems(&report).contains(&("web", "a client of this id is here already, and stays as it is"))
        );
        let web = read(&store, "web").await;
        assert!(web.is_of(&resource("web")) && web.metadata == own.metadata);
        assert!(authenticates(&store, "web", &secret).await);
        let frank = opened(&store, hydra.answer("/frank/refresh_token")).await.unwrap();
        assert_eq!(frank.incarnation, own.incarnation, "its users' tokens are its own all the same");
    }
}

#[tokio::test]
async fn the_keys_go_with_the_last_token() {
    for database in databases().await {
        let (hydra, clock) = (TestHydra::start().await, clock());
        let store = database.open(clock.clone()).await;
        let secrets = secrets(&hydra);
        let import = HydraImport {
            store: Some(&store),
            secrets: &secrets,
            registration_tokens: false,
            dry_run: false,
        };
        import.run(&mut hydra.open().await, clock.now(), store.entropy()).await.unwrap();
        let purge = async || {
            let mut walk = PurgeWalk::default();
            while store.purge(&mut walk).await.unwrap() {}
        };
        purge().await;
        assert_eq!(number(&database, "SELECT COUNT(*) FROM imported_secrets").await, 2);
        clock.advance(hours(24 * 365 * 101));
        purge().await;
        purge().await;
        assert_eq!(number(&database, "SELECT COUNT(*) FROM imported_secrets").await, 0);
        assert_eq!(number(&database, "SELECT COUNT(*) FROM imported WHERE content IS NOT NULL").await, 0);
        assert_eq!(number(&database, "SELECT COUNT(*) FROM grants").await, 0);
    }
}

#[tokio::test]
async fn what_was_revoked_here_stays_so_for_what_a_later_run_brings() {
    for database in databases().await {
        let (hydra, clock) = (TestHydra::start().await, clock());
        let store = database.open(clock.clone()).await;
        hydra.sql("CREATE TABLE later AS SELECT * FROM hydra_oauth2_refresh WHERE subject = 'frank'").await;
        hydra.sql("DELETE FROM hydra_oauth2_refresh WHERE subject = 'frank'").await;
        import(&hydra, &store, false).await;
        store.revoke_subject("frank", None).await.unwrap();
        clock.advance(hours(24 * 25));
        let mut walk = PurgeWalk::default();
        while store.purge(&mut walk).await.unwrap() {}
        hydra.sql("INSERT INTO hydra_oauth2_refresh SELECT * FROM later").await;
        import(&hydra, &store, false).await;
        let frank = opened(&store, hydra.answer("/frank/refresh_token")).await.unwrap();
        assert_eq!(refresh(&store, &frank).await, RefreshOutcome::Refused);
    }
}

#[tokio::test]
async fn a_run_with_more_of_hydras_secrets_repairs_one_with_fewer() {
    for database in databases().await {
        let (hydra, store) = (TestHydra::start().await, database.open(clock()).await);
        import(&hydra, &store, false).await;
        // As if the secret that signed it had not been given.
        sql(&database, "DELETE FROM imported_secrets").await;
        let token = hydra.answer("/frank/refresh_token");
        assert!(opened(&store, token).await.is_none());
        import(&hydra, &store, true).await;
        assert!(opened(&store, token).await.is_none(), "a dry run writes nothing");
        import(&hydra, &store, false).await;
        assert!(opened(&store, token).await.is_some());
        import(&hydra, &store, false).await;
        assert_eq!(number(&database, "SELECT COUNT(*) FROM imported_secrets").await, 2);
    }
}

#[tokio::test]
async fn a_token_that_was_followed_many_times_at_hydra_is_an_old_one() {
    for database in databases().await {
        let (hydra, store) = (TestHydra::start().await, database.open(clock()).await);
        import(&hydra, &store, false).await;
        let token = hydra.answer("/frank/refresh_token");
        assert_eq!(opened(&store, token).await.unwrap().generation, 0);
        // Twelve later ones, of which the last may be used. Nobody has them, so they need no real signatures.
        hydra
            .sql(
                "INSERT INTO hydra_oauth2_refresh SELECT (jsonb_populate_record(r, jsonb_build_object( \
                 'signature', translate(rtrim(encode(sha256(CAST(CAST(n AS TEXT) AS BYTEA)), 'base64'), '='), '+/', '-_'), \
                 'active', n = 12, 'requested_at', r.requested_at + n * INTERVAL '1 second'))).* \
                 FROM hydra_oauth2_refresh r, generate_series(1, 12) n WHERE r.subject = 'frank'; \
                 UPDATE hydra_oauth2_refresh SET active = false WHERE subject = 'frank' AND requested_at = \
                 (SELECT MIN(requested_at) FROM hydra_oauth2_refresh WHERE subject = 'frank')",
            )
            .await;
        import(&hydra, &store, false).await;
        let old = opened(&store, token).await.unwrap();
        assert_eq!(old.generation, -1);
        assert_eq!(refresh(&store, &old).await, RefreshOutcome::Reused);
    }
}

#[tokio::test]
async fn a_client_follows_hydras_until_it_is_changed_here() {
    for database in databases().await {
        let (hydra, store) = (TestHydra::start().await, database.open(clock()).await);
        import(&hydra, &store, false).await;
        let (old, new) =
            (ClientSecret::new("web-secret-of-hydra"), ClientSecret::new("first-secret-of-service"));
        let before = read(&store, "web").await;
        let rename = async |name: &str| {
            let secret = "(SELECT rotated_secrets->>0 FROM hydra_client WHERE id = 'service')";
            let sql = format!(
                "UPDATE hydra_client SET client_name = '{name}', client_secret = {secret} WHERE id = 'web'"
            );
            hydra.sql(&sql).await;
        };
        let of_clients = |report: &ImportReport| counts(report)[0].1;

        rename("Renamed").await;
        let dry = import(&hydra, &store, true).await;
        assert_eq!(read(&store, "web").await.version, before.version, "a dry run writes nothing");
        let report = import(&hydra, &store, false).await;
        assert_eq!((of_clients(&report), &report.problems), ([5, 1, 4, 0, 0], &dry.problems));
        let web = read(&store, "web").await;
        assert_eq!((web.metadata.client_name.as_str(), web.incarnation), ("Renamed", before.incarnation));
        assert!(authenticates(&store, "web", &new).await && !authenticates(&store, "web", &old).await);

        // Back again is another change there; and nothing new is none.
        rename("Web").await;
        assert_eq!(of_clients(&import(&hydra, &store, false).await), [5, 1, 4, 0, 0]);
        assert_eq!(read(&store, "web").await.metadata.client_name, "Web");
        let unchanged = import(&hydra, &store, false).await;
        assert_eq!(
            (of_clients(&unchanged), problems(&unchanged).len()),
            ([5, 0, 5, 0, 0], 1),
            "{unchanged:?}"
        );

        let row = read(&store, "web").await;
        let own = common::named("Ours");
        store.replace_client(&row.fence(), &own, &SecretChange::Keep, (1, false)).await.unwrap();
        let unchanged = import(&hydra, &store, false).await;
        assert_eq!(problems(&unchanged).len(), 1, "changed here alone is nothing to tell: {unchanged:?}");
        rename("Theirs").await;
        let report = import(&hydra, &store, false).await;
        assert_eq!(of_clients(&report), [5, 0, 5, 0, 0]);
        let why = "it was changed at Hydra since it was taken over, and here as well: it stays as it is here";
        assert!(problems(&report).contains(&("web", why)), "{report:?}");
        assert_eq!(read(&store, "web").await.metadata, own);
    }
}

/// What a version before the notes on clients left of them.
async fn forget_notes(database: &TestDatabase) {
    sql(database, "UPDATE imported SET version = NULL, digest = NULL").await;
}

#[tokio::test]
async fn of_a_client_without_notes_what_was_changed_here_stays_and_the_others_follow() {
    for database in databases().await {
        let (hydra, store) = (TestHydra::start().await, database.open(clock()).await);
        import(&hydra, &store, false).await;
        forget_notes(&database).await;
        let row = read(&store, "service").await;
        let own = common::named("Ours");
        store.replace_client(&row.fence(), &own, &SecretChange::Keep, (1, false)).await.unwrap();
        hydra.sql("UPDATE hydra_client SET client_name = 'Theirs' WHERE id IN ('web', 'service')").await;

        let dry = import(&hydra, &store, true).await;
        let report = import(&hydra, &store, false).await;
        assert_eq!((counts(&report)[0].1, &report.problems), ([5, 4, 1, 0, 0], &dry.problems));
        assert!(!problems(&report).iter().any(|(name, _)| *name == "service"), "{report:?}");
        assert_eq!(read(&store, "web").await.metadata.client_name, "Theirs");
        assert_eq!(read(&store, "service").await.metadata, own);

        // From now on it is known what is changed there.
        assert_eq!(counts(&import(&hydra, &store, false).await)[0].1, [5, 0, 5, 0, 0]);
        hydra.sql("UPDATE hydra_client SET client_name = 'Later' WHERE id = 'service'").await;
        let report = import(&hydra, &store, false).await;
        assert!(problems(&report).iter().any(|(name, _)| *name == "service"), "{report:?}");
        assert_eq!(read(&store, "service").await.metadata, own);
    }
}

#[tokio::test]
async fn registration_tokens_that_are_asked_for_later_are_taken_over_where_nothing_was_done_since() {
    for database in databases().await {
        let (hydra, store) = (TestHydra::start().await, database.open(clock()).await);
        let secrets = secrets(&hydra);
        let without = HydraImport {
            store: Some(&store),
            secrets: &secrets,
            registration_tokens: false,
            dry_run: false,
        };
        let run = async || {
            without.run(&mut hydra.open().await, store.clock().now(), store.entropy()).await.unwrap()
        };
        run().await;
        let id = hydra.answer("/registered/client_id");
        let token = hydra.answer("/registered/registration_access_token");
        let token = HydraToken::parse(HydraTokenKind::Registration, token).unwrap();
        assert!(store.imported_token(&token).await.unwrap().is_none());

        let dry = import(&hydra, &store, true).await;
        assert!(store.imported_token(&token).await.unwrap().is_none(), "a dry run writes nothing");
        let report = import(&hydra, &store, false).await;
        // Hydra gives one to each client.
        assert_eq!((counts(&report)[0].1, &report.counts), ([5, 5, 0, 0, 0], &dry.counts));
        let row = store.imported_token(&token).await.unwrap().unwrap().registration_token().unwrap();
        let client = read(&store, id).await;
        assert_eq!((row.client_id.as_str(), row.generation), (id, client.registration_generation));
        assert_eq!(counts(&import(&hydra, &store, false).await)[0].1, [5, 0, 5, 0, 0]);
        assert_eq!(counts(&run().await)[0].1, [5, 0, 5, 0, 0]);

        // Where the client was changed here, another token may have been given here.
        sql(&database, "DELETE FROM imported WHERE content IS NOT NULL").await;
        store
            .replace_client(&client.fence(), &client.metadata, &SecretChange::Keep, (7, false))
            .await
            .unwrap();
        assert_eq!(counts(&import(&hydra, &store, false).await)[0].1, [5, 4, 1, 0, 0]);
        assert!(store.imported_token(&token).await.unwrap().is_none());
    }
}

/// Gives the login of frank's token another one that may be used, as Hydra does in its grace period. Nobody has it, so it
/// needs no real signature.
const SECOND_OF_FRANK: &str = "INSERT INTO hydra_oauth2_refresh SELECT (jsonb_populate_record(r, jsonb_build_object( \
    'signature', 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', \
    'requested_at', r.requested_at + INTERVAL '1 second'))).* \
    FROM hydra_oauth2_refresh r WHERE r.subject = 'frank'";

const LIVE_OF_FRANK: &str = "SELECT COUNT(*) FROM grants WHERE subject = 'frank' AND revoked_at IS NULL";

#[tokio::test]
async fn of_two_tokens_the_second_is_refused_where_the_first_was_ended_here_before_it_came() {
    for how in ["the grant", "the client's tokens", "nothing"] {
        for database in databases().await {
            let (hydra, store) = (TestHydra::start().await, database.open(clock()).await);
            import(&hydra, &store, false).await;
            let first = opened(&store, hydra.answer("/frank/refresh_token")).await.unwrap();
            match how {
                "the grant" => {
                    let until = store.clock().now() + hours(1);
                    store.revoke_grant(first.grant, &client_id("web"), until).await.unwrap();
                }
                "the client's tokens" => {
                    assert!(store.revoke_client_tokens(&client_id("web")).await.unwrap());
                }
                _ => {}
            }
            let before = number(&database, LIVE_OF_FRANK).await;
            hydra.sql(SECOND_OF_FRANK).await;
            let dry = import(&hydra, &store, true).await;
            let report = import(&hydra, &store, false).await;
            assert_eq!((&dry.counts, &dry.problems), (&report.counts, &report.problems), "{how}");
            let why = "what was taken over of the same login was ended here since";
            let named = problems(&report)
                .iter()
                .filter(|(name, problem)| name.starts_with("frank for web") && *problem == why)
                .count();
            assert_eq!(named, usize::from(how != "nothing"), "{how}: {report:?}");
            let new = number(&database, LIVE_OF_FRANK).await - before;
            assert_eq!(new, i64::from(how == "nothing"), "{how}");
        }
    }
}

#[tokio::test]
async fn a_revoked_grant_is_known_for_a_month_where_something_was_taken_over() {
    for database in databases().await {
        let (hydra, clock) = (TestHydra::start().await, clock());
        let store = database.open(clock.clone()).await;
        let (client, grant) = (client_id("web"), GrantId::from_bytes([7; 16]));
        let tombstones = async || {
            let mut walk = PurgeWalk::default();
            while store.purge(&mut walk).await.unwrap() {}
            number(&database, "SELECT COUNT(*) FROM grants WHERE client_id = 'web' AND subject IS NULL").await
        };
        store.revoke_grant(grant, &client, clock.now() + hours(1)).await.unwrap();
        assert_eq!(tombstones().await, 1);
        clock.advance(hours(2));
        assert_eq!(tombstones().await, 0, "nothing was taken over");

        import(&hydra, &store, false).await;
        // So is which grant a token stood for.
        let ends = opened(&store, hydra.answer("/frank/refresh_token")).await.unwrap().expires_at().unwrap();
        let kept = (ends + hours(24 * 30)).as_second();
        let rows = format!("SELECT COUNT(*) FROM imported WHERE expires_at = {kept}");
        assert!(number(&database, rows).await >= 1);
        store.revoke_grant(grant, &client, clock.now() + hours(1)).await.unwrap();
        clock.advance(hours(24 * 30));
        assert_eq!(tombstones().await, 1);
        clock.advance(hours(1));
        assert_eq!(tombstones().await, 0);
    }
}

#[tokio::test]
async fn a_registration_token_that_was_replaced_at_hydra_is_replaced_here() {
    for database in databases().await {
        let (hydra, store) = (TestHydra::start().await, database.open(clock()).await);
        import(&hydra, &store, false).await;
        let id = hydra.answer("/registered/client_id");
        let former = hydra.answer("/registered/registration_access_token");
        let token = |text: &str| HydraToken::parse(HydraTokenKind::Registration, text).unwrap();
        let row = store.imported_token(&token(former)).await.unwrap().unwrap();
        let before = read(&store, id).await.registration_generation;
        assert_eq!(row.registration_token().unwrap().generation, before);
        // Another token of the fixture's stands for the one that it got.
        let (_, signature) = hydra.answer("/frank/refresh_token").split_once('.').unwrap();
        hydra
            .sql(&format!(
                "UPDATE hydra_client SET registration_access_token_signature = '{signature}' WHERE id = '{id}'"
            ))
            .await;
        import(&hydra, &store, false).await;
        let now = read(&store, id).await.registration_generation;
        let next = hydra.answer("/frank/refresh_token").replace("ory_rt_", "ory_at_");
        let next = store.imported_token(&token(&next)).await.unwrap().unwrap().registration_token().unwrap();
        assert_eq!((next.generation, next.client_id.as_str()), (now, id));
        let former = store.imported_token(&token(former)).await.unwrap().unwrap();
        assert_ne!(former.registration_token().unwrap().generation, now, "the former one has ended");
    }
}
