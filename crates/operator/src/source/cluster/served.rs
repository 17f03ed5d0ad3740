//! Waiting for the CustomResourceDefinitions.

use std::time::Duration;

use crd::{JsonWebKeySet, OAuth2Client, maester};
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::time::Instant;

use super::answer::{answer, classify, within};
use super::kind::Kind;
use super::scope::Scope;
use super::watches;

/// The pause between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// How often it is said what is waited for.
const REMINDER: Duration = Duration::from_secs(30);

/// Waits until the API server serves all kinds to us.
pub(super) async fn wait_until_served(client: &Client, scope: &Scope, with_maester: bool) {
    let mut said: Option<Instant> = None;
    while let Err(problem) = all_served(client, scope, with_maester).await {
        if said.is_none_or(|said| said.elapsed() >= REMINDER) {
            tracing::warn!("waiting for the API server: {problem}");
            said = Some(Instant::now());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn all_served(client: &Client, scope: &Scope, with_maester: bool) -> Result<(), String> {
    for namespace in scope.namespaces() {
        served::<OAuth2Client>(client, namespace.as_deref()).await?;
        served::<JsonWebKeySet>(client, namespace.as_deref()).await?;
        if with_maester {
            served::<maester::OAuth2Client>(client, namespace.as_deref()).await?;
        }
    }
    Ok(())
}

async fn served<K: Kind>(client: &Client, namespace: Option<&str>) -> Result<(), String> {
    let api: Api<K> = watches::api(client, namespace);
    let one = ListParams::default().limit(1);
    match within(api.list_metadata(&one)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Err(format!(
            "it does not serve {}.{}; install the CustomResourceDefinitions (`keywright crds`)",
            K::plural(&()),
            K::group(&())
        )),
        Ok(Err(error)) => Err(classify(error).to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// The uid of `kube-system`, which lives as long as the cluster.
pub(super) async fn uid_of_kube_system(client: &Client) -> Result<Option<String>, crate::ObjectError> {
    let api = Api::<k8s_openapi::api::core::v1::Namespace>::all(client.clone());
    Ok(answer(api.get_metadata("kube-system")).await?.metadata.uid)
}
