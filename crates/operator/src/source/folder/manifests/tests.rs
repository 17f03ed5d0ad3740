//! What a folder declares, and what is said where it declares nothing sensible.

use std::fs;

use serde_json::json;
use tempfile::TempDir;

use super::super::registry::Registry;
use super::*;

/// A folder of manifests and what became of them so far.
struct Given {
    root: TempDir,
    data: DataFolder,
    manifests: Manifests,
    registry: Registry,
}

impl Given {
    fn nothing() -> Self {
        let root = TempDir::new().unwrap();
        let folder = root.path().join("manifests");
        fs::create_dir(&folder).unwrap();
        let data = DataFolder::open(root.path().join("data")).unwrap();
        let registry = Registry::open(&data, store::Clock::system());
        Self { manifests: Manifests::new(&folder, &data), root, data, registry }
    }

    /// With clients of these names in a file each.
    fn clients(names: &[&str]) -> Self {
        let mut given = Self::nothing();
        for name in names {
            given.write(&format!("{name}.yaml"), &client(name, ""));
        }
        assert_eq!(given.read(), names, "{:?}", given.manifests.problems());
        given
    }

    fn path(&self, file: &str) -> PathBuf {
        self.root.path().join("manifests").join(file)
    }

    fn write(&self, file: &str, text: &str) {
        fs::create_dir_all(self.path(file).parent().unwrap()).unwrap();
        fs::write(self.path(file), text).unwrap();
    }

    fn remove(&self, file: &str) {
        fs::remove_file(self.path(file)).unwrap();
    }

    /// Reads the folder and applies it. Gives the names of the resources that are there then, and not on their way out.
    fn read(&mut self) -> Vec<String> {
        let snapshot = self.manifests.read(&self.registry.known());
        self.registry.apply(&snapshot.resources, &self.data);
        let stay = |resource: &Resource| meta(resource).deletion_timestamp.is_none();
        let resources = self.registry.resources();
        resources.iter().filter(|resource| stay(resource)).map(|resource| Key::of(resource).name).collect()
    }

    /// The problems, without the folder.
    fn problems(&self) -> Vec<String> {
        let folder = format!("{}/", self.path("").display().to_string().trim_end_matches('/'));
        self.manifests.problems().iter().map(|problem| problem.replace(&folder, "")).collect()
    }

    fn secrets(&mut self) -> Vec<String> {
        let snapshot = self.manifests.read(&self.registry.known());
        snapshot.secrets.into_keys().map(|(_, name)| name).collect()
    }
}

fn client(name: &str, more: &str) -> String {
    format!(
        "apiVersion: keywright.dev/v1alpha1\nkind: OAuth2Client\nmetadata:\n  name: {name}\nspec:\n  \
         grantTypes: [client_credentials]\n{more}"
    )
}

fn secret_manifest(name: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{CLIENT_SECRET: {value}}}\n"
    )
}

/// The table was checked on an API server; it belongs to the crate of the resources.
#[test]
fn what_an_api_server_refuses_is_a_problem_in_the_same_words_with_its_file() {
    let cases: Vec<(String, String, Value, String)> =
        serde_yaml::from_str(include_str!("../../../../../crd/tests/cases.yaml")).unwrap();
    let mut given = Given::nothing();
    let mut wanted = Vec::new();
    for (index, (_, kind, spec, fragment)) in cases.iter().enumerate() {
        let file = format!("{index:02}.json");
        let object = json!({"apiVersion": names::API_VERSION, "kind": kind,
            "metadata": {"name": format!("case-{index:02}")}, "spec": spec});
        given.write(&file, &object.to_string());
        if fragment.is_empty() {
            wanted.push(format!("case-{index:02}"));
        }
    }
    let mut read = given.read();
    read.sort();
    assert_eq!(read, wanted, "one that is refused keeps no other from being applied");
    let problems = given.problems();
    assert_eq!(problems.len(), cases.len() - wanted.len(), "{problems:#?}");
    for (index, (name, kind, _, fragment)) in cases.iter().enumerate().filter(|(_, case)| !case.3.is_empty())
    {
        let start = format!("{index:02}.json: the {kind} \"case-{index:02}\" is invalid: ");
        let found = problems.iter().any(|problem| problem.starts_with(&start) && problem.contains(fragment));
        assert!(found, "{name}: {start}…{fragment} in {problems:#?}");
    }
}

#[test]
fn no_typing_error_deletes_anything() {
    let cases: &[(&str, String, &str)] = &[
        ("broken YAML", client("b", "  scopes: [a"), "did not find expected"),
        (
            "a key twice",
            client("b", "  clientName: x\n  clientName: y\n"),
            "duplicate entry with key \"clientName\"",
        ),
        ("an unknown field", client("b", "  scope: a\n"), "unknown field \"spec.scope\"; it stays as it was"),
        ("a broken rule", client("b", "  scopes: [\"a b\"]\n"), "spec.scopes[0]"),
        ("no name", client("b", "").replace("name: b", "nam: b"), "metadata"),
        ("a bad name", client("B_", ""), "metadata.name: Invalid value: \"B_\""),
        (
            "another kind",
            client("b", "").replace("OAuth2Client", "OAuth2Clinet"),
            "no matches for kind \"OAuth2Clinet\"",
        ),
        (
            "another version",
            client("b", "").replace("v1alpha1", "v1alpha2"),
            "in version \"keywright.dev/v1alpha2\"",
        ),
        (
            "another group",
            client("b", "").replace("keywright.dev/v", "keyright.dev/v"),
            "in version \"keyright.dev/v1alpha1\"",
        ),
        ("no kind", client("b", "").replace("kind:", "knd:"), "no matches for kind \"\""),
        ("no text", String::new(), "the file is empty"),
        ("no object", "hello".to_owned(), "no matches for kind \"\""),
        (
            "one of two",
            format!("{}---\n{}", client("c", ""), client("b", "  zzz: 1\n")),
            "unknown field \"spec.zzz\"",
        ),
        ("not UTF-8", "\u{0}".to_owned(), "control characters are not allowed"),
    ];
    for (what, text, message) in cases {
        let mut given = Given::clients(&["a", "b"]);
        given.write("b.yaml", text);
        given.write("z.yaml", &client("z", ""));
        let read = given.read();
        for name in ["a", "b", "z"] {
            assert!(read.iter().any(|read| read == name), "{what}: {name} in {read:?}");
        }
        let problems = given.problems();
        let named = |problem: &String| problem.starts_with("b.yaml: ") && problem.contains(message);
        assert!(problems.iter().any(named), "{what}: {message} in {problems:#?}");

        // Once it is corrected, what it says counts again.
        given.write("b.yaml", &client("b2", ""));
        assert_eq!(given.read(), ["a", "b2", "z"], "{what}");
        assert_eq!(given.problems(), Vec::<String>::new(), "{what}");
    }
}

#[test]
fn what_is_there_no_more_is_deleted_whatever_other_files_say() {
    let mut given = Given::clients(&["a", "b", "c"]);
    given.write("b.yaml", "{");
    given.write("new.yaml", &client("new", "  zzz: 1\n"));
    given.remove("c.yaml");
    assert_eq!(given.read(), ["a", "b"]);
    given.write("a.yaml", "# nothing any more\n");
    assert_eq!(given.read(), ["b"]);
}

#[test]
fn a_broken_file_that_was_renamed_deletes_nothing() {
    let mut given = Given::clients(&["a", "b"]);
    given.write("b.yaml", "{");
    fs::rename(given.path("b.yaml"), given.path("moved.yaml")).unwrap();
    assert_eq!(given.read(), ["a", "b"]);
    let problems = given.problems();
    assert!(problems[0].starts_with("moved.yaml: "), "{problems:?}");
    assert!(problems[0].contains("declared OAuth2Client default/b, which therefore stays"), "{problems:?}");
    given.write("moved.yaml", &client("moved", ""));
    assert_eq!(given.read(), ["a", "moved"]);
}

#[test]
fn the_folder_being_away_deletes_nothing() {
    let mut given = Given::clients(&["a", "b"]);
    fs::rename(given.path(""), given.root.path().join("away")).unwrap();
    assert_eq!(given.read(), ["a", "b"]);
    assert!(given.problems()[0].contains("its resources stay"), "{:?}", given.problems());
    fs::rename(given.root.path().join("away"), given.path("")).unwrap();
    given.remove("a.yaml");
    assert_eq!(given.read(), ["b"]);
    assert_eq!(given.problems(), Vec::<String>::new());
}

#[test]
fn the_first_of_two_files_declares_a_resource() {
    let mut given = Given::clients(&["a"]);
    given.write("b.yaml", &client("a", "  clientName: other\n"));
    assert_eq!(given.read(), ["a"]);
    let wanted = "b.yaml: OAuth2Client default/a is declared in a.yaml already; this one is left out";
    assert_eq!(given.problems(), [wanted]);
    given.remove("a.yaml");
    assert_eq!(given.read(), ["a"]);
    assert_eq!(given.problems(), Vec::<String>::new());
}

#[test]
fn a_resource_is_what_it_was_when_it_moves_to_another_file() {
    let mut given = Given::clients(&["a"]);
    let uid = |given: &Given| meta(&given.registry.resources()[0]).uid.clone().unwrap();
    let before = uid(&given);
    fs::create_dir(given.path("deeper")).unwrap();
    fs::rename(given.path("a.yaml"), given.path("deeper/x.yml")).unwrap();
    assert_eq!(given.read(), ["a"]);
    assert_eq!(uid(&given), before);
    assert_eq!(meta(&given.registry.resources()[0]).generation, Some(1));
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let mut given = Given::clients(&["a"]);
    given.write("deployment.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n");
    given.write(
        "maester.yaml",
        "apiVersion: hydra.ory.sh/v1alpha1\nkind: OAuth2Client\nmetadata: {name: x}\n",
    );
    given.write("values.yaml", "replicas: 1\n");
    given.write("empty.yaml", "");
    given.write(".hidden.yaml", "{");
    given.write("readme.md", "{");
    assert_eq!(given.read(), ["a"]);
    assert_eq!(given.problems(), Vec::<String>::new());
}

#[test]
fn a_resource_without_its_version_or_kind_is_told() {
    let mut given = Given::nothing();
    given.write("a.yaml", &client("a", "").replace("apiVersion", "apiversion"));
    given.write("b.yaml", &client("b", "").replace("kind", "Kind"));
    assert_eq!(given.read(), Vec::<String>::new());
    let problems = given.problems();
    assert!(
        problems.len() == 2 && problems.iter().all(|p| p.contains("no matches for kind")),
        "{problems:?}"
    );
}

#[test]
fn a_manifest_without_a_namespace_is_in_default() {
    let mut given = Given::nothing();
    let named = client("a", "").replace("  name: a", "  name: a\n  namespace: shop");
    given.write("a.yaml", &format!("{}---\n---\n{named}", client("a", "")));
    given.read();
    let keys: Vec<String> = given.registry.keys().iter().map(Key::to_string).collect();
    assert_eq!(keys, ["OAuth2Client default/a", "OAuth2Client shop/a"]);
}

#[test]
fn secrets_stay_as_they_could_last_be_read() {
    let mut given = Given::nothing();
    given.write("s.yaml", &format!("{}---\n{}", secret_manifest("one", "a"), secret_manifest("two", "b")));
    assert_eq!(given.secrets(), ["one", "two"]);
    for broken in ["data: {CLIENT_SECRET: '%'}", "stringData: {CLIENT_SECRET: 5}", "}"] {
        let second = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: two}}\n{broken}\n");
        given.write("s.yaml", &format!("{}---\n{second}", secret_manifest("one", "a")));
        assert_eq!(given.secrets(), ["one", "two"], "{broken}");
        assert!(given.problems()[0].starts_with("s.yaml: "), "{:?}", given.problems());
    }
    given.write("t.yaml", &secret_manifest("one", "other"));
    given.write("s.yaml", &secret_manifest("one", "a"));
    assert_eq!(given.secrets(), ["one"]);
    assert_eq!(given.problems(), ["t.yaml: Secret default/one is declared already; this one is left out"]);
}

#[test]
fn no_problem_quotes_a_secret() {
    let mut given = Given::nothing();
    let canary = "31415926535897932384626433832795";
    let broken = [
        format!("stringData: {{CLIENT_SECRET: {canary}}}"),
        format!("data: {{CLIENT_SECRET: \"{canary}!\"}}"),
        format!("stringData: {{CLIENT_SECRET: {canary}, CLIENT_SECRET: {canary}}}"),
        format!("stringData: {{CLIENT_SECRET: [{canary}]}}"),
        format!("stringData: {{CLIENT_SECRET: \"{canary}"),
        format!("stringData: {{CLIENT_SECRET: !{canary} x}}"),
        format!("stringData: {{CLIENT_SECRET: *x{canary}}}"),
    ];
    for (index, line) in broken.iter().enumerate() {
        let manifest = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\n{line}\n");
        given.write(&format!("{index}.yaml"), &manifest);
    }
    assert_eq!(given.secrets(), Vec::<String>::new());
    let problems = given.problems();
    assert_eq!(problems.len(), broken.len(), "{problems:#?}");
    assert!(problems.iter().all(|problem| !problem.contains(canary)), "{problems:#?}");
}

#[test]
fn the_data_folder_holds_no_manifests_even_among_them() {
    let root = TempDir::new().unwrap();
    let data = DataFolder::open(root.path().join("data")).unwrap();
    fs::write(root.path().join("a.yaml"), client("a", "")).unwrap();
    let mut manifests = Manifests::new(root.path(), &data);
    let registry = Registry::open(&data, store::Clock::system());
    for _ in 0..2 {
        let snapshot = manifests.read(&registry.known());
        registry.apply(&snapshot.resources, &data);
        assert!(data.resource_path("default", "OAuth2Client", "a").exists());
        assert_eq!(snapshot.resources.len(), 1);
        assert_eq!(manifests.problems().len(), 0, "{:?}", manifests.problems());
    }
}

#[test]
fn a_manifest_does_not_say_what_an_api_server_would() {
    let mut given = Given::nothing();
    let metadata = "  name: a\n  uid: mine\n  generation: 7\n  deletionTimestamp: 2020-01-01T00:00:00Z\n  \
                    finalizers: [somebody.else/waits]\n  resourceVersion: \"5\"";
    let exported = client("a", "").replace("  name: a", metadata) + "status: {clientId: forged}\n";
    given.write("a.yaml", &exported);
    assert_eq!(given.read(), ["a"]);
    let resources = given.registry.resources();
    let Resource::OAuth2Client(client) = &resources[0] else { panic!("{resources:?}") };
    assert_ne!(client.metadata.uid.as_deref(), Some("mine"));
    assert_eq!((client.metadata.generation, client.metadata.finalizers.as_ref()), (Some(1), None));
    assert_eq!(client.status, None);
    given.remove("a.yaml");
    assert_eq!(given.read(), Vec::<String>::new());
    assert_eq!(given.registry.keys(), [], "nothing waits for a controller that does not run here");
}
