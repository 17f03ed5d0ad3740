//! Files, and which source wins.

use serde_json::json;

use super::Given;

#[test]
fn yaml_json_and_toml_say_the_same() {
    for (name, text) in [
        ("c.yaml", "serve:\n  public:\n    port: 8080\n"),
        ("c.yml", "serve: {admin: &same {port: 8080}, public: {<<: *same}}\n"),
        ("c.json", r#"{"serve": {"public": {"port": 8080}}}"#),
        ("c.toml", "[serve.public]\nport = 8080\n"),
    ] {
        assert_eq!(Given::variables(&[]).file(name, text).config().serve.public.port, 8080, "{name}");
    }
}

#[test]
fn later_sources_win() {
    let file = |name, port| Given::variables(&[]).file(name, port);
    let port = |given: &Given| given.config().serve.public.port;
    let one = file("1.yaml", "serve: {public: {port: 1}}");
    assert_eq!(port(&one), 1);
    let two = one.file("2.toml", "serve.public.port = 2");
    assert_eq!(port(&two), 2);
    let flags = two.flags(json!({"serve": {"public": {"port": 3}}}));
    assert_eq!(port(&flags), 3);
    assert_eq!(port(&flags.variable("SERVE_PUBLIC_PORT", "4")), 4);
}

#[test]
fn objects_merge_and_lists_replace() {
    let given = Given::variables(&[])
        .file("1.yaml", "serve: {public: {port: 1, host: a}}\nwebfinger: {jwks: {broadcast_keys: [a, b]}}")
        .file("2.yaml", "serve: {public: {port: 2}}\nwebfinger: {jwks: {broadcast_keys: [c]}}");
    let config = given.config();
    assert_eq!(config.serve.public.to_string(), "a:2");
    assert_eq!(config.webfinger.broadcast_keys, ["c"]);
}

#[test]
fn a_file_in_which_all_is_commented_out_sets_nothing() {
    for name in ["c.yaml", "c.toml"] {
        assert_eq!(Given::variables(&[]).file(name, "# dsn: x\n").config().serve.public.port, 4444, "{name}");
    }
}

#[test]
fn a_file_that_cannot_be_used_says_why_and_where() {
    for (name, text, start) in [
        ("c.ini", "", "c.ini: the file's name must end in .yaml, .yml, .json or .toml"),
        ("c.yaml", "- a", "c.yaml: the file must hold an object"),
        ("c.yaml", "dev: true\ndev: false", "c.yaml: cannot be parsed: duplicate entry with key \"dev\""),
        ("c.yaml", "dev: [", "c.yaml: cannot be parsed: "),
        ("c.json", "{", "c.json: cannot be parsed: "),
        ("c.toml", "dev = true\n[a\n", "c.toml: cannot be parsed: "),
    ] {
        let problems = Given::variables(&[]).file(name, text).problems();
        assert!(problems.len() == 1 && problems[0].starts_with(start), "{problems:?}");
    }
    let toml = Given::variables(&[]).file("c.toml", "dev = true\n[a\n").problems();
    assert!(toml[0].ends_with(" at line 2"), "{toml:?}");
    let mut given = Given::variables(&[]);
    given.files.push("/nonexistent/c.yaml".into());
    assert!(given.problems()[0].starts_with("/nonexistent/c.yaml: cannot be read: "));
}

#[test]
fn a_problem_names_the_source_that_won() {
    let given = Given::variables(&[])
        .file("1.yaml", "serve: {public: {port: 0}, admin: {port: x}}")
        .file("2.yaml", "serve: {public: {port: 70000}}")
        .flags(json!({"dev": "yes"}));
    let problems = given.problems();
    let expected = [
        "1.yaml: serve.admin.port: found \"x\", must be a whole number from 1 to 65535",
        "2.yaml: serve.public.port: found 70000, must be a whole number from 1 to 65535",
        "command line: dev: found \"yes\", must be true or false",
    ];
    assert_eq!(problems.len(), 3, "{problems:?}");
    for problem in expected {
        assert!(problems.iter().any(|found| found == problem), "{problem} in {problems:?}");
    }
}
