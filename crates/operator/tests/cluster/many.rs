//! Many resources at once: what each costs, and that none waits for a bad one.

use std::collections::BTreeMap;

use crd::Reason;
use harness::cluster::Write;
use operator::metrics::KindLabels;
use serde_json::json;

use crate::proxy::Proxy;
use crate::world::{OPERATOR, World};

const CLIENTS: usize = 100;
/// As many at a time are waited for, so that a slow machine has time for each of them.
const STEP: usize = 20;
/// How many resources of a kind the operator works on at once.
const CONCURRENCY: usize = 8;

fn name(n: usize) -> String {
    format!("client-{n:03}")
}

/// The operator's requests so far that changed something, or tried to.
async fn writes(world: &World) -> Vec<Write> {
    let mut writes = world.cluster.writes(&world.namespace).await;
    writes.retain(|write| write.user_agent == OPERATOR);
    writes
}

/// How many requests concerned each client: the resource, its Secret and its events are named after it.
fn by_client(writes: &[Write]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for write in writes {
        *counts.entry(write.name.chars().take(name(0).len()).collect()).or_default() += 1;
    }
    counts
}

/// Scenario 46, with fewer. Those in the middle can never be as declared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_many_takes_four_requests_and_none_when_it_is_as_declared() {
    let world = World::on_postgres().await;
    let theirs: k8s_openapi::api::core::v1::Secret =
        serde_json::from_value(json!({"metadata": {"name": "theirs"}})).unwrap();
    world.create_secret(&theirs).await;
    world.start().await;
    let winner = json!({"grantTypes": ["client_credentials"], "clientId": "theirs"});
    world.oac("winner").create(winner).await;
    world.oac("winner").ready().await;
    for n in 0..CLIENTS {
        if n == CLIENTS / 2 {
            let secret = json!({"name": "theirs"});
            world.oac("taken").create(json!({"grantTypes": ["client_credentials"], "secret": secret})).await;
            let theirs = json!({"grantTypes": ["client_credentials"], "clientId": "theirs"});
            world.oac("rival").create(theirs).await;
        }
        world.oac(&name(n)).create(json!({"grantTypes": ["client_credentials"]})).await;
    }
    for done in (STEP..=CLIENTS).step_by(STEP) {
        let done = u64::try_from(done).unwrap();
        let counted = async || (world.reconciliations() >= done).then_some(());
        world.until(&format!("{done} were looked at"), counted).await;
    }
    for n in 0..CLIENTS {
        let client = world.oac(&name(n)).ready().await;
        assert!(world.present_credentials(&client).await.is_some(), "{}", name(n));
    }
    world.oac("taken").stands(Reason::SecretConflict).await;
    world.oac("rival").stands(Reason::ClientIdConflict).await;
    world.rest().await;

    let all = writes(&world).await;
    let counts = by_client(&all);
    // Finalizer, Secret, status and one event. Where the machine stands still, a request may be late and asked once more.
    let costly: Vec<_> = (0..CLIENTS).map(name).filter(|name| counts[name] > 4).collect();
    let of_these = || all.iter().filter(|write| costly.iter().any(|name| write.name.starts_with(name)));
    assert!(costly.len() <= CLIENTS / 10, "{:?}", of_these().collect::<Vec<_>>());
    assert!(all.len() <= 4 * (CLIENTS + 3) + CLIENTS / 2, "nor does a bad one write much: {}", all.len());

    // It begins anew, and finds all as declared.
    world.resync(u64::try_from(CLIENTS + 3).unwrap()).await;
    world.rest().await;
    assert_eq!(writes(&world).await.len(), all.len());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_that_wait_for_their_turn_are_counted() {
    const ALL: usize = CONCURRENCY + 5;
    let world = World::new().await;
    let (proxy, config) = Proxy::before_api_server(&world.config).await;
    world.start_with(config, false).await;
    for n in 0..ALL {
        world.oac(&name(n)).create(json!({"grantTypes": ["client_credentials"]})).await;
    }
    for n in 0..ALL {
        world.oac(&name(n)).ready().await;
    }
    world.rest().await;
    let labels = KindLabels { kind: "OAuth2Client".to_owned() };
    let waiting = || world.context.metrics.queue_depth.get_or_create(&labels).get();
    world.until("nobody waits", async || (waiting() == 0).then_some(())).await;

    // What the operator asks is not answered, and what it is told arrives.
    proxy.stall();
    for n in 0..ALL {
        world.oac(&name(n)).touch().await;
    }
    world.until("some wait", async || (waiting() == 5).then_some(())).await;
    proxy.restore();
    world.until("nobody waits any more", async || (waiting() == 0).then_some(())).await;
    world.finish().await;
}
