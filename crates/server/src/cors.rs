//! Cross-origin requests: which other sites' pages may use an API (Fetch Standard, CORS protocol).

mod origin_pattern;

use std::sync::{Arc, OnceLock};

use axum::extract::Request;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use oauth::ClientId;

use crate::{Server, answer};

pub use self::origin_pattern::{OriginPattern, OriginPatternError};

/// Which other sites' pages may use an API, and how.
#[derive(Debug, Clone)]
pub struct Cors {
    /// `allowed_origins`; `*` for all.
    pub origins: Vec<OriginPattern>,
    /// `allowed_methods`
    pub methods: Vec<Method>,
    /// `allowed_headers`; `None` for all.
    pub headers: Option<Vec<HeaderName>>,
    /// `exposed_headers`
    pub exposed: Vec<HeaderName>,
    /// `allow_credentials`
    pub credentials: bool,
    /// `max_age`, in seconds; 0 leaves it to the browser.
    pub max_age: u64,
    /// `options_passthrough`: preflight requests reach the endpoint as well.
    pub passthrough: bool,
    /// `feature_flags.legacy_allow_insecure_origins`: clients' wildcards may allow other people's domains.
    pub unbounded: bool,
}

/// Whose pages may use an endpoint, where its API allows cross-origin requests at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Nobody's: people's browsers go there, and pages have nothing to read (RFC 9700 §2.6).
    Nobody,
    /// The configured origins'.
    Listed,
    /// Those, and the `allowed_cors_origins` of the client that asks.
    Clients,
    /// Everybody's: what it answers is public.
    Everybody,
}

/// Where a handler leaves the client that a request is of. It need not be proven: only what a page may read depends on
/// it.
#[derive(Clone, Default)]
pub(crate) struct Caller(Arc<OnceLock<ClientId>>);

impl Caller {
    /// The first client that is named stays.
    pub(crate) fn is(&self, client: &ClientId) {
        let _ = self.0.set(client.clone());
    }
}

/// One request of a page, and what its answer has to say for the browser.
pub(crate) struct CrossOrigin {
    /// `None` where the request is no other site's.
    origin: Option<HeaderValue>,
    method: Method,
    reach: Reach,
    /// Allowed by a pattern, whichever.
    listed: bool,
    /// Allowed by a pattern that is not for everybody.
    named: bool,
    preflight: Option<Preflight>,
    caller: Caller,
}

/// What a browser asks before it sends a request that the page made.
struct Preflight {
    method: HeaderValue,
    headers: Option<HeaderValue>,
}

impl CrossOrigin {
    /// Looks at a request, before it goes to its handler.
    pub(crate) fn of(cors: &Cors, request: &mut Request, reach: Reach) -> Self {
        let headers = request.headers();
        let origin = headers.get(ORIGIN).cloned();
        let text = origin.as_ref().and_then(|origin| origin.to_str().ok());
        let allowing = || cors.origins.iter().filter(|pattern| text.is_some_and(|text| pattern.allows(text)));
        let (listed, named) = (allowing().next().is_some(), allowing().any(|pattern| !pattern.is_any()));
        let asked =
            headers.get(ACCESS_CONTROL_REQUEST_METHOD).filter(|_| request.method() == Method::OPTIONS);
        let preflight = asked.map(|method| Preflight {
            method: method.clone(),
            headers: headers.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned(),
        });
        let caller = Caller::default();
        if origin.is_some() && !listed && reach == Reach::Clients {
            request.extensions_mut().insert(caller.clone());
        }
        Self { origin, method: request.method().clone(), reach, listed, named, preflight, caller }
    }

    /// The answer to a preflight request, where no handler is to see it.
    pub(crate) fn answer_instead(&self, cors: &Cors) -> Option<Response> {
        let answered = self.preflight.is_some() && self.reach != Reach::Nobody && !cors.passthrough;
        answered.then(|| answer::empty(StatusCode::NO_CONTENT))
    }

    /// Writes what the browser is to know into the answer. No statement where the client is in memory, and none for
    /// origins that are configured.
    pub(crate) async fn finish(self, cors: &Cors, server: &Server, response: &mut Response) {
        if self.reach == Reach::Nobody {
            return;
        }
        let vary = match self.preflight {
            Some(_) => "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
            None => "Origin",
        };
        response.headers_mut().append(VARY, HeaderValue::from_static(vary));
        let Some(origin) = &self.origin else { return };
        if self.named || (!self.listed && self.is_clients(cors, server, origin).await) {
            self.allow(cors, origin.clone(), cors.credentials, response.headers_mut());
        } else if self.listed || self.reach == Reach::Everybody {
            // With credentials, any page could do what whoever looks at it may: nobody means that by "everybody".
            self.allow(cors, HeaderValue::from_static("*"), false, response.headers_mut());
        }
    }

    /// A preflight request names no client, so it is granted; what the page then may read is another question.
    async fn is_clients(&self, cors: &Cors, server: &Server, origin: &HeaderValue) -> bool {
        if self.reach != Reach::Clients {
            return false;
        }
        if self.preflight.is_some() {
            return true;
        }
        let (Some(id), Ok(origin)) = (self.caller.0.get(), origin.to_str()) else { return false };
        let mut client = server.store().cached_client(id);
        if client.is_none() {
            let Ok(_place) = server.unproven_reads().try_acquire() else { return false };
            client = server.store().client(id).await.ok().flatten();
        }
        let Some(client) = client else { return false };
        let patterns = client.metadata.allowed_cors_origins.iter();
        patterns
            .filter_map(|text| OriginPattern::parse(text, cors.unbounded).ok())
            .any(|pattern| pattern.allows(origin))
    }

    fn allow(&self, cors: &Cors, origin: HeaderValue, credentials: bool, to: &mut HeaderMap) {
        match &self.preflight {
            Some(preflight) => {
                if !preflight.is_granted(cors) {
                    return;
                }
                to.insert(ACCESS_CONTROL_ALLOW_METHODS, preflight.method.clone());
                if let Some(headers) = preflight.headers.clone() {
                    to.insert(ACCESS_CONTROL_ALLOW_HEADERS, headers);
                }
                if cors.max_age > 0 {
                    to.insert(ACCESS_CONTROL_MAX_AGE, cors.max_age.into());
                }
            }
            None if !cors.methods.contains(&self.method) => return,
            None => {
                let exposed: Vec<&str> = cors.exposed.iter().map(HeaderName::as_str).collect();
                if let Ok(exposed) = HeaderValue::try_from(exposed.join(", "))
                    && !exposed.is_empty()
                {
                    to.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
                }
            }
        }
        to.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if credentials {
            to.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
}

impl Preflight {
    fn is_granted(&self, cors: &Cors) -> bool {
        let method = cors.methods.iter().any(|method| self.method.as_bytes() == method.as_str().as_bytes());
        let Some(allowed) = &cors.headers else { return method };
        let asked = self.headers.as_ref().map_or(Ok(""), HeaderValue::to_str);
        let is_allowed = |name: &str| {
            name.is_empty() || name == ORIGIN.as_str() || allowed.iter().any(|header| header.as_str() == name)
        };
        method
            && asked
                .is_ok_and(|asked| asked.split(',').all(|name| is_allowed(&name.trim().to_ascii_lowercase())))
    }
}
