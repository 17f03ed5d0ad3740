//! A browser without a screen: cookies, redirects and forms.

use std::collections::BTreeMap;

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Method, RequestBuilder};
use url::Url;

/// Its cookies are of one host, whatever the port, as they are in browsers.
pub struct Browser {
    http: reqwest::Client,
    cookies: BTreeMap<String, String>,
}

/// What it shows.
#[derive(Debug)]
pub struct Page {
    pub url: Url,
    pub status: u16,
    pub body: String,
    /// Where it leads, where it is a redirect.
    pub location: Option<Url>,
}

impl Browser {
    pub fn new() -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { http, cookies: BTreeMap::new() }
    }

    /// Whether it keeps a cookie of this name.
    pub fn has_cookie(&self, name: &str) -> bool {
        self.cookies.contains_key(name)
    }

    /// Forgets a cookie.
    pub fn forget(&mut self, name: &str) {
        assert!(self.cookies.remove(name).is_some(), "there is no cookie {name}");
    }

    /// Goes to an address, and gives where it is sent from there.
    pub async fn redirected(&mut self, url: &str) -> Url {
        let page = self.send(self.http.get(url)).await;
        page.location.clone().unwrap_or_else(|| panic!("no redirect: {page:?}"))
    }

    /// Goes to an address, and to where it is sent from there.
    pub async fn open(&mut self, url: &str) -> Page {
        let page = self.send(self.http.get(url)).await;
        self.follow(page).await
    }

    /// Sends the form of a page that goes to `action`, with what is hidden in it and `fields`, and goes on.
    pub async fn submit(&mut self, page: &Page, action: &str, fields: &[(&str, &str)]) -> Page {
        let begin = format!("<form method=\"post\" action=\"{action}\"");
        let (_, form) = page.body.split_once(&begin).unwrap_or_else(|| panic!("no {action} in {page:?}"));
        let (form, _) = form.split_once("</form>").unwrap();
        let hidden = form.split("<input type=\"hidden\" name=\"").skip(1).map(|input| {
            let (name, rest) = input.split_once("\" value=\"").unwrap();
            (name, rest.split_once('"').unwrap().0)
        });
        let fields: Vec<_> = hidden.chain(fields.iter().copied()).collect();
        let request = self.http.request(Method::POST, page.url.join(action).unwrap()).form(&fields);
        let page = self.send(request).await;
        self.follow(page).await
    }

    async fn follow(&mut self, mut page: Page) -> Page {
        while let Some(location) = page.location.take() {
            page = self.send(self.http.get(location)).await;
        }
        page
    }

    async fn send(&mut self, request: RequestBuilder) -> Page {
        let brought: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let response = request.header(COOKIE, brought.join("; ")).send().await.unwrap();
        for cookie in response.headers().get_all(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            assert!(!cookie.contains("Secure"), "on plain http the browser would keep none: {cookie}");
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            if cookie.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let url = response.url().clone();
        let location =
            response.headers().get(LOCATION).map(|value| url.join(value.to_str().unwrap()).unwrap());
        Page { status: response.status().as_u16(), body: response.text().await.unwrap(), url, location }
    }
}
