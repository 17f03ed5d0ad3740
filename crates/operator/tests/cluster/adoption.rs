//! Scenario 17: clients that exist, and that no resource owns.

use crd::{OAuth2Client, Reason};
use kube::ResourceExt;
use oauth::{ClientId, ClientMetadata, ClientSecret};
use serde_json::{Value, json};

use crate::resource::{Handle, Kind};
use crate::unmanaged::{INCARNATION, register};
use crate::world::World;

impl World {
    /// A client of the admin API, with a secret and perhaps an `owner`.
    async fn unowned(&self, name: &str, owner: Option<&str>) -> (ClientId, ClientSecret) {
        let (id, secret) = (self.chosen(name), ClientSecret::generate(self.store.entropy()));
        let metadata: ClientMetadata =
            serde_json::from_value(json!({"grant_types": ["client_credentials"], "scope": "read"})).unwrap();
        register(&self.store, &id, owner, metadata, &secret).await;
        (id, secret)
    }

    fn chosen(&self, name: &str) -> ClientId {
        ClientId::parse(format!("{}-{name}", self.namespace)).unwrap()
    }

    /// What declares a client of this id.
    fn claim(&self, id: &ClientId, more: &Value) -> Value {
        let mut spec = json!({
            "grantTypes": ["client_credentials"], "scopes": ["read"], "clientId": id.as_str(),
            "instance": self.namespace,
        });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_takes_a_client_over_who_does_not_say_so_or_may_not() {
    let world = World::on_postgres().await;
    let tenant = world.cluster.namespace().await;
    world.start().await;
    let theirs = world.unowned("theirs", Some("somebody")).await;
    let before = world.row(&theirs.0).await.unwrap();

    let unasked = world.oac("unasked");
    unasked.create(world.claim(&theirs.0, &json!({}))).await;
    unasked.stands(Reason::AdoptionRefused).await;
    // A tenant who names an id that is known, from a namespace where that is not heard.
    let squatter: Handle<'_, OAuth2Client> = Handle::new(&world, &tenant, "squatter");
    squatter.create(world.claim(&theirs.0, &json!({"adopt": true}))).await;
    squatter.stands(Reason::AdoptionRefused).await;
    // Nor does it help to be called as an owner of another namespace is.
    let named = world.unowned("named", Some(&format!("orders/{}", world.namespace))).await;
    let namesake: Handle<'_, OAuth2Client> = Handle::new(&world, &tenant, "orders");
    namesake.create(world.claim(&named.0, &json!({}))).await;
    namesake.stands(Reason::AdoptionRefused).await;
    for credentials in [&theirs, &named] {
        assert!(world.lets_in(credentials).await);
        assert!(world.row(&credentials.0).await.unwrap().manager.is_none());
    }
    let after = world.row(&theirs.0).await.unwrap();
    assert_eq!((after.version, after.metadata), (before.version, before.metadata), "nothing was written");
    assert!(world.secret("unasked-oauth2-client").await.is_none());

    // The deletion of who was refused takes nothing along.
    for refused in [&squatter, &namesake, &unasked] {
        refused.delete().await;
        refused.gone().await;
    }
    assert!(world.lets_in(&theirs).await && world.lets_in(&named).await);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_and_says_so_takes_a_client_over_and_its_former_secret_works_for_a_while() {
    let world = World::on_postgres().await;
    world.start().await;
    let asked = world.unowned("asked", None).await;
    let named = world.unowned("named", Some(&format!("orders/{}", world.namespace))).await;
    world.oac("asked").create(world.claim(&asked.0, &json!({"adopt": true}))).await;
    // As Hydra Maester says whose it is.
    let owner = json!({"owner": format!("orders/{}", world.namespace)});
    world.oac("orders").create(world.claim(&named.0, &owner)).await;
    for (name, former) in [("asked", &asked), ("orders", &named)] {
        let client = world.oac(name).ready().await;
        let row = world.row(&former.0).await.unwrap();
        assert_eq!(row.incarnation, INCARNATION, "tokens live on");
        assert_eq!(row.manager.unwrap().uid, client.uid().unwrap());
        let credentials = world.credentials(&client).await;
        assert_eq!(credentials.0, former.0);
        assert!(world.lets_in(&credentials).await && world.lets_in(former).await);
        assert!(client.is_ready());
        let told = world.oac(name).events().await;
        assert!(told.iter().any(|(reason, _)| reason == "Adopted"), "{told:?}");
    }
    world.advance(jiff::SignedDuration::from_hours(25));
    assert!(!world.lets_in(&asked).await, "the overlap is over");
    world.finish().await;
}
