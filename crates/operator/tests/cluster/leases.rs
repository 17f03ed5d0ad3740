//! Several operators of one instance: one leads, by a Lease.

use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::cluster::Write;
use jiff::SignedDuration;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{DeleteParams, PatchParams};
use kube::{Api, Client};
use operator::Metrics;
use operator::metrics::OrphanLabels;
use operator::plan::lease::Times;
use operator::reconcile::Context;
use operator::source::cluster::{self, ClusterObjects, Election, Options};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use store::{Clock, Store};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::resource::Kind;
use crate::rights;
use crate::world::{World, merge};

const LEASE: &str = "keywright-default";
/// In a patch, the one of the two that does not lead.
const WHO_WAITS: &str = "who-waits";
/// As in earnest, but five times as fast.
const TIMES: Times = Times {
    lasts: Duration::from_secs(3),
    valid: Duration::from_secs(2),
    renew_every: Duration::from_millis(400),
    look_every: Duration::from_millis(100),
};

/// One of several operators in this process.
struct Operator {
    name: &'static str,
    metrics: Metrics,
    task: JoinHandle<()>,
    shutdown: CancellationToken,
}

impl Operator {
    /// Starts one whose clock is wrong by so much, and waits until it is ready.
    async fn start(world: &World, name: &'static str, wrong: SignedDuration) -> Self {
        let mut config = world.config.clone();
        config.headers.retain(|(header, _)| header != "user-agent");
        config.headers.push(("user-agent".parse().unwrap(), name.parse().unwrap()));
        Self::start_as(world, name, wrong, config, TIMES).await
    }

    /// Starts one that takes its time, and waits until it is ready.
    async fn start_with(world: &World, name: &'static str, times: Times) -> Self {
        let config = world.config.clone();
        Self::start_as(world, name, SignedDuration::ZERO, config, times).await
    }

    async fn start_as(
        world: &World,
        name: &'static str,
        wrong: SignedDuration,
        config: kube::Config,
        times: Times,
    ) -> Self {
        let client = Client::try_from(config).unwrap();
        let clock = Clock::manual(world.now() + wrong);
        let store = Store::open(world.database.options(), clock, jose::Entropy::system()).await.unwrap();
        let metrics = Metrics::new(&mut Registry::default());
        let context = Context {
            store,
            objects: Arc::new(ClusterObjects::new(client.clone())),
            metrics: metrics.clone(),
            applied_clients: operator::applied::Applied::default(),
            applied_key_sets: operator::applied::Applied::default(),
            ..world.context.clone()
        };
        let election = Election {
            namespace: world.namespace.clone(),
            lease: LEASE.to_owned(),
            identity: format!("{name}_uid"),
            times,
        };
        let options = Options { election: Some(election), ..Options::default() };
        let (ready, mut is_ready) = watch::channel(false);
        let shutdown = CancellationToken::new();
        let run = cluster::run(client, context, options, ready, shutdown.clone());
        let task = tokio::spawn(async move { Box::pin(run).await.unwrap() });
        let within = tokio::time::timeout(Duration::from_secs(20), is_ready.wait_for(|ready| *ready));
        within.await.expect("a standby is ready, too").unwrap();
        Self { name, metrics, task, shutdown }
    }

    fn leads(&self) -> bool {
        self.metrics.leader.get() == 1
    }

    async fn elected(&self, world: &World) {
        world.until(&format!("{} leads", self.name), async || self.leads().then_some(())).await;
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }

    async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

fn lease(world: &World) -> Api<Lease> {
    Api::namespaced(world.client.clone(), &world.namespace)
}

async fn holder(world: &World) -> Option<String> {
    lease(world).get(LEASE).await.unwrap().spec.unwrap().holder_identity
}

/// What the operators wrote, but for the Lease, in order.
async fn writes(world: &World) -> Vec<Write> {
    let mut writes = world.cluster.writes(&world.namespace).await;
    writes.retain(|write| write.resource != "leases" && ["one", "two"].contains(&&*write.user_agent));
    writes.sort_by(|a, b| a.at.cmp(&b.at));
    writes
}

/// How often the one who writes is another than before.
async fn handovers(world: &World) -> usize {
    let writes = writes(world).await;
    writes.windows(2).filter(|pair| pair[0].user_agent != pair[1].user_agent).count()
}

/// Has something to do for whoever leads, all the time.
async fn churn(world: &World) {
    for round in 0_u32.. {
        let name = format!("client-{}", round % 4);
        let client = world.oac(&name);
        if client.get().await.is_none() {
            client.create(json!({"grantTypes": ["client_credentials"]})).await;
        }
        client.edit(json!({"clientName": format!("round {round}")})).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Lets something happen to the Lease under churn, until `done`. How often another one began to write.
async fn under_churn(world: &World, happens: impl AsyncFnOnce()) -> usize {
    let before = handovers(world).await;
    tokio::select! {
        () = churn(world) => {}
        () = happens() => {}
    }
    world.rest_of_all().await;
    handovers(world).await - before
}

impl World {
    /// Waits until nobody writes any more.
    async fn rest_of_all(&self) {
        let mut since = (writes(self).await.len(), Instant::now());
        let rests = async || {
            let written = writes(self).await.len();
            if written != since.0 {
                since = (written, Instant::now());
            }
            (since.1.elapsed() > Duration::from_secs(1)).then_some(())
        };
        self.until("nobody writes", rests).await;
    }
}

/// Scenario 40: one leads, the other one waits, and follows at once when the Lease is released.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_writes_nothing_and_follows_at_once_when_the_leader_stops() {
    let world = World::new().await;
    let one = Operator::start(&world, "one", SignedDuration::ZERO).await;
    one.elected(&world).await;
    let two = Operator::start(&world, "two", SignedDuration::from_hours(1)).await;
    world.ready_service("orders").await;
    assert!(!two.leads());
    // What it counted when it led.
    let orphans = two.metrics.orphans.clone();
    let labels = OrphanLabels { kind: "OAuth2Client".to_owned() };
    orphans.get_or_create(&labels).set(7);
    world.until("it no longer tells", async || orphans.get(&labels).is_none().then_some(())).await;
    assert!(writes(&world).await.iter().all(|write| write.user_agent == "one"));
    assert_eq!(holder(&world).await.as_deref(), Some("one_uid"));

    one.stop().await;
    let stopped = Instant::now();
    two.elected(&world).await;
    assert!(stopped.elapsed() < Duration::from_secs(1), "{:?}", stopped.elapsed());
    world.ready_service("invoices").await;
    assert_eq!(handovers(&world).await, 1);
    two.stop().await;
    assert_eq!(holder(&world).await, None);
    world.finish().await;
}

/// Where nobody ever led, nobody is waited for; but a Lease that is missing where somebody did may have been deleted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_leader_of_all_waits_for_nobody_and_a_later_one_does() {
    // So long that no slow machine takes as long by itself.
    let times = Times { lasts: TIMES.valid * 20, valid: TIMES.valid * 10, ..TIMES };
    let world = World::new().await;
    let began = Instant::now();
    let one = Operator::start_with(&world, "one", times).await;
    one.elected(&world).await;
    let first = began.elapsed();
    world.ready_service("orders").await;
    one.kill().await;
    lease(&world).delete(LEASE, &DeleteParams::default()).await.unwrap();
    let began = Instant::now();
    let two = Operator::start_with(&world, "two", times).await;
    two.elected(&world).await;
    assert!(first < times.valid && began.elapsed() >= times.valid, "{first:?} {:?}", began.elapsed());
    two.stop().await;
    world.finish().await;
}

/// Scenario 40: nobody is told of a death, so the Lease has to expire first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_killed_is_followed_when_its_lease_has_expired() {
    let world = World::new().await;
    let one = Operator::start(&world, "one", SignedDuration::ZERO).await;
    one.elected(&world).await;
    let two = Operator::start(&world, "two", SignedDuration::from_hours(-1)).await;
    let handovers = under_churn(&world, async || {
        world.oac("client-0").until("the first is at work", Kind::is_ready).await;
        one.kill().await;
        let killed = Instant::now();
        two.elected(&world).await;
        // One term and a little, on a machine that does nothing else.
        assert!(killed.elapsed() < TIMES.lasts * 3, "{:?}", killed.elapsed());
    })
    .await;
    assert_eq!(handovers, 1);
    for n in 0..4 {
        world.oac(&format!("client-{n}")).ready().await;
    }
    two.stop().await;
    world.finish().await;
}

/// Scenario 41: whatever happens to the Lease, and whatever the clocks say, there are never two who write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_the_lease_is_handled_two_never_write_at_the_same_time() {
    let world = World::new().await;
    let one = Operator::start(&world, "one", SignedDuration::from_hours(1)).await;
    one.elected(&world).await;
    let two = Operator::start(&world, "two", SignedDuration::from_hours(-1)).await;
    let stolen = |holder: Value| json!({"spec": {"holderIdentity": holder}});
    let cases = [
        ("deleted", None),
        ("stolen by nobody who lives", Some(stolen(json!("somebody")))),
        ("given to the one who waits", Some(stolen(json!(WHO_WAITS)))),
        ("emptied", Some(stolen(Value::Null))),
        ("shortened", Some(json!({"spec": {"holderIdentity": "x", "leaseDurationSeconds": 1}}))),
    ];
    for (what, patch) in cases {
        let waits = if one.leads() { "two_uid" } else { "one_uid" };
        let patch = patch.map(|patch| {
            let text = patch.to_string().replace(WHO_WAITS, waits);
            serde_json::from_str::<Value>(&text).unwrap()
        });
        let handovers = under_churn(&world, async || {
            match &patch {
                None => drop(lease(&world).delete(LEASE, &DeleteParams::default()).await.unwrap()),
                Some(patch) => {
                    let params = PatchParams::default();
                    lease(&world).patch(LEASE, &params, &merge(patch.clone())).await.unwrap();
                }
            }
            let neither = async || (!one.leads() && !two.leads()).then_some(());
            world.until(&format!("{what}: the leader notices"), neither).await;
            let either = async || (one.leads() != two.leads()).then_some(());
            world.until(&format!("{what}: one leads again"), either).await;
        })
        .await;
        // A machine that stands still for as long as a term lasts makes a change more of it. Two who write at the same time
        // take turns at each of the many writes.
        assert!(handovers <= 4, "{what}: {handovers}");
        assert!(!(one.leads() && two.leads()), "{what}");
    }
    two.stop().await;
    one.stop().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_rights_to_the_lease_it_waits_and_writes_nothing() {
    let world = World::new().await;
    let mut config = rights::as_account(&world, "electionless").await;
    rights::bind(&world, "electionless", |_| true).await;
    config.headers.push(("user-agent".parse().unwrap(), "two".parse().unwrap()));
    let two = Operator::start_as(&world, "two", SignedDuration::ZERO, config, TIMES).await;
    world.oac("orders").create(json!({"grantTypes": ["client_credentials"]})).await;
    let one = Operator::start(&world, "one", SignedDuration::ZERO).await;
    one.elected(&world).await;
    world.oac("orders").ready().await;
    assert!(!two.leads() && writes(&world).await.iter().all(|write| write.user_agent == "one"));
    one.stop().await;
    two.stop().await;
    world.finish().await;
}
