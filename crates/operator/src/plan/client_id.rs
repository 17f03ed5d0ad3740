//! Whose an id is under which there is no client yet.

use crd::OAuth2Client;
use kube::ResourceExt;
use oauth::ClientId;
use uuid::Uuid;

/// The id that is derived from a resource's uid, where nobody chooses one.
pub fn derived(uid: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, uid.as_bytes()).to_string()
}

/// True for an id of the form that is derived where nobody chooses one.
pub fn is_generated(id: &ClientId) -> bool {
    Uuid::parse_str(id.as_str()).is_ok_and(|uuid| uuid.to_string() == id.as_str())
}

/// True for an id that nobody but this resource may have had: its status tells that it did, or the id is derived from its
/// uid, or begins with its namespace and a dot, which no namespace has in its name.
pub fn is_own(id: &ClientId, client: &OAuth2Client) -> bool {
    let recorded = client.status.as_ref().and_then(|status| status.client_id.as_deref());
    let namespace = client.namespace().unwrap_or_default();
    recorded == Some(id.as_str())
        || client.uid().is_some_and(|uid| derived(&uid) == id.as_str())
        || id.as_str().strip_prefix(&*namespace).is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use crd::OAuth2ClientStatus;

    use super::*;

    #[test]
    fn an_id_is_a_resources_own_by_its_status_its_uid_or_its_namespace() {
        let mut client = OAuth2Client::new("orders", serde_json::from_str("{}").unwrap());
        client.metadata.namespace = Some("shop".into());
        client.metadata.uid = Some("uid-1".into());
        let (mine, anothers) = (derived("uid-1"), derived("uid-2"));
        for (id, recorded, own) in [
            (&*mine, None, true),
            (&*anothers, None, false),
            (&*anothers, Some(&*anothers), true),
            (&*anothers, Some("orders"), false),
            ("orders", Some("orders"), true),
            ("orders", None, false),
            ("shop.orders", None, true),
            ("shop", None, false),
            ("shopping.orders", None, false),
            ("shop-orders", None, false),
        ] {
            client.status = recorded.map(|id: &str| OAuth2ClientStatus {
                client_id: Some(id.into()),
                ..OAuth2ClientStatus::default()
            });
            let parsed = ClientId::parse(id).unwrap();
            assert_eq!(is_own(&parsed, &client), own, "{id} {recorded:?}");
            assert_eq!(is_generated(&parsed), id == mine || id == anothers, "{id}");
        }
        (client.metadata.namespace, client.metadata.uid) = (None, None);
        assert!(!is_own(&ClientId::parse(anothers).unwrap(), &client));
    }
}
