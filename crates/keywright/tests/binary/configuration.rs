//! What is wrong with a configuration is told on standard error, with exit code 1.

use std::fs;

use tempfile::TempDir;

use crate::support::{Process, free_port, run};

const CANARY: &str = "canary-canary-canary";

/// A command that must fail, and what it must say.
struct Case {
    arguments: Vec<&'static str>,
    variables: Vec<(&'static str, String)>,
    messages: Vec<&'static str>,
}

fn case(arguments: &str, variables: &[(&'static str, &str)], messages: &[&'static str]) -> Case {
    Case {
        arguments: arguments.to_owned().leak().split_whitespace().collect(),
        variables: variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        messages: messages.to_vec(),
    }
}

#[tokio::test]
async fn an_error_names_the_key_and_what_would_be_right() {
    let postgres = format!("postgres://keywright:{CANARY}@127.0.0.1:1/keywright");
    let mysql = format!("mysql://keywright:{CANARY}@tcp(127.0.0.1)/keywright");
    let (https, secret) = (("URLS_SELF_ISSUER", "https://id.example.com"), ("SECRETS_SYSTEM", CANARY));
    let dsn = ("DSN", &*postgres);
    let short = "canary-canary";
    let cases = [
        case(
            "serve",
            &[https, secret],
            &["dsn: missing; set dsn in a file, or DSN or DSN_FILE, to postgres://"],
        ),
        case("serve", &[https, secret, ("DSN", &mysql)], &["DSN: dsn: ", "MySQL is not supported"]),
        case(
            "serve",
            &[dsn, https],
            &["secrets.system is missing: set SECRETS_SYSTEM or SECRETS_SYSTEM_FILE"],
        ),
        case("serve --dev", &[dsn, https], &["secrets.system is missing"]),
        case("operator", &[dsn, https], &["secrets.system is missing"]),
        case(
            "serve",
            &[dsn, https, ("SECRETS_SYSTEM", short)],
            &["SECRETS_SYSTEM: secrets.system", "at least 16 characters"],
        ),
        case("serve", &[dsn, https, secret, ("SECRETS_SYSTEM_FILE", "/nowhere")], &["SECRETS_SYSTEM_FILE"]),
        case(
            "serve",
            &[dsn, secret, ("URLS_SELF_ISSUER", "http://id.example.com")],
            &["urls.self.issuer: found", "must be an https URL"],
        ),
        case(
            "serve",
            &[dsn, https, secret, ("TTL_ACCESS_TOKEN", "soon"), ("SERVE_PUBLIC_PORT", "0")],
            &[
                "TTL_ACCESS_TOKEN: ttl.access_token: found \"soon\", must be a duration such as 90s or 1h30m",
                "SERVE_PUBLIC_PORT: serve.public.port: found 0, must be a whole number from 1 to 65535",
            ],
        ),
        case("serve -c /nowhere.yaml", &[], &["/nowhere.yaml: "]),
        case("serve -c /etc/hostname", &[], &["/etc/hostname: the file's name must end in"]),
        case("migrate sql", &[], &["dsn: missing"]),
        case("migrate sql oracle://db", &[], &["dsn: found a string (not shown), must be postgres://"]),
        case("migrate sql down memory", &[], &["migrations only go up"]),
        case("migrate sql memory up", &[], &["give one DSN, after up or status"]),
    ];
    for Case { arguments, variables, messages } in cases {
        let ended = run(&arguments, &variables).await;
        assert_eq!(ended.code, Some(1), "{arguments:?} {ended:?}");
        assert_eq!(ended.stdout, "", "{arguments:?}");
        for message in messages {
            assert!(ended.stderr.contains(message), "{arguments:?}: {message}\n{}", ended.stderr);
        }
        assert!(
            ended.stderr.starts_with("keywright: ") || ended.stderr.contains("\nkeywright: "),
            "{}",
            ended.stderr
        );
        assert!(!ended.stderr.contains("canary"), "{arguments:?}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn all_problems_of_all_sources_are_told_at_once() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("keywright.yaml");
    fs::write(&file, "serve: {public: {prot: 1}}\nsecrets: {system: [canary]}\ndsn: canary://x\n").unwrap();
    let file = file.display().to_string();
    let ended = run(&["serve", "-c", &file], &[("TTL_ID_TOKEN", "5 minutes".to_owned())]).await;
    assert_eq!(ended.code, Some(1));
    for message in [
        format!("{file}: serve.public.prot: unknown key; did you mean serve.public.port?"),
        format!("{file}: secrets.system"),
        format!("{file}: dsn: found"),
        "TTL_ID_TOKEN: ttl.id_token: found \"5 minutes\"".to_owned(),
    ] {
        assert!(ended.stderr.contains(&message), "{message}\n{}", ended.stderr);
    }
    assert!(ended.stderr.contains("the configuration is not valid:\n  "), "{}", ended.stderr);
    assert!(!ended.stderr.contains("[canary]"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_command_line_that_is_none_ends_with_code_2() {
    for arguments in [&["serv"][..], &["serve", "--port", "1"], &["dev"], &[]] {
        let ended = run(arguments, &[]).await;
        assert_eq!(ended.code, Some(2), "{arguments:?}");
        assert!(ended.stderr.contains("Usage: keywright"), "{}", ended.stderr);
    }
}

/// A loopback issuer serves this machine alone, so that the process may make the secret.
#[tokio::test]
async fn a_loopback_issuer_needs_no_secret() {
    let folder = TempDir::new().unwrap();
    let database = folder.path().join("keywright.db");
    let (public, admin) = (free_port(), free_port());
    let variables = [
        ("DSN", format!("sqlite://{}", database.display())),
        ("URLS_SELF_ISSUER", format!("http://127.0.0.1:{public}")),
        ("SERVE_PUBLIC_PORT", public.to_string()),
        ("SERVE_ADMIN_PORT", admin.to_string()),
        ("KEYS_AUTOCREATE", "false".to_owned()),
    ];
    let process = Process::start(&["serve"], &variables);
    let alive = || async { reqwest::get(format!("http://127.0.0.1:{public}/health/alive")).await.is_ok() };
    crate::support::eventually("it serves", alive).await;
    crate::support::eventually("the secret is there", || async {
        folder.path().join("system-secret").exists() && database.exists()
    })
    .await;
    process.signal("TERM");
    assert_eq!(process.ended(std::time::Duration::from_secs(5)).await.code, Some(0));
}
