//! Requests that the server makes itself: for a client's keys, to hooks, to relying parties and the identity provider at a
//! logout.
//!
//! Most addresses are written by those who register clients, so every request is bounded in size and time, follows no
//! redirect, and stays out of the private network where the configuration says so.

mod addresses;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};
use oauth::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect;
use tokio::net::lookup_host;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use url::{Host, Url};

use addresses::is_public;

use crate::RequestTracer;
use crate::traces::RequestSpan;

/// How long a request may take in all, the wait for a place included.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// How long a connection may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// How many requests of a kind may be under way.
const UNDER_WAY: usize = 64;

/// How many fetches may be under way that anybody can bring about, and how many of clients that registered themselves.
const UNDER_WAY_FOR_ANYBODY: usize = 32;

/// What the configuration says about requests that the server makes.
#[derive(Debug, Clone, Default)]
pub struct OutboundPolicy {
    /// `clients.http.disallow_private_ip_ranges`: no request to loopback, private and other special addresses.
    pub public_addresses_only: bool,
    /// `clients.http.private_ip_exception_urls`: addresses for which that does not hold.
    pub exceptions: Vec<Url>,
}

/// The one client for requests that the server makes.
///
/// With [`OutboundPolicy::public_addresses_only`], and for clients that registered themselves, the address is checked that the connection goes to: a name that
/// resolves differently the second time gains nothing. Such requests use no proxy.
#[derive(Debug)]
pub(crate) struct Outbound {
    exempt: reqwest::Client,
    guarded: reqwest::Client,
    policy: OutboundPolicy,
    tracer: Option<RequestTracer>,
    fetches: Places,
    /// For what the server has to say.
    messages: Semaphore,
}

/// Places for fetches, apart for each [`Account`], so that slow addresses of the ones do not hold up the others.
#[derive(Debug)]
struct Places {
    operator: Semaphore,
    anybody: Semaphore,
    self_registered: Semaphore,
}

/// On whose account a request is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Account {
    /// Of the configuration alone: it goes where that says, into private networks too.
    Configuration,
    /// Of the configuration, or of a client that an administrator or a resource registered.
    Operator,
    /// Of such a client, as often as anybody likes.
    Anybody,
    /// Of a client that registered itself: it is kept out of private networks, whatever the configuration says.
    SelfRegistered,
}

impl Account {
    /// On whose account a client's own addresses are asked.
    pub(crate) fn of(client: &Client) -> Self {
        if client.self_registered { Self::SelfRegistered } else { Self::Operator }
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct OutboundAnswer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// A body to send.
#[derive(Debug)]
pub(crate) struct OutboundBody {
    pub(crate) content_type: &'static str,
    pub(crate) bytes: Bytes,
}

/// Why a request came to nothing. The text names the host alone: the rest of an address may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// The address may not be asked.
    #[error("{0} is not asked: {1}")]
    Refused(String, &'static str),
    /// No answer, or not in time.
    #[error("{0} cannot be reached: {1}")]
    Unreachable(String, String),
    /// The answer is longer than its reader takes.
    #[error("the answer of {0} has more than {1} bytes")]
    TooLarge(String, usize),
    /// The client cannot be made.
    #[error(
        "the client for the server's own requests cannot be made: {0}. It needs the certificate authorities of this \
         machine: install them (on most systems the package ca-certificates), or name a file of them in SSL_CERT_FILE"
    )]
    Unusable(String),
}

impl OutboundError {
    /// A word for each.
    fn kind(&self) -> &'static str {
        match self {
            Self::Refused(..) => "refused",
            Self::Unreachable(..) => "unreachable",
            Self::TooLarge(..) => "too_large",
            Self::Unusable(_) => "unusable",
        }
    }
}

impl Outbound {
    /// The client that keeps to `policy`, with a span for each request where there is a tracer.
    ///
    /// # Errors
    /// [`OutboundError::Unusable`], where the system's certificates cannot be read.
    pub(crate) fn new(policy: OutboundPolicy, tracer: Option<RequestTracer>) -> Result<Self, OutboundError> {
        let client = |builder: reqwest::ClientBuilder| {
            let builder = builder
                .redirect(redirect::Policy::none())
                .connect_timeout(CONNECT_LIMIT)
                .user_agent(concat!("keywright/", env!("CARGO_PKG_VERSION")));
            builder.build().map_err(|error| OutboundError::Unusable(causes(&error)))
        };
        Ok(Self {
            exempt: client(reqwest::Client::builder())?,
            guarded: client(reqwest::Client::builder().no_proxy().dns_resolver(Arc::new(PublicAddresses)))?,
            policy,
            tracer,
            fetches: Places {
                operator: Semaphore::new(UNDER_WAY),
                anybody: Semaphore::new(UNDER_WAY_FOR_ANYBODY),
                self_registered: Semaphore::new(UNDER_WAY_FOR_ANYBODY),
            },
            messages: Semaphore::new(UNDER_WAY),
        })
    }

    /// What lies there, up to `limit` bytes of it.
    ///
    /// # Errors
    /// [`OutboundError`]; a status other than 2xx is none.
    pub(crate) async fn get(
        &self,
        account: Account,
        url: &Url,
        limit: usize,
    ) -> Result<OutboundAnswer, OutboundError> {
        self.ask(account, (Method::GET, url), HeaderMap::new(), None, limit).await
    }

    /// Sends `body` there; the answer is read up to `limit` bytes.
    ///
    /// # Errors
    /// [`OutboundError`]; a status other than 2xx is none. The receiver may have got the request all the same.
    pub(crate) async fn post(
        &self,
        account: Account,
        url: &Url,
        (headers, body): (HeaderMap, OutboundBody),
        limit: usize,
    ) -> Result<OutboundAnswer, OutboundError> {
        self.ask(account, (Method::POST, url), headers, Some(body), limit).await
    }

    /// Has what lies there removed; the answer is read up to `limit` bytes. The address is the configuration's alone, and
    /// may be in a private network whatever [`OutboundPolicy`] says.
    ///
    /// # Errors
    /// [`OutboundError`]; a status other than 2xx is none. The receiver may have got the request all the same.
    pub(crate) async fn delete_as_configured(
        &self,
        (url, headers): (&Url, HeaderMap),
        limit: usize,
    ) -> Result<OutboundAnswer, OutboundError> {
        self.ask(Account::Configuration, (Method::DELETE, url), headers, None, limit).await
    }

    async fn ask(
        &self,
        account: Account,
        (method, url): (Method, &Url),
        mut headers: HeaderMap,
        body: Option<OutboundBody>,
        limit: usize,
    ) -> Result<OutboundAnswer, OutboundError> {
        let span = RequestSpan::asked(self.tracer.as_ref(), &method, url, &mut headers);
        let answer = self.exchange(account, (method, url), headers, body, limit).await;
        match (&span, &answer) {
            (Some(span), Ok(answer)) => span.got(answer.status.as_u16()),
            (Some(span), Err(error)) => span.failed(error.kind()),
            (None, _) => {}
        }
        answer
    }

    async fn exchange(
        &self,
        account: Account,
        (method, url): (Method, &Url),
        headers: HeaderMap,
        body: Option<OutboundBody>,
        limit: usize,
    ) -> Result<OutboundAnswer, OutboundError> {
        let places = match (&body, account) {
            (Some(_), _) | (None, Account::Configuration) => &self.messages,
            (None, Account::Operator) => &self.fetches.operator,
            (None, Account::Anybody) => &self.fetches.anybody,
            (None, Account::SelfRegistered) => &self.fetches.self_registered,
        };
        let host = url.host_str().unwrap_or("an address without host").to_owned();
        let mut request = self.client_for(account, url)?.request(method, url.clone()).headers(headers);
        if let Some(body) = body {
            request = request.header(http::header::CONTENT_TYPE, body.content_type).body(body.bytes);
        }
        let exchange = async {
            // It is never closed; without a place the request goes all the same.
            let _place = places.acquire().await.ok();
            let mut response = request.send().await.map_err(|error| unreachable(&host, error))?;
            let mut read = BytesMut::new();
            while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(&host, error))? {
                if read.len() + chunk.len() > limit {
                    return Err(OutboundError::TooLarge(host.clone(), limit));
                }
                read.extend_from_slice(&chunk);
            }
            Ok(OutboundAnswer { status: response.status(), body: read.freeze() })
        };
        let late = |_| OutboundError::Unreachable(host.clone(), "it took too long".to_owned());
        timeout(TIME_LIMIT, exchange).await.map_err(late)?
    }

    fn client_for(&self, account: Account, url: &Url) -> Result<&reqwest::Client, OutboundError> {
        let refused = |why| OutboundError::Refused(url.host_str().unwrap_or_default().to_owned(), why);
        if !matches!(url.scheme(), "https" | "http") {
            return Err(refused("it is neither https nor http"));
        }
        let is_guarded = match account {
            Account::Configuration => false,
            Account::Operator | Account::Anybody => self.policy.public_addresses_only,
            Account::SelfRegistered => true,
        };
        if !is_guarded || self.policy.exceptions.contains(url) {
            return Ok(&self.exempt);
        }
        // An address in figures is never resolved: it is looked at here.
        let is_public = match url.host() {
            Some(Host::Ipv4(address)) => is_public(address.into()),
            Some(Host::Ipv6(address)) => is_public(address.into()),
            Some(Host::Domain(_)) => true,
            None => false,
        };
        if is_public { Ok(&self.guarded) } else { Err(refused(PRIVATE)) }
    }
}

const PRIVATE: &str = "requests are kept out of private networks by clients.http.disallow_private_ip_ranges, and always \
    those of clients that registered themselves";

/// The whole chain of causes, without the address.
fn unreachable(host: &str, error: reqwest::Error) -> OutboundError {
    OutboundError::Unreachable(host.to_owned(), causes(&error.without_url()))
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut why = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        why = format!("{why}: {error}");
        cause = error.source();
    }
    why
}

/// The system's resolver, without addresses of private networks.
#[derive(Debug)]
struct PublicAddresses;

impl Resolve for PublicAddresses {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = lookup_host((name.as_str(), 0)).await?;
            let public: Vec<_> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(PRIVATE.into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests;
