use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::stream::BoxStream;
use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

/// An API server that lists a Secret, cannot say what happened since, and lists none.
fn forgetful(lists: &Arc<AtomicUsize>) -> Client {
    let lists = lists.clone();
    let answer = move |request: Request<Body>| {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let listed = if query.contains("watch=") { None } else { Some(lists.fetch_add(1, Ordering::SeqCst)) };
        let list = |items: Value| {
            json!({
                "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList",
                "metadata": {"resourceVersion": "7"}, "items": items,
            })
        };
        let secret = json!({"metadata": {"name": "a", "namespace": "n", "resourceVersion": "5"}});
        let expired = json!({"type": "ERROR", "object": {
            "apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "Expired", "code": 410,
            "message": "too old resource version",
        }});
        let body = match listed {
            Some(0) => list(json!([secret])).to_string(),
            Some(_) => list(json!([])).to_string(),
            None => format!("{expired}\n"),
        };
        std::future::ready(Ok::<_, std::convert::Infallible>(Response::new(Body::from(body.into_bytes()))))
    };
    Client::new(tower::service_fn(answer), "default")
}

#[tokio::test]
async fn secrets_that_are_listed_anew_are_said_to_be() {
    let lists = Arc::<AtomicUsize>::default();
    let (relisted, mut again) = tokio::sync::mpsc::unbounded_channel();
    let fails = Arc::<AtomicBool>::default();
    let tell = move || relisted.send(()).unwrap();
    let mut secrets =
        Box::pin(labelled_secrets(&forgetful(&lists), None, names::MANAGED, fails.clone(), tell));
    let first = secrets.next().await.unwrap().unwrap();
    assert_eq!(first.name_any(), "a");
    assert!(again.try_recv().is_err(), "the first list is none anew");
    tokio::select! {
        _ = secrets.next() => panic!("there is nothing in the second list"),
        told = again.recv() => assert_eq!(told, Some(())),
    }
    assert!(lists.load(Ordering::SeqCst) >= 2);
}

/// The lists that a watch asks for, when it begins.
async fn first_list<K>(watch: impl FnOnce(&Client) -> BoxStream<'static, watcher::Result<K>>) -> String {
    let (asked, mut queries) = tokio::sync::mpsc::unbounded_channel();
    let answer = move |request: Request<Body>| {
        asked.send(request.uri().query().unwrap_or_default().to_owned()).unwrap();
        std::future::pending::<Result<Response<Body>, std::convert::Infallible>>()
    };
    let mut changes = watch(&Client::new(tower::service_fn(answer), "default"));
    tokio::select! {
        _ = changes.next() => panic!("nothing was answered"),
        query = queries.recv() => query.unwrap(),
    }
}

#[tokio::test]
async fn no_watch_begins_with_a_list_of_everything() {
    let (_, writer) = kube::runtime::reflector::store();
    let resources =
        first_list(|api| resources::<OAuth2Client>(api, None, Some("blue"), writer, |_| ()).boxed()).await;
    let secrets =
        first_list(|api| labelled_secrets(api, None, names::MANAGED, Arc::default(), || ()).boxed());
    for query in [resources, secrets.await] {
        assert!(query.split('&').any(|part| part == format!("limit={PAGE}")), "{query}");
    }
}
