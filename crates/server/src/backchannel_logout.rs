//! Telling clients of logouts (OpenID Connect Back-Channel Logout §2.5 to §2.8), and the identity provider.
//!
//! Who is to be told lies in the database since the login ended. Any server takes what is due, a few at a time; what one
//! took and did not settle comes back to all. A host that is slow gets few requests at once, and those who are told there are
//! passed over until it has answered, so that it holds up nobody else.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use oauth::{Client, IdentityProviderSessionId, LogoutUri, SessionId};
use store::{DueLogout, LogoutNotice, LogoutRecipient};
use tokio::sync::Semaphore;
use tokio::task::{Id, JoinSet};
use tokio::time::sleep;

use crate::authorization_times::after;
use crate::error::Failure;
use crate::identity_provider::{IdentityProvider, SessionEnd};
use crate::outbound::{Account, OutboundBody};
use crate::{Server, issue};

/// How many are told at once: fewer than there are places for all that the server asks of others.
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
    /// Whoever is told does not want to be, whatever is tried.
    Refused(StatusCode),
    Failed(String),
}

/// Who is told, where.
enum Receiver {
    Client { client: Arc<Client>, uri: LogoutUri, session_id: SessionId, subject: String },
    IdentityProvider { provider: IdentityProvider, session_id: IdentityProviderSessionId },
}

impl Receiver {
    fn host(&self) -> String {
        match self {
            Self::Client { uri, .. } => uri.url().host_str().unwrap_or_default().to_owned(),
            Self::IdentityProvider { provider, .. } => provider.host().to_owned(),
        }
    }

    /// Counts an attempt.
    fn count(&self, server: &Server, outcome: &'static str) {
        match self {
            Self::Client { .. } => server.metrics().backchannel_logout(outcome),
            Self::IdentityProvider { .. } => server.metrics().identity_provider_logout(outcome),
        }
    }
}

/// In messages.
impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client { client, .. } => write!(f, "client {}", client.id),
            Self::IdentityProvider { .. } => f.write_str("identity provider"),
        }
    }
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
    recipients: HashSet<LogoutRecipient>,
}

impl Server {
    /// Tells of logouts for ever: at once where this server ended the login.
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
        let busy: Vec<_> = busy.flat_map(|host| host.recipients.iter().cloned()).collect();
        let claimed = self.server.store().claim_logouts(i64::try_from(limit).unwrap_or(1), &busy).await;
        let due = claimed.unwrap_or_else(|error| {
            tracing::warn!(%error, "nobody can be told of logouts; trying again");
            Vec::new()
        });
        let is_full = due.len() == limit;
        for due in due {
            let recipient = due.notice.recipient();
            if let Err(error) = self.begin(due).await {
                // It comes back when the attempt has run out.
                tracing::warn!(?recipient, %error, "a logout could not be told; trying again");
            }
        }
        is_full
    }

    async fn begin(&mut self, due: DueLogout) -> Result<(), store::Error> {
        let (server, store) = (self.server.current(), self.server.store());
        let Some(receiver) = receiver(&server, &due.notice).await? else {
            return store.settle_logout(&due).await;
        };
        let name = receiver.host();
        let host = self.hosts.entry(name.clone()).or_insert_with(Host::new);
        host.recipients.insert(due.notice.recipient());
        if host.load >= FOR_ONE_HOST {
            // Many clients share it.
            return store.postpone_logout(&due, due.attempts - 1, after(self.server.now(), LOOK_EVERY)).await;
        }
        host.load += 1;
        let places = host.places.clone();
        let task = self.tasks.spawn(async move {
            // It is never closed; without a place the request goes all the same.
            let _place = places.acquire().await.ok();
            deliver(&server, &receiver, &due).await;
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
        Self { places: Arc::new(Semaphore::new(AT_ONE_HOST)), load: 0, recipients: HashSet::new() }
    }
}

/// Who is to be told; `None` where nobody is any more.
async fn receiver(server: &Server, notice: &LogoutNotice) -> Result<Option<Receiver>, store::Error> {
    match notice {
        LogoutNotice::Client { client_id, incarnation, session_id, subject } => {
            let client = server.store().client(client_id).await?;
            let client = client.filter(|client| client.incarnation == *incarnation);
            Ok(client.and_then(|client| {
                let uri = client.metadata.backchannel_logout_uri.clone()?;
                Some(Receiver::Client { client, uri, session_id: *session_id, subject: subject.clone() })
            }))
        }
        LogoutNotice::IdentityProvider(id) => {
            let provider = server.settings().identity_provider.clone();
            Ok(provider.map(|provider| Receiver::IdentityProvider { provider, session_id: id.clone() }))
        }
    }
}

/// Tells one once, and writes down what became of it.
async fn deliver(server: &Server, receiver: &Receiver, due: &DueLogout) {
    let outcome = attempt(server, receiver).await;
    let (store, attempts) = (server.store(), due.attempts);
    let next = after(server.now(), delay(attempts));
    let (label, settled) = match outcome {
        Outcome::Told => ("told", store.settle_logout(due).await),
        Outcome::Refused(status) => {
            tracing::warn!(to = %receiver, %status, "a logout was told and refused");
            ("refused", store.settle_logout(due).await)
        }
        Outcome::Failed(why) if next >= due.expires_at => {
            tracing::warn!(to = %receiver, attempts, why, "a logout was not told; giving up");
            ("given_up", store.settle_logout(due).await)
        }
        Outcome::Failed(why) => {
            tracing::warn!(to = %receiver, attempts, why, "a logout could not be told; trying again");
            ("failed", store.postpone_logout(due, attempts, next).await)
        }
    };
    receiver.count(server, label);
    if let Err(error) = settled {
        tracing::warn!(to = %receiver, %error, "a logout is told once more");
    }
}

async fn attempt(server: &Server, receiver: &Receiver) -> Outcome {
    match receiver {
        Receiver::Client { client, uri, session_id, subject } => {
            let told = tell_client(server, client, uri, (*session_id, subject)).await;
            // The server's own trouble, which passes.
            told.unwrap_or_else(|failure| Outcome::Failed(failure.to_string()))
        }
        Receiver::IdentityProvider { provider, session_id } => {
            match provider.end_session(server, session_id).await {
                SessionEnd::Ended => Outcome::Told,
                SessionEnd::Refused(status) => Outcome::Refused(status),
                SessionEnd::Failed(why) => Outcome::Failed(why),
            }
        }
    }
}

async fn tell_client(
    server: &Server,
    client: &Client,
    uri: &LogoutUri,
    login: (SessionId, &str),
) -> Result<Outcome, Failure> {
    let token = issue::logout_token(server, client, login).await?;
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
