//! Histories at random: whatever happens in whatever order, once it is quiet all is as declared, and no workload has
//! lost a credential before its time.

use std::collections::{BTreeMap, BTreeSet};

use crd::{DeletionPolicy, OAuth2ClientSpec, Reason, TokenEndpointAuthMethod, names};
use jiff::{SignedDuration, Timestamp};
use jose::Entropy;
use operator::{ObjectError, Outcome};
use proptest::prelude::*;
use serde_json::json;

use crate::clock_work::interleaved;
use crate::memory::Fault;
use crate::world::{NAMESPACE, World, entry, secret_name, set};

/// How long a replaced secret works at least, declared or not.
const OVERLAP: SignedDuration = SignedDuration::from_hours(20);
const NAME: &str = "orders";

/// Something that happens.
#[derive(Debug, Clone)]
enum Event {
    Scopes(u8),
    Rotation(bool),
    Method(u8),
    Policy(bool),
    Issuer(bool),
    Entry(bool),
    Suspend(bool),
    Annotate(u8),
    DeleteSecret,
    EditValue(u8),
    EditId,
    RemoveValue,
    RemoveMarks,
    AddEntry,
    EditRow(u8),
    LoseRow,
    LoseSecrets,
    Disown,
    LoseStatus,
    Advance(i64),
    SetBack(i64),
    Reconcile,
    Crash(u64),
    Fail(u64, bool),
    Away,
    Rivals(u64),
}

fn event() -> impl Strategy<Value = Event> {
    use Event as E;
    prop_oneof![
        3 => any::<u8>().prop_map(E::Scopes),
        2 => any::<bool>().prop_map(E::Rotation),
        2 => (0..3u8).prop_map(E::Method),
        1 => any::<bool>().prop_map(E::Policy),
        1 => any::<bool>().prop_map(E::Issuer),
        1 => any::<bool>().prop_map(E::Entry),
        1 => any::<bool>().prop_map(E::Suspend),
        2 => any::<u8>().prop_map(E::Annotate),
        2 => Just(E::DeleteSecret),
        1 => any::<u8>().prop_map(E::EditValue),
        1 => Just(E::EditId),
        1 => Just(E::RemoveValue),
        1 => Just(E::RemoveMarks),
        1 => Just(E::AddEntry),
        1 => any::<u8>().prop_map(E::EditRow),
        1 => Just(E::LoseRow),
        1 => Just(E::LoseSecrets),
        1 => Just(E::Disown),
        1 => Just(E::LoseStatus),
        3 => (0..60_i64).prop_map(E::Advance),
        1 => (0..60_i64).prop_map(E::SetBack),
        4 => Just(E::Reconcile),
        6 => (1..6_u64).prop_map(E::Crash),
        3 => ((1..7_u64), any::<bool>()).prop_map(|(call, after)| E::Fail(call, after)),
        1 => Just(E::Away),
        2 => any::<u64>().prop_map(E::Rivals),
    ]
}

/// A world, and what workloads may hold.
struct History {
    world: World,
    /// When each value was last in the Secret.
    held: BTreeMap<String, Timestamp>,
    /// What was in the Secret when somebody deleted all that the database knew of it.
    lost: BTreeSet<String>,
    /// How often the Secret was changed, or a reconciliation did not get to its end.
    disturbances: usize,
    secret: String,
}

impl History {
    async fn new() -> Self {
        let world = World::new().await;
        world.declare(NAME, json!({"adopt": true}));
        Self {
            world,
            held: BTreeMap::new(),
            lost: BTreeSet::new(),
            disturbances: 0,
            secret: secret_name(NAME),
        }
    }

    fn edit(&self, edit: impl FnOnce(&mut OAuth2ClientSpec)) {
        self.world.objects.edit_client(NAMESPACE, NAME, |client| {
            edit(&mut client.spec);
            client.metadata.generation = client.metadata.generation.map(|generation| generation + 1);
        });
    }

    fn edit_secret(&mut self, edit: impl FnOnce(&mut k8s_openapi::api::core::v1::Secret)) {
        self.disturbances += 1;
        self.world.objects.edit_secret(NAMESPACE, &self.secret, edit);
    }

    fn spec(&self) -> OAuth2ClientSpec {
        self.world.client(NAME).unwrap().spec
    }

    /// The value in the Secret, under the entry of the declared name.
    fn value(&self) -> Option<String> {
        entry(&self.world.secret(NAME)?, &self.spec().secret.keys.client_secret)
    }

    async fn happen(&mut self, event: &Event) {
        match event {
            Event::DeleteSecret => {
                self.disturbances += 1;
                self.world.objects.delete_secret(NAMESPACE, &self.secret);
            }
            Event::EditValue(n) => {
                let key = self.spec().secret.keys.client_secret;
                self.edit_secret(|secret| set(secret, &key, format!("tampered-{n}").as_bytes()));
            }
            Event::EditId => self.edit_secret(|secret| set(secret, "CLIENT_ID", b"payments")),
            Event::RemoveValue => self.edit_secret(|secret| {
                secret.data.get_or_insert_default().remove("CLIENT_SECRET");
            }),
            Event::RemoveMarks => self.edit_secret(|secret| {
                // Of the marks one has to stay, by which it is told whose it is.
                if secret.metadata.annotations.is_some() {
                    secret.metadata.labels = None;
                    secret.metadata.owner_references = None;
                }
            }),
            Event::AddEntry => self.edit_secret(|secret| set(secret, "theirs", b"theirs")),
            Event::EditRow(_) | Event::LoseRow | Event::LoseSecrets | Event::Disown | Event::LoseStatus => {
                self.lose(event).await;
            }
            Event::Advance(hours) => self.world.advance(*hours),
            Event::SetBack(hours) => {
                self.world.advance(-*hours);
                let back = SignedDuration::from_hours(*hours);
                self.held.values_mut().for_each(|seen| *seen -= back);
            }
            Event::Reconcile | Event::Crash(_) | Event::Fail(..) | Event::Away | Event::Rivals(_) => {
                self.work(event).await;
            }
            declared => self.declare(declared),
        }
        let uid = self.world.client(NAME).unwrap().metadata.uid.unwrap();
        let secrets =
            "SELECT 1 FROM client_secrets s JOIN clients c ON c.id = s.client_id WHERE c.manager_uid";
        if self.world.sql(&format!("{secrets} = '{uid}'")).await.is_empty() {
            // Nothing works where there is no client, or it has no secret. What is in the Secret then may, later.
            self.held.clear();
        } else if let Some(value) =
            self.value().filter(|value| !value.starts_with("tampered-") && !self.lost.contains(value))
        {
            self.held.insert(value, self.world.now());
        }
    }

    /// How many clients the resource has.
    async fn rows(&self) -> usize {
        let uid = self.world.client(NAME).unwrap().metadata.uid.unwrap();
        self.world.sql(&format!("SELECT id FROM clients WHERE manager_uid = '{uid}'")).await.len()
    }

    fn declare(&mut self, event: &Event) {
        match *event {
            Event::Scopes(n) => self.edit(|spec| spec.scopes = vec![format!("scope-{n}")]),
            Event::Rotation(on) => self.edit(|spec| {
                let rotation = json!({"period": "48h", "overlap": "20h"});
                spec.secret_rotation = on.then(|| serde_json::from_value(rotation).unwrap());
            }),
            Event::Method(n) => self.edit(|spec| {
                spec.token_endpoint_auth_method = TokenEndpointAuthMethod::ALL[usize::from(n)];
                spec.jwks_uri = Some("https://a/jwks".into());
            }),
            Event::Policy(keep) => self.edit(|spec| {
                spec.deletion_policy = if keep { DeletionPolicy::Orphan } else { DeletionPolicy::Delete };
            }),
            Event::Issuer(on) => self.edit(|spec| spec.secret.keys.issuer = on.then(|| "ISSUER".into())),
            Event::Entry(other) => {
                self.disturbances += 1;
                let name = if other { "password" } else { "CLIENT_SECRET" };
                self.edit(|spec| spec.secret.keys.client_secret = name.into());
            }
            Event::Suspend(on) => self.edit(|spec| spec.suspend = on),
            Event::Annotate(n) => self.world.objects.edit_client(NAMESPACE, NAME, |client| {
                let annotations = client.metadata.annotations.get_or_insert_default();
                annotations.insert(names::ROTATE_SECRET.into(), n.to_string());
            }),
            _ => unreachable!("{event:?} declares nothing"),
        }
    }

    async fn lose(&mut self, event: &Event) {
        let client = self.world.client(NAME).unwrap();
        let uid = client.metadata.uid.clone().unwrap();
        match event {
            Event::LoseStatus => {
                self.world.objects.edit_client(NAMESPACE, NAME, |client| client.status = None);
            }
            Event::LoseRow => {
                self.world.sql(&format!("DELETE FROM clients WHERE manager_uid = '{uid}'")).await;
            }
            Event::LoseSecrets => {
                self.disturbances += 1;
                let data = self.world.secret(NAME).and_then(|secret| secret.data).unwrap_or_default();
                self.lost.extend(data.into_values().filter_map(|value| String::from_utf8(value.0).ok()));
                self.world.sql("DELETE FROM client_secrets").await;
            }
            Event::Disown => {
                let disown = "UPDATE clients SET manager_cluster = NULL, manager_namespace = NULL, \
                    manager_name = NULL, manager_uid = NULL, version = version + 1";
                self.world.sql(disown).await;
            }
            Event::EditRow(n) => {
                let metadata = json!({"grant_types": [], "scope": format!("drifted-{n}")});
                let edit = format!("UPDATE clients SET metadata = '{metadata}', version = version + 1");
                self.world.sql(&edit).await;
            }
            _ => unreachable!("{event:?} loses nothing"),
        }
    }

    async fn work(&mut self, event: &Event) {
        let world = &self.world;
        let client = world.client(NAME).unwrap();
        let reconciler = world.clients();
        self.disturbances += usize::from(!matches!(event, Event::Reconcile | Event::Away));
        match *event {
            Event::Crash(writes) => {
                world.die_after(writes, Box::pin(reconciler.reconcile(&client))).await;
            }
            Event::Fail(call, after) => {
                world.objects.fail(Fault { call, after, error: ObjectError::Unavailable("reset".into()) });
                reconciler.reconcile(&client).await;
                world.objects.allow_all();
            }
            Event::Away => {
                world.gate.close();
                let before = world.store.statements();
                assert_eq!(reconciler.reconcile(&client).await, Outcome::DatabaseAway);
                assert_eq!(world.store.statements(), before);
                world.open_gate().await;
            }
            Event::Rivals(seed) => {
                let (entropy, rival) = (Entropy::seeded(seed), world.clients());
                let coin = || entropy.bytes::<1>()[0] & 1 == 0;
                interleaved(
                    Box::pin(reconciler.reconcile(&client)),
                    Box::pin(rival.reconcile(&client)),
                    coin,
                )
                .await;
            }
            _ => {
                reconciler.reconcile(&client).await;
            }
        }
        if self.spec().token_endpoint_auth_method == TokenEndpointAuthMethod::PrivateKeyJwt {
            self.held.clear();
        }
    }

    /// Waits until all is quiet, and checks what then holds.
    async fn quiet(&mut self) {
        if self.spec().suspend {
            self.happen(&Event::Suspend(false)).await;
        }
        self.world.settle(NAME).await;
        if self.world.told(NAME).1.contains("changes too often") {
            self.world.advance(30);
            self.world.settle(NAME).await;
        }
        let (reason, message) = self.world.told(NAME);
        assert_eq!(reason, Some(Reason::Synced), "{message}");
        let spec = self.spec();
        let row = self.world.row(NAME).await;
        assert_eq!(row.metadata.scope.to_string(), spec.scopes.join(" "));
        let uid = self.world.client(NAME).unwrap().metadata.uid.unwrap();
        assert_eq!(self.rows().await, 1);
        let derived = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, uid.as_bytes()).to_string();
        assert_eq!(row.id.as_str(), derived, "the id never changes");
        self.check_secret(&spec).await;
    }

    async fn check_secret(&mut self, spec: &OAuth2ClientSpec) {
        let world = &self.world;
        let secret = world.secret(NAME).unwrap();
        assert_eq!(entry(&secret, "CLIENT_ID").unwrap(), world.id(NAME).as_str());
        assert_eq!(entry(&secret, "ISSUER").is_some(), spec.secret.keys.issuer.is_some());
        let orphan = spec.deletion_policy == DeletionPolicy::Orphan;
        assert_eq!(secret.metadata.owner_references.unwrap_or_default().is_empty(), orphan);
        let live = world.live(NAME).await;
        if spec.token_endpoint_auth_method == TokenEndpointAuthMethod::PrivateKeyJwt {
            // What somebody else wrote there since is theirs.
            self.held.clear();
            let left = self.value().filter(|value| !value.starts_with("tampered-"));
            assert_eq!((left, live), (None, 0));
            return;
        }
        let value = self.value().unwrap();
        assert!(world.authenticates(NAME, &value).await);
        for (value, seen) in &self.held {
            let owed = world.now() < *seen + OVERLAP;
            assert!(!owed || world.authenticates(NAME, value).await, "{value} was there until {seen}");
        }
        assert!(
            live <= (2 + self.disturbances).min(12),
            "{live} secrets, {} disturbances",
            self.disturbances
        );
    }
}

async fn live_through(events: &[Vec<Event>]) {
    let mut history = History::new().await;
    history.world.story.replace(format!("{events:?}"));
    for chapter in events {
        for event in chapter {
            history.happen(event).await;
        }
        Box::pin(history.quiet()).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        // Each takes a good quarter of a second.
        cases: ProptestConfig::default().cases / 3,
        max_shrink_iters: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_all_is_as_declared_once_it_is_quiet(
        events in prop::collection::vec(prop::collection::vec(event(), 1..8), 1..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(live_through(&events));
    }
}
