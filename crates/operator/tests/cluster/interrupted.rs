//! The operator dies at any moment, and its successor goes on.

use std::collections::HashMap;
use std::time::Duration;

use harness::cluster::Write;
use jiff::SignedDuration;
use jose::Entropy;
use kube::api::ListParams;
use oauth::{ClientId, ClientSecret};
use operator::source::cluster;
use serde_json::json;
use store::{SecretState, StoredClient};
use tokio_util::sync::CancellationToken;

use crate::log::LOG;
use crate::resource::Kind;
use crate::world::{OPERATOR, World};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const ROUNDS: u32 = 24;
/// Replaced secrets work for this long.
const OVERLAP: SignedDuration = SignedDuration::from_hours(24);

/// What somebody writes into Secrets.
const TAMPERED: &str = "tampered-with-by-somebody";

/// What somebody does to the resources while the operator is at work.
struct Churn {
    entropy: Entropy,
    /// What workloads hold: read from a Secret at a moment when it worked.
    held: HashMap<&'static str, Vec<(ClientId, ClientSecret)>>,
    /// How often a Secret was deleted or tampered with, each of which takes another client secret.
    disturbed: HashMap<&'static str, usize>,
    nonce: u32,
}

impl Churn {
    fn below(&self, bound: u16) -> u16 {
        u16::from_be_bytes(self.entropy.bytes()) % bound
    }

    /// Workloads read what the Secrets hold.
    async fn read(&mut self, world: &World) {
        for name in NAMES {
            let present = world.oac(name).get().await;
            let Some(client) = present.filter(|client| client.metadata.deletion_timestamp.is_none()) else {
                continue;
            };
            let Some(credentials) = world.present_credentials(&client).await else { continue };
            if credentials.1.expose() == TAMPERED || world.row(&credentials.0).await.is_none() {
                continue;
            }
            assert!(world.lets_in(&credentials).await, "{name}: what is in the Secret works, at any moment");
            let held = self.held.entry(name).or_default();
            if !held.contains(&credentials) {
                held.push(credentials);
            }
        }
    }

    async fn act(&mut self, world: &World) {
        let name = NAMES[usize::from(self.below(4))];
        let client = world.oac(name);
        let Some(present) = client.get().await else {
            client.create(json!({"grantTypes": ["client_credentials"]})).await;
            return;
        };
        if present.metadata.deletion_timestamp.is_some() {
            return;
        }
        let secret = present.secret_name();
        let act = self.below(8);
        if matches!(act, 1 | 2) {
            *self.disturbed.entry(name).or_default() += 1;
        }
        match act {
            0 => {
                client.delete().await;
                self.held.remove(name);
                self.disturbed.remove(name);
            }
            1 => {
                world.delete_secret(&secret).await;
            }
            2 => {
                let tampering = json!({"stringData": {"CLIENT_SECRET": TAMPERED}});
                if world.secret(&secret).await.is_some() {
                    world.patch_secret(&secret, tampering).await;
                }
            }
            3..=5 => {
                // Overlaps have passed, so that a rotation may begin.
                world.advance(OVERLAP + SignedDuration::from_secs(1));
                self.held.clear();
                // The last one may not have been seen to yet.
                self.disturbed.values_mut().for_each(|times| *times = 1);
                self.nonce += 1;
                client.annotate("keywright.dev/rotate-secret", &self.nonce.to_string()).await;
            }
            _ => {
                self.nonce += 1;
                client.edit(json!({"clientName": format!("name {}", self.nonce)})).await;
            }
        }
    }

    async fn row(&self, world: &World, name: &str) -> Option<StoredClient> {
        let id = world.oac(name).get().await?.status?.client_id?;
        world.row(&ClientId::parse(id).unwrap()).await
    }

    /// How many clients are between two writes: neither untouched nor done.
    async fn half_done(&self, world: &World) -> usize {
        let mut half_done = 0;
        for name in NAMES {
            let Some(client) = world.oac(name).get().await else { continue };
            let begun = client.metadata.finalizers.is_some();
            let row = self.row(world, name).await;
            let pending = row.iter().flat_map(|row| &row.secrets).any(|s| s.state == SecretState::Pending);
            half_done += usize::from((begun && client.status.is_none()) || pending);
        }
        half_done
    }

    async fn check(&self, world: &World, when: &str) {
        for (name, held) in &self.held {
            for credentials in held {
                assert!(world.lets_in(credentials).await, "{when}: a workload of {name} was locked out");
            }
        }
        for name in NAMES {
            let Some(row) = self.row(world, name).await else { continue };
            let live =
                row.secrets.iter().filter(|secret| secret.expires_at.is_none_or(|at| at > world.now()));
            // A kill does not recall a request that was sent. One that arrives after the next operator has planned counts
            // as tampering, and costs a secret more; where each step is exact, tests/model counts them exactly.
            let in_flight = 2;
            let bound = 2 + in_flight + self.disturbed.get(name).copied().unwrap_or_default();
            assert!(live.count() <= bound, "{when}: {name} has more than {bound} client secrets");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_it_converges_and_locks_nobody_out() {
    let world = World::new().await;
    let entropy = Entropy::seeded(34);
    let mut churn = Churn { entropy, held: HashMap::new(), disturbed: HashMap::new(), nonce: 0 };
    let mut interrupted = 0;
    for round in 0..ROUNDS {
        world.start().await;
        for _ in 0..3 {
            churn.act(&world).await;
        }
        // A moment in or after the reconciliations that this caused, which begin a tenth of a second later.
        tokio::time::sleep(Duration::from_millis(80 + u64::from(churn.below(120)))).await;
        world.kill().await;
        world.collect_garbage().await;
        interrupted += churn.half_done(&world).await;
        churn.check(&world, &format!("round {round}")).await;
        churn.read(&world).await;
    }
    assert!(interrupted > 5, "it was killed at work: {interrupted}");
    world.start().await;
    for name in NAMES {
        let client = world.oac(name);
        if client.get().await.is_some_and(|client| client.metadata.deletion_timestamp.is_some()) {
            client.gone().await;
        }
        if client.get().await.is_none() {
            client.create(json!({"grantTypes": ["client_credentials"]})).await;
        }
        let in_order = async || {
            world.collect_garbage().await;
            let client = world.oac(name).get().await?;
            let credentials = world.present_credentials(&client).await?;
            (client.is_ready() && world.lets_in(&credentials).await).then_some(client)
        };
        let client = world.until(&format!("{name} is in order"), in_order).await;
        let (id, _) = world.credentials(&client).await;
        assert_eq!(client.status.unwrap().client_id.as_deref(), Some(id.as_str()));
    }
    churn.check(&world, "at the end").await;
    world.resync(4).await;
    let writes = async || world.cluster.writes(&world.namespace).await;
    let ours = |writes: Vec<Write>| writes.iter().filter(|write| write.user_agent == OPERATOR).count();
    let settled = ours(writes().await);
    world.resync(4).await;
    assert_eq!(ours(writes().await), settled, "nothing is left to do");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_finishes_what_is_under_way() {
    let world = World::on_postgres().await;
    for n in 0..12 {
        world.oac(&format!("client-{n}")).create(json!({"grantTypes": ["client_credentials"]})).await;
    }
    world.start().await;
    let any_secret = async || {
        (!world.secrets().list(&ListParams::default()).await.unwrap().items.is_empty()).then_some(())
    };
    world.until("it is at work", any_secret).await;
    world.stop().await;
    // What was begun has its row and its status; what was not has neither.
    for n in 0..12 {
        let client = world.oac(&format!("client-{n}")).get().await.unwrap();
        let begun = !client.metadata.finalizers.clone().unwrap_or_default().is_empty();
        assert_eq!(client.is_ready(), begun, "client-{n}");
        if begun {
            assert!(world.lets_in(&world.credentials(&client).await).await, "client-{n}");
        }
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_definitions_it_waits_and_can_be_stopped() {
    let world = World::new().await;
    let mut config = world.config.clone();
    // A path that the API server does not serve answers as one without the definitions does.
    config.cluster_url = format!("{}absent", config.cluster_url).parse().unwrap();
    let client = kube::Client::try_from(config).unwrap();
    let shutdown = CancellationToken::new();
    let (ready, is_ready) = tokio::sync::watch::channel(false);
    let options = cluster::Options { autocreate: true, ..cluster::Options::default() };
    let run = cluster::run(client, world.context.clone(), options, ready, shutdown.clone());
    let running = tokio::spawn(run);
    let said = async || LOG.text().contains("it does not serve oauth2clients.keywright.dev").then_some(());
    world.until("it says what it waits for", said).await;
    assert!(!*is_ready.borrow());
    shutdown.cancel();
    running.await.unwrap().unwrap();
    world.finish().await;
}
