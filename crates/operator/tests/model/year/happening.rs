//! How what happens in a year happens.

use std::collections::BTreeSet;

use crd::{DeletionPolicy, names};
use jiff::SignedDuration;
use jose::Entropy;
use kube::ResourceExt;
use operator::ObjectError;
use serde_json::{Value, json};

use super::events::{CLIENTS, ClientShape, Event, SETS, SetShape};
use super::life::{Life, Operator, Slot};
use crate::clock_work::{interleaved, step, until};
use crate::memory::Fault;
use crate::world::{NAMESPACE, World, service, set};

/// Who else leads, while one stands still.
const NEXT: usize = 1;

impl Life {
    pub async fn happen(&mut self, event: &Event) {
        match event {
            Event::Client(..)
            | Event::Set(..)
            | Event::DeleteClient(_)
            | Event::DeleteSet(_)
            | Event::RotateSecret(..)
            | Event::Rotate(..)
            | Event::RotateNow(..)
            | Event::Revoke(..)
            | Event::Suspend(..)
            | Event::SuspendSet(..) => self.push(event).await,
            Event::DeleteSecret(_)
            | Event::Tamper(..)
            | Event::RemoveMarks(_)
            | Event::DamageExport(..)
            | Event::EditRow(_)
            | Event::EditSetRow(_)
            | Event::LoseStatus(_)
            | Event::LoseRow(_)
            | Event::Disown(_) => self.damage(event).await,
            Event::Empty(writes) => self.empty(*writes).await,
            Event::Remember => self.remember().await,
            Event::RollBack(writes) => self.roll_back(*writes).await,
            befalls => self.befall(befalls).await,
        }
        self.look().await;
    }

    async fn push(&mut self, event: &Event) {
        let (objects, now) = (&self.world.objects, self.world.now());
        match event {
            Event::Client(slot, shape) => self.declare_client(*slot, shape),
            Event::Set(at, shape) => self.declare_set(*at, shape),
            Event::DeleteClient(slot) => {
                let (namespace, name) = CLIENTS[*slot];
                objects.delete(namespace, name, now);
                self.holders.release(*slot);
            }
            Event::DeleteSet(at) => objects.delete(NAMESPACE, SETS[*at].0, now),
            Event::RotateSecret(slot, nonce) => annotate_client(&self.world, *slot, *nonce),
            Event::Rotate(at, nonce) => annotate_set(&self.world, *at, names::ROTATE, *nonce),
            Event::RotateNow(at, nonce) => {
                annotate_set(&self.world, *at, names::ROTATE_NOW, *nonce);
                self.verifiers.hurry(SETS[*at].1, 2);
            }
            Event::Revoke(at, index) => {
                let (name, set) = SETS[*at];
                let keys = self.world.store.read_key_set(set).await.unwrap().map(|set| set.keys);
                let keys = keys.filter(|keys| !keys.is_empty()).unwrap_or_default();
                if keys.is_empty() || objects.key_set(NAMESPACE, name).is_none() {
                    return;
                }
                let kid = index.get(&keys).schedule.kid.to_string();
                objects.edit_key_set(NAMESPACE, name, |set| {
                    set.metadata.generation = set.metadata.generation.map(|generation| generation + 1);
                    if !set.spec.revoked_key_ids.contains(&kid) {
                        set.spec.revoked_key_ids.push(kid.clone());
                    }
                });
                self.verifiers.revoke(set, &kid);
            }
            Event::Suspend(slot, to) => self.suspend_client(*slot, *to),
            Event::SuspendSet(at, to) => self.suspend_set(*at, *to),
            _ => unreachable!("{event:?} is not pushed"),
        }
    }

    pub fn suspend_client(&self, slot: Slot, to: bool) {
        let (namespace, name) = CLIENTS[slot];
        if self.world.objects.client(namespace, name).is_some() {
            self.world.objects.edit_client(namespace, name, |client| {
                client.metadata.generation = client.metadata.generation.map(|generation| generation + 1);
                client.spec.suspend = to;
            });
        }
    }

    pub fn suspend_set(&self, at: usize, to: bool) {
        if self.world.objects.key_set(NAMESPACE, SETS[at].0).is_some() {
            self.world.objects.edit_key_set(NAMESPACE, SETS[at].0, |set| {
                set.metadata.generation = set.metadata.generation.map(|generation| generation + 1);
                set.spec.suspend = to;
            });
        }
    }

    fn declare_client(&mut self, slot: Slot, shape: &ClientShape) {
        let (namespace, name) = CLIENTS[slot];
        let present = self.world.objects.client(namespace, name);
        if present.as_ref().is_some_and(|present| present.metadata.deletion_timestamp.is_some()) {
            return;
        }
        let mut spec = service(client_spec(name, shape));
        if let Some(present) = present {
            // The API server lets nobody change an id.
            spec["clientId"] = json!(present.spec.client_id);
            self.holders.disturb(slot, self.world.now());
        }
        self.world.objects.declare_client(namespace, name, spec);
    }

    fn declare_set(&mut self, at: usize, shape: &SetShape) {
        let (name, set) = SETS[at];
        let present = self.world.objects.key_set(NAMESPACE, name);
        let spec = set_spec(at, shape);
        match present {
            Some(present) if present.metadata.deletion_timestamp.is_some() => return,
            Some(present) => self.world.objects.edit_key_set(NAMESPACE, name, |edited| {
                edited.spec = serde_json::from_value(spec).unwrap();
                edited.spec.revoked_key_ids = present.spec.revoked_key_ids;
                edited.metadata.generation = edited.metadata.generation.map(|generation| generation + 1);
            }),
            None => self.world.objects.declare_key_set(NAMESPACE, name, spec),
        }
        // A line that is new where nothing else signs.
        self.verifiers.hurry(set, 0);
    }

    async fn damage(&mut self, event: &Event) {
        let now = self.world.now();
        let (Event::DeleteSecret(slot)
        | Event::Tamper(slot, _)
        | Event::RemoveMarks(slot)
        | Event::EditRow(slot)
        | Event::LoseStatus(slot)
        | Event::LoseRow(slot)
        | Event::Disown(slot)
        | Event::DamageExport(slot, _)
        | Event::EditSetRow(slot)) = event
        else {
            unreachable!("{event:?} does no damage")
        };
        match event {
            Event::DamageExport(at, how) => return self.damage_export(*at, *how),
            Event::EditSetRow(at) => {
                let edit = "UPDATE key_sets SET handled_rotate = 'by-hand', version = version + 1";
                self.world.sql(&format!("{edit} WHERE name = '{}'", SETS[*at].1)).await;
                return;
            }
            _ => {}
        }
        let (namespace, name) = CLIENTS[*slot];
        let Some(client) = self.world.objects.client(namespace, name) else { return };
        let (secret, uid) = (client.secret_name(), client.uid().unwrap());
        self.holders.disturb(*slot, now);
        match event {
            Event::DeleteSecret(_) => self.world.objects.delete_secret(namespace, &secret),
            Event::Tamper(_, n) => {
                let value = format!("tampered-{n}");
                self.world
                    .objects
                    .edit_secret(namespace, &secret, |secret| set(secret, "CLIENT_SECRET", value.as_bytes()));
            }
            Event::RemoveMarks(_) => {
                self.world.objects.edit_secret(namespace, &secret, |secret| {
                    // Of the marks one has to stay, by which it is told whose it is.
                    if secret.metadata.annotations.is_some() {
                        (secret.metadata.labels, secret.metadata.owner_references) = (None, None);
                    }
                });
            }
            Event::EditRow(n) => {
                let metadata = json!({"grant_types": [], "scope": format!("drifted-{n}")});
                let edit = format!("UPDATE clients SET metadata = '{metadata}', version = version + 1");
                self.world.sql(&format!("{edit} WHERE manager_uid = '{uid}'")).await;
            }
            Event::LoseStatus(_) => {
                self.world.objects.edit_client(namespace, name, |client| client.status = None);
            }
            Event::LoseRow(_) => {
                self.holders.release(*slot);
                self.holders.forget_ids();
                self.world.sql(&format!("DELETE FROM clients WHERE manager_uid = '{uid}'")).await;
            }
            Event::Disown(_) => {
                self.holders.release(*slot);
                self.holders.forget_ids();
                let disown = "UPDATE clients SET manager_cluster = NULL, manager_namespace = NULL, \
                    manager_name = NULL, manager_uid = NULL, version = version + 1";
                self.world.sql(&format!("{disown} WHERE manager_uid = '{uid}'")).await;
            }
            _ => {}
        }
    }

    fn damage_export(&self, at: usize, how: u8) {
        let name = backup(SETS[at].0);
        let objects = &self.world.objects;
        match how {
            0 => objects.delete_secret(NAMESPACE, &name),
            1 => {
                objects.edit_secret(NAMESPACE, &name, |secret| set(secret, names::EXPORT_KEY, b"{}"));
            }
            // One key of it.
            _ => {
                objects.edit_secret(NAMESPACE, &name, |secret| {
                    let Some(text) = crate::world::entry(secret, names::EXPORT_KEY) else { return };
                    let Ok(mut document) = serde_json::from_str::<Value>(&text) else { return };
                    if let Some(key) = document["keys"].as_array_mut().and_then(|keys| keys.last_mut()) {
                        key["x"] = json!("damaged");
                    }
                    set(secret, names::EXPORT_KEY, document.to_string().as_bytes());
                });
            }
        }
    }

    async fn befall(&mut self, event: &Event) {
        let now = self.world.now();
        if let Event::Crash(slot, _)
        | Event::Fail(slot, ..)
        | Event::Freeze(slot, _)
        | Event::Rivals(slot, _) = event
        {
            self.holders.disturb(*slot, now);
        }
        match *event {
            Event::Crash(slot, writes) => self.crash(slot, writes).await,
            Event::Fail(slot, call, after) => {
                let error = ObjectError::Unavailable("reset".into());
                self.world.objects.fail(Fault { call, after, error });
                self.work(slot).await;
                self.world.objects.allow_all();
            }
            Event::Outage(hours) => {
                self.world.gate.close();
                self.work_all().await;
                self.pass_until(now + SignedDuration::from_hours(hours)).await;
                self.work_all().await;
                self.world.open_gate().await;
            }
            Event::Freeze(slot, calls) => {
                let Some(mut work) = self.reconciliation(&self.leader, slot) else { return };
                let objects = &self.world.objects;
                let end = objects.made() + calls;
                let stands = until(work.as_mut(), async || objects.made() >= end).await.is_none();
                if stands {
                    self.frozen.push(work);
                    self.lead(NEXT);
                }
            }
            Event::Thaw => self.thaw().await,
            Event::Rivals(slot, seed) => {
                let stores = &self.stores;
                let rival = Operator::new(&self.world.objects, &self.world.gate, stores, NEXT);
                let mine = self.reconciliation(&self.leader, slot);
                let Some((mine, its)) = mine.zip(self.reconciliation(&rival, slot)) else { return };
                let entropy = Entropy::seeded(seed);
                interleaved(mine, its, || entropy.bytes::<1>()[0] & 1 == 0).await;
            }
            Event::AnotherLeads(machine) => self.lead(machine),
            Event::Away(hours) => {
                self.pass_until(now + SignedDuration::from_hours(hours)).await;
            }
            Event::Server => self.world.store.turn_unattended_sets().await.unwrap(),
            Event::Work => {
                self.work_all().await;
            }
            _ => unreachable!("{event:?} befalls no operator"),
        }
    }

    /// The leader dies after so many writes, and another process takes its place.
    pub async fn crash(&mut self, slot: Slot, writes: u64) {
        if let Some(work) = self.reconciliation(&self.leader, slot) {
            self.world.die_after(writes, work).await;
        }
        self.lead(0);
    }

    /// Who stood still goes on: what was on the wire arrives, and nothing after it.
    pub async fn thaw(&mut self) {
        for mut work in std::mem::take(&mut self.frozen) {
            let _ = step(work.as_mut()).await;
        }
    }
}

fn annotate_client(world: &World, slot: Slot, nonce: u8) {
    let (namespace, name) = CLIENTS[slot];
    if world.objects.client(namespace, name).is_some() {
        world.objects.edit_client(namespace, name, |client| {
            client.annotations_mut().insert(names::ROTATE_SECRET.into(), nonce.to_string());
        });
    }
}

fn annotate_set(world: &World, at: usize, annotation: &str, nonce: u8) {
    if world.objects.key_set(NAMESPACE, SETS[at].0).is_some() {
        world.objects.edit_key_set(NAMESPACE, SETS[at].0, |set| {
            set.annotations_mut().insert(annotation.into(), nonce.to_string());
        });
    }
}

fn client_spec(name: &str, shape: &ClientShape) -> Value {
    let mut spec = json!({"scopes": [format!("scope-{}", shape.scopes)], "adopt": shape.adopts});
    match shape.id {
        0 => {}
        1 => spec["clientId"] = json!(name),
        _ => spec["clientId"] = json!("wanted-by-many"),
    }
    if shape.shares_secret {
        spec["secret"] = json!({"name": "shared"});
    }
    if shape.orphan {
        spec["deletionPolicy"] = json!("Orphan");
    }
    if shape.key_pair {
        spec["tokenEndpointAuthMethod"] = json!("private_key_jwt");
        spec["jwksUri"] = json!("https://app.example.com/jwks");
    } else if shape.rotation > 0 {
        let period = if shape.rotation == 1 { "720h" } else { "168h" };
        spec["secretRotation"] = json!({"period": period, "overlap": "22h"});
    }
    if let Some(hours) = shape.lifetime {
        spec["lifespans"] = json!({"clientCredentials": {"accessToken": format!("{hours}h")}});
    }
    spec
}

fn set_spec(at: usize, shape: &SetShape) -> Value {
    let (name, set) = SETS[at];
    let algorithms = [json!(["ES256"]), json!(["ES256", "ES384"]), json!(["ES384"])];
    let lead = ["2h", "24h", "72h"][usize::from(shape.lead)];
    let mut rotation = json!({"publishBefore": lead});
    match shape.period {
        0 => rotation["period"] = json!("400h"),
        1 => rotation["period"] = json!("720h"),
        _ => rotation["policy"] = json!("Manual"),
    }
    rotation["retainAfter"] = json!(["1h", "30h", "200h"][usize::from(shape.retain)]);
    let mut spec =
        json!({"set": set, "algorithms": algorithms[usize::from(shape.algorithms)], "rotation": rotation});
    // The server signs with the first one, so that cannot go.
    if shape.goes && at > 0 {
        spec["deletionPolicy"] = json!("Delete");
    }
    if shape.export > 0 {
        spec["export"] = json!({"secretName": backup(name), "privateKeys": shape.export > 1});
    }
    spec
}

/// The Secret of a set's export.
pub fn backup(set: &str) -> String {
    format!("backup-of-{set}")
}

impl Life {
    /// The keys that a set would get back if the database lost it now.
    pub fn kept(&self, at: usize) -> BTreeSet<String> {
        let (name, _) = SETS[at];
        let declared = self.world.objects.key_set(NAMESPACE, name);
        let exports = declared.is_some_and(|set| {
            set.metadata.deletion_timestamp.is_none()
                && set.spec.export.is_some_and(|export| export.private_keys)
        });
        let secret = self.world.objects.secret(NAMESPACE, &backup(name)).filter(|_| exports);
        let text = secret.and_then(|secret| crate::world::entry(&secret, names::EXPORT_KEY));
        let document: Value = text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let keys = document["keys"].as_array().cloned().unwrap_or_default();
        let readable: Vec<_> = keys.iter().filter(|key| key["x"] != "damaged").collect();
        if readable.iter().all(|key| key["d"].is_null()) {
            return BTreeSet::new();
        }
        readable.iter().filter_map(|key| key["kid"].as_str().map(str::to_owned)).collect()
    }

    /// True where a client's Secret and row outlive it.
    pub fn stays(client: &crd::OAuth2Client) -> bool {
        client.spec.deletion_policy == DeletionPolicy::Orphan
    }
}
