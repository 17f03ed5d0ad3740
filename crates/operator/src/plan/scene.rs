//! A client, its row and its Secret, for the tables of the plans' tests.

use crd::{OAuth2Client, OAuth2ClientSpec, names};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use oauth::{ClientId, ClientSecret, Incarnation, Issuer};
use serde_json::{Value, json};
use store::{ResourceRef, SecretState, StoredClient, StoredSecret};

use super::client::{Action, Gathered, Limits, Plan, goes_with, plan, spec_hash};
use super::secret::{FoundSecret, desired, judge};
use super::{client_metadata, rotation};

/// The secret that a plan gets for the case that it needs one.
pub(crate) const FRESH: &str = "fresh-secret-26-characters";
/// The secret that stands in the Secret.
pub(crate) const STANDING: &str = "standing-secret-26-letters";

/// The present, in all scenes.
pub(crate) fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

pub(crate) fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

pub(crate) fn at(offset: i64) -> Timestamp {
    now() + hours(offset)
}

/// A service's client with a finalizer, no row and no Secret; `spec` overrides its fields.
pub(crate) fn scene(spec: Value) -> Scene {
    let mut whole = json!({"grantTypes": ["client_credentials"], "scopes": ["read"]});
    merge(&mut whole, spec);
    let spec: OAuth2ClientSpec = serde_json::from_value(whole).unwrap();
    let mut client = OAuth2Client::new("orders", spec);
    client.metadata.namespace = Some("shop".into());
    client.metadata.uid = Some("uid-1".into());
    client.metadata.generation = Some(3);
    client.metadata.finalizers = Some(vec![names::CLIENT_FINALIZER.into()]);
    let id = client.spec.client_id.clone().unwrap_or_else(|| "generated-id".into());
    Scene(Box::new(Gathered {
        me: place("orders"),
        client,
        id: ClientId::parse(id).unwrap(),
        row: None,
        secret: FoundSecret::Absent,
        matched: None,
        fresh: ClientSecret::new(FRESH),
        issuer: Issuer::parse("https://id.example.com/").unwrap(),
        subject_types: oauth::SubjectTypes::default(),
        adopts: true,
        left_behind: false,
        limits: Limits::default(),
        now: now(),
    }))
}

pub(crate) fn merge(whole: &mut Value, over: Value) {
    let Value::Object(fields) = over else { return };
    for (name, value) in fields {
        whole[name] = value;
    }
}

/// A resource of the namespace `shop`.
pub(crate) fn place(name: &str) -> ResourceRef {
    ResourceRef {
        cluster: "cluster-1".into(),
        namespace: "shop".into(),
        name: name.into(),
        uid: "uid-1".into(),
    }
}

pub(crate) struct Scene(pub Box<Gathered>);

impl Scene {
    /// With the row as creation makes it, half an hour old.
    pub(crate) fn with_row(mut self) -> Self {
        let metadata = client_metadata::of_spec(&self.0.client.spec).unwrap();
        self.0.row = Some(StoredClient {
            id: self.0.id.clone(),
            incarnation: Incarnation(7),
            epoch: 0,
            spec_hash: spec_hash(&metadata),
            metadata,
            manager: Some(self.0.me.clone()),
            deleted_with_manager: goes_with(&self.0.client),
            secrets: Vec::new(),
            secret_rotated_at: Some(now() - SignedDuration::from_mins(30)),
            handled_rotate_secret: None,
            registration_generation: 1,
            self_registered: false,
            version: 1,
            created_at: now() - SignedDuration::from_mins(30),
            updated_at: now() - SignedDuration::from_mins(30),
        });
        self
    }

    /// With one more secret in the row; it expires so many hours from now.
    pub(crate) fn secret(mut self, state: SecretState, expires: Option<i64>) -> Self {
        let secrets = &mut self.0.row.as_mut().unwrap().secrets;
        let hash = format!("hmac.1.{}{}", "A".repeat(42), ["A", "E", "I", "M", "Q"][secrets.len()]);
        secrets.push(StoredSecret { hash: hash.parse().unwrap(), state, expires_at: expires.map(at) });
        self
    }

    /// With the Secret as it is written, holding [`STANDING`]; `edit` changes it.
    pub(crate) fn found(self, edit: impl FnOnce(&mut Secret)) -> Self {
        let standing = ClientSecret::new(STANDING);
        let uses_secret = self.0.client.spec.token_endpoint_auth_method.uses_secret();
        let value = uses_secret.then_some(&standing);
        let mut object = desired(&self.0.client, &self.0.id, value, &self.0.issuer, None);
        object.metadata.resource_version = Some("1".into());
        edit(&mut object);
        self.object(object)
    }

    /// With this object where the Secret should be.
    pub(crate) fn object(mut self, object: Secret) -> Self {
        self.0.secret = judge(&self.0.client, Some(object));
        self
    }

    pub(crate) fn matched(mut self, state: SecretState) -> Self {
        self.0.matched = Some(state);
        self
    }

    /// A client that is as declared: a row, a current secret, and the Secret that holds it.
    pub(crate) fn settled(self) -> Self {
        if !self.0.client.spec.token_endpoint_auth_method.uses_secret() {
            return self.with_row().found(|_| {});
        }
        self.with_row().secret(SecretState::Current, None).found(|_| {}).matched(SecretState::Current)
    }

    /// With another spec than the one that was applied.
    pub(crate) fn respec(mut self, edit: impl FnOnce(&mut OAuth2ClientSpec)) -> Self {
        edit(&mut self.0.client.spec);
        if let FoundSecret::Usable(found) = &self.0.secret {
            let object = found.object.0.clone();
            return self.object(object);
        }
        self
    }

    pub(crate) fn edit(mut self, edit: impl FnOnce(&mut Gathered)) -> Self {
        edit(&mut self.0);
        self
    }

    pub(crate) fn deleted(self) -> Self {
        self.edit(|scene| scene.client.metadata.deletion_timestamp = Some(Time(now())))
    }

    pub(crate) fn annotated(self, request: &str) -> Self {
        self.edit(|scene| {
            let annotations = scene.client.metadata.annotations.get_or_insert_default();
            annotations.insert(names::ROTATE_SECRET.into(), request.into());
        })
    }

    pub(crate) fn plan(&self) -> Plan {
        plan(&self.0)
    }

    /// What is to be done, in words.
    pub(crate) fn actions(&self) -> Vec<String> {
        self.plan().actions.iter().map(words).collect()
    }

    pub(crate) fn replaceable_at(&self) -> Option<Timestamp> {
        rotation::replaceable_at(self.0.row.as_ref().unwrap(), self.0.now)
    }
}

/// The entries of a Secret, in words: `CLIENT_ID=orders CLIENT_SECRET=fresh`.
fn entries(secret: &Secret) -> String {
    let data = secret.data.iter().flatten();
    let entry = |(name, value): (&String, &k8s_openapi::ByteString)| {
        let value = String::from_utf8_lossy(&value.0).into_owned();
        format!("{name}={}", value_name(&value))
    };
    data.map(entry).collect::<Vec<_>>().join(" ")
}

fn value_name(value: &str) -> &str {
    match value {
        FRESH => "fresh",
        STANDING => "standing",
        other => other,
    }
}

fn words(action: &Action) -> String {
    let name = |secret: &ClientSecret| value_name(secret.expose()).to_owned();
    match action {
        Action::AddFinalizer => "add finalizer".into(),
        Action::RemoveFinalizer => "remove finalizer".into(),
        Action::WriteSecret(secret) => {
            let owned = if secret.0.owner_references().is_empty() { "" } else { ", owned" };
            format!("write {}{owned}", entries(&secret.0))
        }
        Action::CreateRow { secret, .. } => {
            format!("create row with {}", secret.as_ref().map_or_else(|| "no secret".into(), name))
        }
        Action::UpdateRow(_) => "update row".into(),
        Action::AdoptRow(_) => "adopt row".into(),
        Action::RecordDeletion { with_manager } => {
            if *with_manager {
                "record: goes".into()
            } else {
                "record: stays".into()
            }
        }
        Action::SetPending(secret) => format!("pending {}", name(secret)),
        Action::Promote { previous_expires_at } => {
            format!("promote, former +{}h", previous_expires_at.duration_since(now()).as_hours())
        }
        Action::RemoveSecrets => "remove secrets".into(),
        Action::DeleteRow => "delete row".into(),
        Action::DeleteUnclaimedRow => "delete unclaimed row".into(),
        Action::Publish(event) => {
            format!("tell {}{}", event.reason, if event.warning { "!" } else { "" })
        }
    }
}
