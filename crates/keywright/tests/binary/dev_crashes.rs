//! `dev` is killed at random moments, while somebody edits at random.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jose::Entropy;

use crate::support::Dev;
use crate::support::dev::{client, files};

const ROUNDS: usize = 10;
const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// Somebody who edits manifests and spoils Secrets.
struct Editor {
    entropy: Entropy,
    /// The scope of each client that is declared.
    declared: BTreeMap<&'static str, String>,
    /// The secrets that workloads of each client may hold.
    held: BTreeMap<&'static str, BTreeSet<String>>,
    /// Whose Secret was spoilt. Once each: who does it again and again has to wait.
    spoilt: BTreeSet<&'static str>,
    edits: usize,
}

impl Editor {
    fn random(&self, below: usize) -> usize {
        usize::from(u16::from_be_bytes(self.entropy.bytes())) % below
    }

    async fn pause(&self, at_most: usize) {
        tokio::time::sleep(Duration::from_millis(self.random(at_most) as u64)).await;
    }

    /// Workloads read their Secrets.
    fn look(&mut self, dev: &Dev) {
        for name in self.declared.keys() {
            let secret =
                dev.secret(&format!("{name}-oauth2-client")).and_then(|mut s| s.remove("CLIENT_SECRET"));
            self.held.entry(name).or_default().extend(secret.filter(|secret| secret.len() == 26));
        }
    }

    fn edit(&mut self, dev: &Dev) {
        self.edits += 1;
        let name = NAMES[self.random(NAMES.len())];
        let file = format!("{name}.yaml");
        match self.random(8) {
            0..=3 => {
                let scope = format!("s{}", self.edits);
                dev.write(&file, &client(name, &[&format!("scopes: [{scope}]")]));
                self.declared.insert(name, scope);
            }
            4 if self.declared.remove(name).is_some() => {
                dev.remove(&file);
                self.held.remove(name);
            }
            // What stands in the Secret of a client without a row, is taken for what a lost database knew.
            5..=7
                if self.declared.contains_key(name)
                    && dev.ready(name).status == "True"
                    && self.spoilt.insert(name) =>
            {
                self.spoil(dev, name);
            }
            _ => {}
        }
    }

    fn spoil(&self, dev: &Dev, name: &str) {
        let path = dev.secret_file(&format!("{name}-oauth2-client"));
        // It may not be there yet, or be written at this very moment.
        let Ok(text) = fs::read_to_string(&path) else { return };
        let _ = match self.random(3) {
            0 => fs::remove_file(&path),
            1 => fs::write(&path, "{{{ no YAML"),
            _ => {
                let other = format!("  CLIENT_SECRET: {}", STANDARD.encode(format!("spoilt-{name}")));
                let lines = text.lines().map(|l| if l.contains("CLIENT_SECRET") { &other } else { l });
                fs::write(&path, lines.collect::<Vec<_>>().join("\n"))
            }
        };
    }
}

async fn check(dev: &Dev, editor: &Editor) {
    for (name, scope) in &editor.declared {
        dev.stands(name, "True", "Synced").await;
        let secret = dev.client_secret(name);
        dev.token_for(name, &secret, scope).await.unwrap_or_else(|e| panic!("{name} for {scope}: {e}"));
        for held in editor.held.get(name).into_iter().flatten() {
            dev.token(name, held).await.unwrap_or_else(|e| panic!("{name} with an earlier secret: {e}"));
        }
    }
    for name in NAMES {
        assert_eq!(dev.token(name, &format!("spoilt-{name}")).await, Err("invalid_client".to_owned()));
    }
    let names = |folder: &str| -> Vec<String> {
        let files = files(&dev.data().join(folder)).into_iter();
        files.map(|file| file.file_name().unwrap().to_string_lossy().into_owned()).collect()
    };
    let declared: Vec<String> = editor.declared.keys().map(|name| format!("{name}.yaml")).collect();
    assert_eq!(names("resources/default/oauth2client"), declared);
    let secrets: Vec<String> =
        editor.declared.keys().map(|name| format!("{name}-oauth2-client.yaml")).collect();
    assert_eq!(names("secrets"), secrets);
}

#[tokio::test]
async fn a_crash_at_any_moment_loses_no_edit_and_breaks_no_secret() {
    for seed in [1, 2] {
        let mut dev = Dev::prepared();
        let entropy = Entropy::seeded(seed);
        let (declared, held, spoilt) = Default::default();
        let mut editor = Editor { entropy, declared, held, spoilt, edits: 0 };
        for _ in 0..ROUNDS {
            dev.launch();
            // Half of the time it gets to the end of its start.
            if editor.random(2) == 0 {
                dev.welcomed().await;
                editor.look(&dev);
            }
            for _ in 0..editor.random(12) {
                editor.edit(&dev);
                editor.pause(60).await;
            }
            editor.pause(500).await;
            dev.kill().await;
        }
        dev.start().await;
        check(&dev, &editor).await;
        let token = dev.key_ids().await;
        assert_eq!(token.len(), 2, "one key for each set");
        // And all is as it was after a clean restart.
        dev.stop().await;
        dev.start().await;
        check(&dev, &editor).await;
    }
}
