//! What makes the operator work, one thing at a time, and how all stands when it has done so.

use crd::{OAuth2ClientSpec, TokenEndpointAuthMethod, names};
use oauth::ClientId;
use serde_json::{Value, json};

use crate::world::{NAMESPACE, World, entry, secret_name, set, somebodys};

/// What happens to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Creation,
    CreationOfAReference,
    RotationByPeriod,
    RotationOnRequest,
    SecretDeleted,
    SecretTampered,
    IdTampered,
    EntryRenamed,
    Edit,
    ToKeyPair,
    ToSecret,
    ToOrphan,
    ReferenceChanged,
    ReferenceCameBack,
    RowLost,
    RowAndStatusLost,
    Deletion,
}

pub const CREATIONS: &[Change] = &[Change::Creation, Change::CreationOfAReference];
pub const ROTATIONS: &[Change] = &[Change::RotationByPeriod, Change::RotationOnRequest];
pub const DAMAGES: &[Change] = &[
    Change::SecretDeleted,
    Change::SecretTampered,
    Change::IdTampered,
    Change::RowLost,
    Change::RowAndStatusLost,
];
pub const EDITS: &[Change] = &[Change::EntryRenamed, Change::Edit, Change::ToOrphan];
pub const METHODS: &[Change] = &[Change::ToKeyPair, Change::ToSecret];
pub const REFERENCES: &[Change] = &[Change::ReferenceChanged, Change::ReferenceCameBack];
pub const DELETIONS: &[Change] = &[Change::Deletion];

/// All that can happen.
pub fn all() -> Vec<Change> {
    [CREATIONS, ROTATIONS, DAMAGES, EDITS, METHODS, REFERENCES, DELETIONS].concat()
}

const TAMPERED: &str = "tampered-with";
const FIRST: &str = "the-first-referenced-value";
const SECOND: &str = "another-referenced-value";

/// One client to which one thing happens.
pub struct Case<'a> {
    pub world: &'a World,
    pub name: String,
    change: Change,
    /// The id that it has before, where it exists before.
    id: Option<ClientId>,
}

impl Change {
    fn refers(self) -> bool {
        matches!(self, Self::CreationOfAReference | Self::ReferenceChanged | Self::ReferenceCameBack)
    }

    fn is_creation(self) -> bool {
        matches!(self, Self::Creation | Self::CreationOfAReference)
    }

    fn spec(self, name: &str) -> Value {
        match self {
            _ if self.refers() => {
                json!({"clientId": name, "secret": {"source": "Reference", "name": secret_name(name)}})
            }
            Self::RotationByPeriod => json!({"secretRotation": {"period": "48h", "overlap": "2h"}}),
            Self::ToSecret => {
                json!({"tokenEndpointAuthMethod": "private_key_jwt", "jwksUri": "https://a/jwks"})
            }
            _ => json!({}),
        }
    }

    /// How many secrets may work at once in the end, after so many attempts that failed.
    fn most_live(self, failures: usize) -> usize {
        match self {
            Self::ToKeyPair => 0,
            // Nobody knows whether what an attempt left behind was in the Secret before that was deleted or changed.
            Self::SecretDeleted | Self::SecretTampered | Self::EntryRenamed => 2 + failures,
            Self::ToSecret => 1 + failures,
            // The value that came back works under its former hash too.
            Self::ReferenceCameBack => 3,
            _ => 2,
        }
    }

    /// The events that may be told of it, each once.
    fn events(self) -> &'static [&'static str] {
        match self {
            Self::Creation | Self::CreationOfAReference | Self::RowLost | Self::RowAndStatusLost => {
                &["Created"]
            }
            Self::RotationByPeriod
            | Self::RotationOnRequest
            | Self::ReferenceChanged
            | Self::ReferenceCameBack
            | Self::EntryRenamed => &["SecretRotated"],
            // Whoever finishes what another one began knows that there is a new secret, but not why.
            Self::SecretDeleted => &["SecretRecreated", "SecretRotated"],
            Self::SecretTampered => &["SecretTampered", "SecretRotated"],
            Self::ToSecret => &["SecretCreated", "SecretRotated", "Updated"],
            Self::Edit | Self::ToKeyPair => &["Updated"],
            Self::IdTampered | Self::ToOrphan | Self::Deletion => &[],
        }
    }
}

impl<'a> Case<'a> {
    /// A client as it is before, and then what happens to it.
    pub async fn new(world: &'a World, change: Change, name: String) -> Self {
        world.story.replace(format!("{change:?} {name}"));
        let mut case = Self { world, name, change, id: None };
        if change.refers() {
            case.put_reference(FIRST);
        }
        world.declare(&case.name, change.spec(&case.name));
        if !change.is_creation() {
            world.ready(&case.name).await;
            if change == Change::ReferenceCameBack {
                case.put_reference(SECOND);
                world.ready(&case.name).await;
            }
            case.id = Some(world.id(&case.name));
            world.advance(1);
        }
        world.objects.forget_events();
        case.happen().await;
        case
    }

    async fn happen(&self) {
        let Self { world, name, .. } = self;
        let secret = secret_name(name);
        match self.change {
            Change::Creation | Change::CreationOfAReference => {}
            Change::RotationByPeriod => world.advance(48),
            Change::RotationOnRequest => world.objects.edit_client(NAMESPACE, name, |client| {
                let annotations = client.metadata.annotations.get_or_insert_default();
                annotations.insert(names::ROTATE_SECRET.into(), "monday".into());
            }),
            Change::SecretDeleted => world.objects.delete_secret(NAMESPACE, &secret),
            Change::SecretTampered => {
                world
                    .objects
                    .edit_secret(NAMESPACE, &secret, |s| set(s, "CLIENT_SECRET", TAMPERED.as_bytes()));
            }
            Change::IdTampered => {
                world.objects.edit_secret(NAMESPACE, &secret, |secret| set(secret, "CLIENT_ID", b"payments"));
            }
            Change::EntryRenamed => self.edit(|spec| spec.secret.keys.client_secret = "password".into()),
            Change::Edit => self.edit(|spec| spec.scopes = vec!["write".into()]),
            Change::ToKeyPair => self.edit(|spec| {
                spec.token_endpoint_auth_method = TokenEndpointAuthMethod::PrivateKeyJwt;
                spec.jwks_uri = Some("https://a/jwks".into());
            }),
            Change::ToSecret => {
                self.edit(|spec| spec.token_endpoint_auth_method = TokenEndpointAuthMethod::ClientSecretPost);
            }
            Change::ToOrphan => self.edit(|spec| spec.deletion_policy = crd::DeletionPolicy::Orphan),
            Change::ReferenceChanged => self.put_reference(SECOND),
            Change::ReferenceCameBack => self.put_reference(FIRST),
            Change::RowLost | Change::RowAndStatusLost => self.lose_row().await,
            Change::Deletion => world.objects.delete(NAMESPACE, name, world.now()),
        }
    }

    async fn lose_row(&self) {
        let Self { world, name, .. } = self;
        let id = world.id(name);
        world.sql(&format!("DELETE FROM client_secrets WHERE client_id = '{id}'")).await;
        world.sql(&format!("DELETE FROM clients WHERE id = '{id}'")).await;
        if self.change == Change::RowAndStatusLost {
            world.objects.edit_client(NAMESPACE, name, |client| client.status = None);
        }
    }

    fn edit(&self, edit: impl FnOnce(&mut OAuth2ClientSpec)) {
        self.world.objects.edit_client(NAMESPACE, &self.name, |client| {
            edit(&mut client.spec);
            client.metadata.generation = client.metadata.generation.map(|generation| generation + 1);
        });
    }

    fn put_reference(&self, value: &str) {
        let entries = [("CLIENT_ID", &*self.name), ("CLIENT_SECRET", value)];
        self.world.objects.put_secret(somebodys(&secret_name(&self.name), names::SECRET_OPT_IN, &entries));
    }

    /// Settles after so many attempts that failed, and checks all that holds in the end.
    pub async fn check(&self, failures: usize) {
        let Self { world, name, change, .. } = self;
        if *change == Change::Deletion {
            world.settle(name).await;
            return self.check_gone().await;
        }
        world.ready(name).await;
        if let Some(id) = &self.id {
            assert_eq!(world.id(name), *id, "{}", world.story.borrow());
        }
        self.check_events();
        self.check_credentials().await;
        let live = world.live(name).await;
        assert!(live <= change.most_live(failures), "{live} secrets: {}", world.story.borrow());
        self.check_after_the_overlap().await;
    }

    async fn check_gone(&self) {
        let Self { world, name, .. } = self;
        let id = self.id.as_ref().unwrap();
        assert!(world.client(name).is_none(), "{}", world.story.borrow());
        assert!(world.secret(name).is_none(), "{}", world.story.borrow());
        assert!(world.store.read_client(id).await.unwrap().is_none(), "{}", world.story.borrow());
    }

    /// Nothing is told twice, and nothing that is not so.
    fn check_events(&self) {
        let mut told = self.world.objects.reasons(&self.name);
        let allowed = self.change.events();
        assert!(
            told.iter().all(|reason| allowed.contains(&&**reason)),
            "{told:?}: {}",
            self.world.story.borrow()
        );
        let count = told.len();
        told.sort();
        told.dedup();
        assert_eq!(told.len(), count, "{told:?}: {}", self.world.story.borrow());
    }

    /// The Secret says what works, and what it ever said works on.
    async fn check_credentials(&self) {
        let Self { world, name, change, .. } = self;
        let secret = world.secret(name).unwrap();
        let id = world.id(name);
        assert_eq!(entry(&secret, "CLIENT_ID").as_deref(), Some(id.as_str()), "{}", world.story.borrow());
        let key = if *change == Change::EntryRenamed { "password" } else { "CLIENT_SECRET" };
        let entries = secret.data.as_ref().map_or(0, std::collections::BTreeMap::len);
        if *change == Change::ToKeyPair {
            assert_eq!(entries, 1, "{}", world.story.borrow());
        } else {
            assert_eq!(entries, 2, "{}", world.story.borrow());
            let value = entry(&secret, key).unwrap();
            assert!(world.authenticates(name, &value).await, "{}", world.story.borrow());
        }
        for value in world.objects.values(&secret_name(name)) {
            let works = world.authenticates(name, &value).await;
            let should = *change != Change::ToKeyPair && value != TAMPERED;
            assert_eq!(works, should, "{value}: {}", world.story.borrow());
        }
    }

    /// What was replaced ceases to work, and what replaced it does not.
    async fn check_after_the_overlap(&self) {
        let Self { world, name, change, .. } = self;
        world.advance(25);
        world.ready(name).await;
        let live = world.live(name).await;
        let expected = usize::from(*change != Change::ToKeyPair);
        assert_eq!(live - world.pending(name).await, expected, "{}", world.story.borrow());
        if let Some(value) = world.value(name).filter(|_| *change != Change::ToKeyPair) {
            assert!(world.authenticates(name, &value).await, "{}", world.story.borrow());
        }
    }
}
