//! What workloads hold in a year, and who has which id.

use std::collections::BTreeMap;

use crd::{OAuth2Client, TokenEndpointAuthMethod};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use store::{ResourceRef, StoredClient};

use super::events::CLIENTS;
use super::life::Slot;
use crate::world::{CLUSTER, World, authenticates, entry};

/// How long a replaced secret works at least, however short an overlap is declared.
const OVERLAP: SignedDuration = SignedDuration::from_hours(20);
/// How long it takes until nothing is left of what happened to a secret.
const FORGOTTEN: SignedDuration = SignedDuration::from_hours(60);
/// The most secrets that ever work, whatever is done to a Secret.
const MOST: usize = 12;

#[derive(Default)]
pub struct Holders {
    /// When each value that worked was last in the Secret of a client.
    held: BTreeMap<Slot, BTreeMap<String, Timestamp>>,
    /// When something happened to a client's Secret that nobody scheduled.
    disturbed: BTreeMap<Slot, Vec<Timestamp>>,
    /// Who has an id.
    ids: BTreeMap<String, ResourceRef>,
}

/// The resource, as the database names it.
pub fn reference(client: &OAuth2Client) -> ResourceRef {
    ResourceRef {
        cluster: CLUSTER.into(),
        namespace: client.namespace().unwrap(),
        name: client.name_any(),
        uid: client.uid().unwrap(),
    }
}

/// The value in a client's Secret.
pub fn value(world: &World, client: &OAuth2Client) -> Option<String> {
    let secret = world.objects.secret(&client.namespace().unwrap(), &client.secret_name())?;
    entry(&secret, "CLIENT_SECRET")
}

impl Holders {
    /// Something happened to a client's Secret, or to a reconciliation of it.
    pub fn disturb(&mut self, slot: Slot, now: Timestamp) {
        self.disturbed.entry(slot).or_default().push(now);
    }

    /// What a client has had is of no use any more, by somebody's will.
    pub fn release(&mut self, slot: Slot) {
        self.held.remove(&slot);
    }

    /// Nobody owns an id any more, since somebody changed the database.
    pub fn forget_ids(&mut self) {
        self.ids.clear();
    }

    /// At an instant: what was to be held works on, and ids stay with those who have them.
    pub async fn look(&mut self, world: &World) {
        for (slot, (namespace, name)) in CLIENTS.iter().enumerate() {
            let client = world.objects.client(namespace, name);
            let Some(client) = client.filter(|client| client.metadata.deletion_timestamp.is_none()) else {
                self.held.remove(&slot);
                continue;
            };
            let row = world.store.read_managed_client(&reference(&client)).await.unwrap();
            self.look_at_secret(world, slot, &client, row.as_ref());
            if let Some(row) = row {
                self.look_at_id(world, &row);
            }
        }
    }

    fn look_at_secret(
        &mut self,
        world: &World,
        slot: Slot,
        client: &OAuth2Client,
        row: Option<&StoredClient>,
    ) {
        let held = self.held.entry(slot).or_default();
        if client.spec.token_endpoint_auth_method == TokenEndpointAuthMethod::PrivateKeyJwt {
            held.clear();
            return;
        }
        let now = world.now();
        held.retain(|_, seen| now < *seen + OVERLAP);
        for (value, seen) in held.iter() {
            let works = row.is_some_and(|row| authenticates(&world.store, row, value));
            let log = world.objects.log();
            assert!(
                works,
                "{}: {value} was there until {seen}, now {now}: {}\n{}",
                client.name_any(),
                world.story.borrow(),
                log[log.len().saturating_sub(20)..].join("\n")
            );
        }
        if let (Some(row), Some(value)) = (row, value(world, client))
            && authenticates(&world.store, row, &value)
        {
            held.insert(value, now);
        }
    }

    fn look_at_id(&mut self, world: &World, row: &StoredClient) {
        let Some(me) = &row.manager else { return };
        let before = self.ids.insert(row.id.to_string(), me.clone());
        if let Some(before) = before.filter(|before| !before.same_place(me)) {
            let holder = world.objects.client(&before.namespace, &before.name);
            let is_there = holder.is_some_and(|holder| holder.uid().as_ref() == Some(&before.uid));
            assert!(!is_there, "{me} took {} from {before}: {}", row.id, world.story.borrow());
        }
    }

    /// How many secrets of a client may work now.
    pub fn most_live(&mut self, slot: Slot, now: Timestamp) -> usize {
        let disturbed = self.disturbed.entry(slot).or_default();
        disturbed.retain(|at| now < *at + FORGOTTEN);
        (2 + disturbed.len()).min(MOST)
    }
}
