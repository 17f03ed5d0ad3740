//! Where the system secret comes from when none is configured.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Barrier;
use std::thread;

use jose::Entropy;

use super::Given;
use crate::config::{Config, SystemSecretError};

/// A start with a loopback issuer, a SQLite database in the test's folder and no system secret.
fn loopback() -> Given {
    let given = Given::nothing().variable("URLS_SELF_ISSUER", "http://localhost:4444");
    let dsn = format!("sqlite://{}?_fk=true", given.directory.path().join("state/db.sqlite").display());
    given.variable("DSN", &dsn)
}

fn ensure(config: &mut Config, seed: u64) -> Vec<String> {
    let notices = config.ensure_system_secret(&Entropy::seeded(seed)).unwrap();
    assert_eq!(config.secrets.system.len(), 1);
    notices.iter().map(ToString::to_string).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_loopback_process_makes_a_secret_beside_its_sqlite_file() {
    let given = loopback();
    let path = given.directory.path().join("state/system-secret");
    let notices = ensure(&mut given.config(), 1);
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].contains("a new one was made in") && notices[0].contains(path.to_str().unwrap()));
    assert_eq!(mode(&path), 0o600);
    let made = fs::read_to_string(&path).unwrap();
    assert_eq!(made.trim_end().len(), 43);

    let notices = ensure(&mut given.config(), 2);
    assert!(notices.len() == 1 && notices[0].contains("the one is used that was made in"), "{notices:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), made);
    assert!(!notices.concat().contains(made.trim_end()));
}

#[test]
fn the_file_that_is_named_is_made_and_then_read() {
    let given = loopback();
    let path = given.directory.path().join("named");
    let given = given.variable("SECRETS_SYSTEM_FILE", path.to_str().unwrap());
    ensure(&mut given.config(), 1);
    assert_eq!(mode(&path), 0o600);
    assert_eq!(given.config().secrets.system.len(), 1);
    assert!(!given.directory.path().join("state").exists());
}

#[test]
fn without_a_sqlite_file_the_state_directory_is_used() {
    let config = loopback().variable("DSN", "postgres://db/x").config();
    assert_eq!(config.secrets.own_file.unwrap().to_str(), Some("/var/lib/keywright/system-secret"));
}

#[test]
fn elsewhere_a_missing_secret_stops_the_start() {
    let given = || loopback().without("URLS_SELF_ISSUER");
    let cases = [
        (given().variable("URLS_SELF_ISSUER", "https://id.example.com"), false),
        (given().variable("URLS_SELF_ISSUER", "http://id.example.com").variable("DEV", "1"), false),
        (given(), false),
        (given().variable("DEV", "1"), true),
        (given().variable("URLS_SELF_ISSUER", "https://localhost"), true),
    ];
    for (given, allowed) in cases {
        match given.config().ensure_system_secret(&Entropy::seeded(1)) {
            Ok(_) => assert!(allowed, "{:?}", given.variables),
            Err(error) => {
                assert!(!allowed && matches!(error, SystemSecretError::Missing), "{error}");
                assert!(error.to_string().contains("SECRETS_SYSTEM_FILE"), "{error}");
                assert!(!given.directory.path().join("state").exists());
            }
        }
    }
}

#[test]
fn a_named_file_must_exist_where_no_secret_may_be_made() {
    let file = ("SECRETS_SYSTEM_FILE", "/nonexistent/secret");
    let problems = Given::variables(&[file]).without("SECRETS_SYSTEM").problems();
    let start = "SECRETS_SYSTEM_FILE: secrets.system: /nonexistent/secret does not exist; must be a file";
    assert!(problems.len() == 1 && problems[0].starts_with(start), "{problems:?}");

    let both = loopback()
        .variable(file.0, file.1)
        .file("c.yaml", "secrets: {system: [0123456789abcdef]}")
        .problems();
    assert!(both.len() == 1 && both[0].contains("set elsewhere too"), "{both:?}");
}

#[test]
fn a_configured_secret_is_never_replaced() {
    let given = loopback().variable("SECRETS_SYSTEM", "0123456789abcdef,fedcba9876543210");
    let mut config = given.config();
    assert!(config.ensure_system_secret(&Entropy::seeded(1)).unwrap().is_empty());
    assert_eq!(config.secrets.system.len(), 2);
    assert!(!given.directory.path().join("state").exists());
}

#[test]
fn processes_that_start_at_once_share_one_secret() {
    const PROCESSES: u64 = 8;
    for _ in 0..20 {
        let given = loopback();
        let barrier = Barrier::new(usize::try_from(PROCESSES).unwrap());
        let made: usize = thread::scope(|scope| {
            let start = |seed| {
                let (given, barrier) = (&given, &barrier);
                scope.spawn(move || {
                    let mut config = given.config();
                    barrier.wait();
                    let notices = ensure(&mut config, seed);
                    let opened =
                        fs::read_to_string(given.directory.path().join("state/system-secret")).unwrap();
                    (opened, notices.concat().contains("a new one was made"))
                })
            };
            let processes: Vec<_> = (0..PROCESSES).map(start).collect();
            let outcomes: Vec<_> = processes.into_iter().map(|process| process.join().unwrap()).collect();
            assert!(outcomes.iter().all(|(opened, _)| *opened == outcomes[0].0));
            outcomes.iter().filter(|(_, made)| *made).count()
        });
        assert_eq!(made, 1);
        let left: Vec<_> = fs::read_dir(given.directory.path().join("state")).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}

#[test]
fn a_file_that_others_can_read_is_warned_about() {
    let given = loopback();
    let path = given.write("secret", "0123456789abcdef\n");
    let given = given.variable("SECRETS_SYSTEM_FILE", path.to_str().unwrap());
    for (mode, warned) in [(0o644, true), (0o640, true), (0o600, false), (0o400, false)] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let warnings = given.warnings();
        let text = format!("secret has mode {mode:04o}; only its owner should have access (0600)");
        assert_eq!(warnings.iter().any(|warning| warning.contains(&text)), warned, "{warnings:?}");
    }
}

#[test]
fn a_short_secret_in_the_file_is_refused() {
    let given = loopback();
    fs::create_dir(given.directory.path().join("state")).unwrap();
    given.write("state/system-secret", "canary\n");
    let error = given.config().ensure_system_secret(&Entropy::seeded(1)).unwrap_err();
    assert!(
        matches!(error, SystemSecretError::Weak { .. }) && !error.to_string().contains("canary"),
        "{error}"
    );
}
