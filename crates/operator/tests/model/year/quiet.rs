//! What holds whenever it is quiet.

use crd::{OAuth2Client, Reason, TokenEndpointAuthMethod};
use kube::ResourceExt;
use oauth::ClientId;
use operator::Outcome;

use super::clients::{reference, value};
use super::events::{CLIENTS, SETS};
use super::life::Life;
use crate::world::{CLUSTER, NAMESPACE, World, authenticates, entry};

/// How often all resources are looked at until nothing is left to do.
const PASSES: usize = 12;

impl Life {
    /// Waits until it is quiet, and checks what then holds.
    pub async fn quiet(&mut self) {
        self.thaw().await;
        self.world.objects.collect_garbage();
        for slot in 0..CLIENTS.len() {
            self.suspend_client(slot, false);
        }
        for at in 0..SETS.len() {
            self.suspend_set(at, false);
        }
        self.come_to_rest().await;
        if self.world.objects.clients().iter().any(|client| ready(client).1.contains("changes too often")) {
            self.live(30).await;
            self.come_to_rest().await;
        }
        // So that no row is too young to be swept.
        self.world.advance(1);
        self.sweep().await;
        self.come_to_rest().await;
        let before = self.world.writes().await;
        self.lead(0);
        let outcomes = self.work_all().await;
        let log = self.world.objects.log();
        assert_eq!(
            self.world.writes().await,
            before,
            "a converged plan does nothing: {}\n{}\n{outcomes:?}",
            self.world.story.borrow(),
            log[log.len().saturating_sub(10)..].join("\n")
        );
        for slot in 0..CLIENTS.len() {
            self.check_client(slot).await;
        }
        self.check_sets().await;
        self.check_leaks().await;
    }

    async fn come_to_rest(&mut self) {
        for _ in 0..PASSES {
            let before = self.world.writes().await;
            let outcomes = self.work_all().await;
            let failed =
                outcomes.iter().any(|outcome| matches!(outcome, Outcome::Failed { .. } | Outcome::Raced));
            if self.world.writes().await == before && !failed {
                return;
            }
        }
        let log = self.world.objects.log();
        panic!(
            "it does not come to rest: {}\n{}",
            self.world.story.borrow(),
            log[log.len().saturating_sub(40)..].join("\n")
        );
    }

    async fn check_client(&mut self, slot: usize) {
        let world = &self.world;
        let (namespace, name) = CLIENTS[slot];
        let Some(client) = world.objects.client(namespace, name) else { return };
        let (reason, message) = ready(&client);
        let story = || format!("{name} {reason:?} {message}: {}", world.story.borrow());
        assert!(client.metadata.deletion_timestamp.is_none(), "{}", story());
        match reason {
            Some(Reason::Synced) => {
                let row = world.store.read_managed_client(&reference(&client)).await.unwrap();
                let row = row.unwrap_or_else(|| panic!("{}", story()));
                assert_eq!(row.metadata.scope.to_string(), client.spec.scopes.join(" "), "{}", story());
                assert_eq!(row.deleted_with_manager, !Self::stays(&client), "{}", story());
                let status = client.status.clone().unwrap();
                assert_eq!(status.client_id.as_deref(), Some(row.id.as_str()), "{}", story());
                let object = world.objects.secret(namespace, &client.secret_name());
                let object = object.unwrap_or_else(|| panic!("{}", story()));
                assert_eq!(entry(&object, "CLIENT_ID").as_deref(), Some(row.id.as_str()), "{}", story());
                let owned = !object.owner_references().is_empty();
                assert_eq!(owned, !Self::stays(&client), "{}", story());
                let now = world.now();
                let live = row.secrets.iter().filter(|s| s.expires_at.is_none_or(|at| now < at)).count();
                if client.spec.token_endpoint_auth_method == TokenEndpointAuthMethod::PrivateKeyJwt {
                    assert_eq!(live, 0, "{}", story());
                } else {
                    let value = value(world, &client).unwrap_or_else(|| panic!("{}", story()));
                    assert!(authenticates(&world.store, &row, &value), "{}", story());
                    let most = self.holders.most_live(slot, now);
                    assert!(live <= most, "{live} of {most} secrets: {}", story());
                }
            }
            Some(Reason::ClientIdConflict) => {
                let holder = holder(world, &client).await.unwrap_or_else(|| panic!("{}", story()));
                assert!(!holder.same_place(&reference(&client)), "{}", story());
                let row_stays = world.objects.client(&holder.namespace, &holder.name).is_none();
                let may = client.spec.adopt && namespace == NAMESPACE;
                assert!(!row_stays || (!may && self.was_left(&client).await), "{}", story());
            }
            Some(Reason::AdoptionRefused) => {
                let may = client.spec.adopt && namespace == NAMESPACE;
                assert!(!may && holder(world, &client).await.is_none(), "{}", story());
            }
            Some(Reason::SecretConflict) => {
                let object = world.objects.secret(namespace, &client.secret_name());
                let object = object.unwrap_or_else(|| panic!("{}", story()));
                let written_for = object.annotations().get("keywright.dev/written-for");
                assert_ne!(written_for.map(String::as_str), Some(name), "{}", story());
            }
            _ => panic!("{}", story()),
        }
    }

    /// True where the id that a client wants is of a row that its former resource left behind, as it had declared.
    async fn was_left(&self, client: &OAuth2Client) -> bool {
        let id = ClientId::parse(client.spec.client_id.clone().unwrap()).unwrap();
        self.world.store.read_client(&id).await.unwrap().is_some_and(|row| !row.deleted_with_manager)
    }

    async fn check_sets(&self) {
        let world = &self.world;
        for (name, set) in SETS {
            let Some(resource) = world.objects.key_set(NAMESPACE, name) else { continue };
            let status =
                resource.status.clone().unwrap_or_else(|| panic!("{name}: {}", world.story.borrow()));
            let told = status.conditions[0].reason.clone();
            let story =
                || format!("{name} {told} {}: {}", status.conditions[0].message, world.story.borrow());
            assert!(resource.metadata.deletion_timestamp.is_none(), "{}", story());
            let row = world.store.read_key_set(set).await.unwrap().unwrap_or_else(|| panic!("{}", story()));
            let manager = row.manager.clone().unwrap_or_else(|| panic!("{}", story()));
            if manager.name != name {
                assert_eq!(told, Reason::SetConflict, "{}", story());
                continue;
            }
            // A key that is to hand over earlier than it was, or than anybody was there, does so after the lead.
            assert!(matches!(told, Reason::Synced | Reason::RotationOverdue), "{}", story());
            let mut told: Vec<_> = status.keys.iter().map(|key| key.kid.clone()).collect();
            let mut kids: Vec<_> = row.key_ids().map(ToString::to_string).collect();
            told.sort();
            kids.sort();
            assert_eq!(told, kids, "{}", world.story.borrow());
            let compromised = &resource.spec.revoked_key_ids;
            assert!(!kids.iter().any(|kid| compromised.contains(kid)), "{}", world.story.borrow());
            if resource.spec.export.as_ref().is_some_and(|export| export.private_keys) {
                let at = SETS.iter().position(|(other, _)| *other == name).unwrap();
                assert!(kids.iter().all(|kid| self.kept(at).contains(kid)), "{}", world.story.borrow());
            }
        }
    }

    /// No row and no Secret is left of what is gone, unless that was declared.
    async fn check_leaks(&self) {
        let world = &self.world;
        world.objects.collect_garbage();
        let mut rows = world.store.managed_clients(CLUSTER).await.unwrap();
        rows.extend(world.store.managed_key_sets(CLUSTER).await.unwrap());
        for row in rows.iter().filter(|row| row.deleted_with_manager) {
            assert!(self.is_there(row), "{row:?}: {}", world.story.borrow());
        }
        let uids: Vec<_> = world.objects.clients().iter().filter_map(ResourceExt::uid).collect();
        let sets: Vec<_> = world.objects.key_sets().iter().filter_map(ResourceExt::uid).collect();
        for secret in world.objects.secrets() {
            for owner in secret.owner_references() {
                let lives = uids.contains(&owner.uid) || sets.contains(&owner.uid);
                assert!(lives, "{} is {owner:?}'s: {}", secret.name_any(), world.story.borrow());
            }
        }
    }
}

fn ready(client: &OAuth2Client) -> (Option<Reason>, String) {
    let status = client.status.clone().unwrap_or_default();
    let ready = status.condition(&crd::ConditionType::Ready).cloned();
    ready.map_or((None, String::new()), |ready| (Some(ready.reason), ready.message))
}

/// Who has the id that a client wants.
async fn holder(world: &World, client: &OAuth2Client) -> Option<store::ResourceRef> {
    let id = client.spec.client_id.clone()?;
    let row = world.store.read_client(&ClientId::parse(id).unwrap()).await.unwrap()?;
    row.manager
}
