//! Lists in pages, as Hydra has them: `page_size` and `page_token` in, a `Link` header out.

use axum::response::Response;
use http::header::LINK;
use http::{HeaderValue, Uri};
use oauth::{Form, PageToken};

use super::sessions::parameters;
use crate::Server;
use crate::error::{Failure, Refusal};

/// How many entries a page has where the caller does not say, and at most.
const DEFAULT_SIZE: u16 = 100;
const LARGEST_SIZE: u16 = 500;

const PAGE_SIZE: &str = "page_size";
const PAGE_TOKEN: &str = "page_token";

/// Which page a request asks for.
pub(super) struct Paging {
    /// All parameters of the request.
    pub(super) query: Form,
    /// How many entries it has at most.
    pub(super) size: u16,
    /// The key behind which it begins; empty for the first one.
    pub(super) after: String,
}

impl Paging {
    /// Reads a request's query.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] naming the parameter at fault, `invalid_request` for what is no query.
    pub(super) fn read(server: &Server, uri: &Uri) -> Result<Self, Failure> {
        let query = parameters(uri)?;
        let (size, after) = (page_size(&query)?, page_start(server, &query)?);
        Ok(Self { query, size, after })
    }

    /// Says where the first page is, and the next one, which begins behind `next`.
    ///
    /// # Errors
    /// [`Failure::Defect`].
    pub(super) fn link(
        self,
        server: &Server,
        uri: &Uri,
        next: Option<&str>,
        response: &mut Response,
    ) -> Result<(), Failure> {
        let links = HeaderValue::try_from(self.links(server, uri, next));
        response.headers_mut().insert(LINK, links.map_err(|error| Failure::Defect(error.to_string()))?);
        Ok(())
    }

    /// The `Link` header (RFC 8288), as Hydra writes it: paths with all that the caller asked for.
    fn links(self, server: &Server, uri: &Uri, next: Option<&str>) -> String {
        let size = self.size.to_string();
        let asked = self.query.without(&[PAGE_SIZE, PAGE_TOKEN]).to_query(Some((PAGE_SIZE, &size)));
        let link = |after: &str, rel: &str| {
            let store = server.store();
            let token = PageToken::after(after, server.now()).seal(store.ring(), store.entropy());
            format!("<{}?{asked}&{PAGE_TOKEN}={token}>; rel=\"{rel}\"", uri.path())
        };
        let first = link("", "first");
        next.map_or(first.clone(), |next| format!("{first},{}", link(next, "next")))
    }
}

fn page_size(query: &Form) -> Result<u16, Failure> {
    let Some(text) = query.get(PAGE_SIZE) else { return Ok(DEFAULT_SIZE) };
    match text.parse::<u64>() {
        Ok(0) => Ok(DEFAULT_SIZE),
        Ok(size) => Ok(u16::try_from(size).unwrap_or(LARGEST_SIZE).min(LARGEST_SIZE)),
        Err(_) => Err(Failure::Plain(Refusal::Malformed("page_size is no number of entries.".into()))),
    }
}

fn page_start(server: &Server, query: &Form) -> Result<String, Failure> {
    let Some(text) = query.get(PAGE_TOKEN) else { return Ok(String::new()) };
    let token = PageToken::open(server.store().ring(), text, server.now());
    token.map(PageToken::into_key).ok_or_else(invalid_token)
}

/// The error for a page token that leads nowhere.
pub(super) fn invalid_token() -> Failure {
    let why = "invalid pagination token: it is not of this list, or older than an hour.";
    Failure::Plain(Refusal::Malformed(why.into()))
}
