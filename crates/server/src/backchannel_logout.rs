//! Telling clients of logouts (OpenID Connect Back-Channel Logout §2.5 to §2.8).
//!
//! Who is to be told lies in the database since the login ended. Any server takes what is due, a few at a time; what one
//! took and did not settle comes back to all. A host that is slow gets few requests at once, and its clients are passed
//! over until it has answered, so that it holds up nobody else.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use oauth::{Client, ClientId, LogoutUri};
use store::DueLogout;
use tokio::sync::Semaphore;
use tokio::task::{Id, JoinSet};
use tokio::time::sleep;

use crate::authorization_times::after;
use crate::error::Failure;
use crate::outbound::{Account, OutboundBody};
use crate::{Server, issue};

/// How many clients are told at once: fewer than there are places for all that the server asks of others.
const UNDER_WAY: usize = 48;

/// How many requests one host gets at once.
const AT_ONE_HOST: usize = 4;

/// How many are taken for one host, those that wait for it included.
const FOR_ONE_HOST: usize = 2 * AT_ONE_HOST;

/// How many are taken by one statement.
const BITE: usize = 4;

/// How often a server looks for what another one left, and what is to be tried again.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The wait after the first failure, and the longest one.
const RETRY_AFTER: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// How much of a client's answer is read. Only its status counts.
const ANSWER_LIMIT: usize = 64 * 1024;

/// What became of an attempt.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Told,
    /// The client does not want to be told, whatever is tried.
    Refused(StatusCode),
    Failed(String),
}

/// What is under way.
struct Deliveries {
    server: Server,
    tasks: JoinSet<()>,
    /// To which host each task goes.
    targets: HashMap<Id, String>,
    hosts: HashMap<String, Host>,
}

/// A host to which something is under way.
struct Host {
    places: Arc<Semaphore>,
    /// How many tasks go to it.
    load: usize,
    clients: HashSet<ClientId>,
}

impl Server {
    /// Tells clients of logouts for ever: at once where this server ended the login.
    pub(crate) async fn tell_clients(&self) {
        let mut deliveries = Deliveries {
            server: self.clone(),
            tasks: JoinSet::new(),
            targets: HashMap::new(),
            hosts: HashMap::new(),
        };
        loop {
            if deliveries.begin_some().await {
                continue;
            }
            tokio::select! {
                () = self.logout_queue().notified() => {}
                Some(ended) = deliveries.tasks.join_next_with_id() => {
                    deliveries.end(ended.map_or_else(|error| error.id(), |(id, ())| id));
                }
                () = sleep(self.about(LOOK_EVERY)) => {}
            }
        }
    }
}

impl Deliveries {
    /// Begins with some of what is due. True where more may be.
    async fn begin_some(&mut self) -> bool {
        let limit = BITE.min(UNDER_WAY.saturating_sub(self.tasks.len()));
        if limit == 0 {
            return false;
        }
        let busy = self.hosts.values().filter(|host| host.load >= AT_ONE_HOST);
        let busy: Vec<_> = busy.flat_map(|host| host.clients.iter().cloned()).collect();
        let claimed = self.server.store().claim_logouts(i64::try_from(limit).unwrap_or(1), &busy).await;
        let due = claimed.unwrap_or_else(|error| {
            tracing::warn!(%error, "clients cannot be told of logouts; trying again");
            Vec::new()
        });
        let is_full = due.len() == limit;
        for due in due {
            let client = due.client_id.clone();
            if let Err(error) = self.begin(due).await {
                // It comes back when the attempt has run out.
                tracing::warn!(client_id = %client, %error, "a client could not be told of a logout; trying again");
            }
        }
        is_full
    }

    async fn begin(&mut self, due: DueLogout) -> Result<(), store::Error> {
        let store = self.server.store();
        let client = store.client(&due.client_id).await?;
        let client = client.filter(|client| client.incarnation == due.incarnation);
        let Some((client, uri)) = client.and_then(|client| {
            let uri = client.metadata.backchannel_logout_uri.clone()?;
            Some((client, uri))
        }) else {
            return store.settle_logout(&due).await;
        };
        let name = uri.url().host_str().unwrap_or_default().to_owned();
        let host = self.hosts.entry(name.clone()).or_insert_with(Host::new);
        host.clients.insert(due.client_id.clone());
        if host.load >= FOR_ONE_HOST {
            // Many clients share it.
            return store.postpone_logout(&due, due.attempts - 1, after(self.server.now(), LOOK_EVERY)).await;
        }
        host.load += 1;
        let (server, places) = (self.server.current(), host.places.clone());
        let task = self.tasks.spawn(async move {
            // It is never closed; without a place the request goes all the same.
            let _place = places.acquire().await.ok();
            deliver(&server, &client, &uri, &due).await;
        });
        self.targets.insert(task.id(), name);
        Ok(())
    }

    fn end(&mut self, task: Id) {
        let Some(name) = self.targets.remove(&task) else { return };
        if let Some(host) = self.hosts.get_mut(&name) {
            host.load -= 1;
            if host.load == 0 {
                self.hosts.remove(&name);
            }
        }
    }
}

impl Host {
    fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONE_HOST)), load: 0, clients: HashSet::new() }
    }
}

/// Tells a client once, and writes down what became of it.
async fn deliver(server: &Server, client: &Client, uri: &LogoutUri, due: &DueLogout) {
    let outcome = attempt(server, client, uri, due).await.unwrap_or_else(|failure| {
        // The server's own trouble, which passes.
        Outcome::Failed(failure.to_string())
    });
    let (store, client_id, attempts) = (server.store(), &client.id, due.attempts);
    let next = after(server.now(), delay(attempts));
    let (label, settled) = match outcome {
        Outcome::Told => ("told", store.settle_logout(due).await),
        Outcome::Refused(status) => {
            tracing::warn!(%client_id, %status, "a client refuses to be told of a logout");
            ("refused", store.settle_logout(due).await)
        }
        Outcome::Failed(why) if next >= due.expires_at => {
            tracing::warn!(%client_id, attempts, why, "a client was not told of a logout; giving up");
            ("given_up", store.settle_logout(due).await)
        }
        Outcome::Failed(why) => {
            tracing::warn!(%client_id, attempts, why, "a client could not be told of a logout; trying again");
            ("failed", store.postpone_logout(due, attempts, next).await)
        }
    };
    server.metrics().backchannel_logout(label);
    if let Err(error) = settled {
        tracing::warn!(%client_id, %error, "a client is told of a logout once more");
    }
}

async fn attempt(
    server: &Server,
    client: &Client,
    uri: &LogoutUri,
    due: &DueLogout,
) -> Result<Outcome, Failure> {
    let token = issue::logout_token(server, client, (due.session_id, &due.subject)).await?;
    let form = form_urlencoded::Serializer::new(String::new()).append_pair("logout_token", &token).finish();
    let body = OutboundBody { content_type: "application/x-www-form-urlencoded", bytes: Bytes::from(form) };
    let message = (HeaderMap::new(), body);
    match server.outbound().post(Account::of(client), &uri.url(), message, ANSWER_LIMIT).await {
        Ok(answer) => Ok(outcome_of(answer.status)),
        Err(error) => Ok(Outcome::Failed(error.to_string())),
    }
}

/// What a status says. While a client is being deployed, its address may be unknown for a while.
fn outcome_of(status: StatusCode) -> Outcome {
    let passes = matches!(
        status,
        StatusCode::NOT_FOUND
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_EARLY
            | StatusCode::TOO_MANY_REQUESTS
    );
    if status.is_success() {
        Outcome::Told
    } else if status.is_client_error() && !passes {
        Outcome::Refused(status)
    } else {
        Outcome::Failed(format!("it answered {status}"))
    }
}

/// The wait after so many attempts: doubled each time up to an hour, with up to as much again at random, so that what
/// failed together does not return together.
fn delay(attempts: u32) -> Duration {
    let builder = ExponentialBuilder::default()
        .with_min_delay(RETRY_AFTER)
        .with_max_delay(LONGEST_WAIT)
        .without_max_times()
        .with_jitter();
    let nth = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX).min(16);
    builder.build().nth(nth).unwrap_or(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour() {
        for (attempts, from, to) in
            [(1, 5, 10), (2, 10, 20), (5, 80, 160), (20, 3600, 7200), (u32::MAX, 3600, 7200)]
        {
            let range = Duration::from_secs(from)..=Duration::from_secs(to);
            let delay = delay(attempts);
            assert!(range.contains(&delay), "{attempts}: {delay:?}");
        }
    }

    #[test]
    fn what_may_pass_is_tried_again() {
        for (status, outcome) in
            [(200, "told"), (204, "told"), (400, "refused"), (401, "refused"), (410, "refused")]
        {
            let status = StatusCode::from_u16(status).unwrap();
            let expected = if outcome == "told" { Outcome::Told } else { Outcome::Refused(status) };
            assert_eq!(outcome_of(status), expected);
        }
        for status in [302, 404, 408, 425, 429, 500, 503] {
            let outcome = outcome_of(StatusCode::from_u16(status).unwrap());
            assert!(matches!(outcome, Outcome::Failed(_)), "{status}");
        }
    }
}
