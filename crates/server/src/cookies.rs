//! The cookies of this server: one that names the login session, and two for each flow under way.

use std::time::Duration;

use axum::response::Response;
use cookie::time::{Duration as CookieDuration, OffsetDateTime};
use cookie::{Cookie, SameSite};
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use oauth::GrantId;
use oauth::flow::Interaction;

/// How many flows a browser may have under way. Those that were left alone would fill its request headers.
const FLOWS: usize = 16;

/// The cookies' names and attributes (`serve.cookies`).
#[derive(Debug, Clone)]
pub struct CookieSettings {
    /// The name of the session's cookie.
    pub session: String,
    /// The paths that the session's cookie is sent to.
    pub session_path: String,
    /// How the names of login cookies begin.
    pub login_csrf: String,
    /// How the names of consent cookies begin.
    pub consent_csrf: String,
    /// How the names of the cookies begin that go with the entry of a user code.
    pub device_csrf: String,
    /// The domain that they are sent to; `None` means this host alone.
    pub domain: Option<String>,
    /// Whether they come with requests from other sites.
    pub same_site: SameSite,
    /// Whether they travel only encrypted.
    pub secure: bool,
}

impl CookieSettings {
    fn of_flow(&self, interaction: Interaction) -> &str {
        match interaction {
            Interaction::Login => &self.login_csrf,
            Interaction::Consent => &self.consent_csrf,
            Interaction::Device => &self.device_csrf,
        }
    }

    fn flow_name(&self, interaction: Interaction, flow: GrantId) -> String {
        format!("{}_{flow}", self.of_flow(interaction))
    }

    /// What the browser brings of a flow.
    pub(crate) fn flow_value(
        &self,
        headers: &HeaderMap,
        interaction: Interaction,
        flow: GrantId,
    ) -> Option<String> {
        value(headers, &self.flow_name(interaction, flow))
    }

    /// What the browser brings of its session.
    pub(crate) fn session_value(&self, headers: &HeaderMap) -> Option<String> {
        value(headers, &self.session)
    }

    /// Sets the cookie of a flow, and removes those of flows that were left alone.
    pub(crate) fn set_flow(
        &self,
        response: &mut Response,
        request: &HeaderMap,
        (interaction, flow): (Interaction, GrantId),
        value: String,
        (now, lifetime): (Timestamp, Duration),
    ) {
        let mut others: Vec<String> =
            names(request).filter(|name| flow_of(name, self.of_flow(interaction)).is_some()).collect();
        // The names end in ids that sort by time.
        others.sort_unstable();
        for name in others.iter().rev().skip(FLOWS - 1) {
            self.remove(response, name, "/");
        }
        self.set(response, (&self.flow_name(interaction, flow), "/"), value, (now, lifetime));
    }

    /// Removes the cookies of a flow that has ended.
    pub(crate) fn end_flow(&self, response: &mut Response, flow: GrantId) {
        for interaction in [Interaction::Login, Interaction::Consent] {
            self.end(response, interaction, flow);
        }
    }

    /// Removes the cookie of one interaction that has ended.
    pub(crate) fn end(&self, response: &mut Response, interaction: Interaction, id: GrantId) {
        self.remove(response, &self.flow_name(interaction, id), "/");
    }

    /// Sets the cookie of the session.
    pub(crate) fn set_session(&self, response: &mut Response, value: String, times: (Timestamp, Duration)) {
        self.set(response, (&self.session, &self.session_path), value, times);
    }

    /// Removes the cookie of the session.
    pub(crate) fn end_session(&self, response: &mut Response) {
        self.remove(response, &self.session, &self.session_path);
    }

    fn set(
        &self,
        response: &mut Response,
        (name, path): (&str, &str),
        value: String,
        (now, lifetime): (Timestamp, Duration),
    ) {
        let seconds = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX).min(400 * 24 * 3600);
        let expires = OffsetDateTime::from_unix_timestamp(now.as_second().saturating_add(seconds));
        let mut cookie = self.cookie(name, path, value);
        cookie.set_max_age(CookieDuration::seconds(seconds));
        cookie.set_expires(expires.ok());
        add(response, &cookie);
    }

    fn remove(&self, response: &mut Response, name: &str, path: &str) {
        let mut cookie = self.cookie(name, path, String::new());
        cookie.set_max_age(CookieDuration::ZERO);
        cookie.set_expires(OffsetDateTime::UNIX_EPOCH);
        add(response, &cookie);
    }

    fn cookie(&self, name: &str, path: &str, value: String) -> Cookie<'static> {
        let mut cookie = Cookie::new(name.to_owned(), value);
        cookie.set_path(path.to_owned());
        cookie.set_http_only(true);
        cookie.set_secure(self.secure);
        cookie.set_same_site(self.same_site);
        if let Some(domain) = &self.domain {
            cookie.set_domain(domain.clone());
        }
        cookie
    }
}

fn add(response: &mut Response, cookie: &Cookie<'_>) {
    // Names and paths come of a checked configuration, values are base64url: this is always a header value.
    if let Ok(value) = HeaderValue::try_from(cookie.to_string()) {
        response.headers_mut().append(SET_COOKIE, value);
    }
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = Cookie<'_>> {
    let texts = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(Cookie::split_parse).filter_map(Result::ok)
}

fn names(headers: &HeaderMap) -> impl Iterator<Item = String> {
    cookies(headers).map(|cookie| cookie.name().to_owned())
}

fn value(headers: &HeaderMap, name: &str) -> Option<String> {
    cookies(headers).find(|cookie| cookie.name() == name).map(|cookie| cookie.value().to_owned())
}

fn flow_of(name: &str, prefix: &str) -> Option<GrantId> {
    name.strip_prefix(prefix)?.strip_prefix('_')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn settings() -> CookieSettings {
        CookieSettings {
            session: "s".to_owned(),
            session_path: "/".to_owned(),
            login_csrf: "login".to_owned(),
            consent_csrf: "consent".to_owned(),
            device_csrf: "device".to_owned(),
            domain: Some("example.com".to_owned()),
            same_site: SameSite::Lax,
            secure: true,
        }
    }

    fn set(response: &Response) -> Vec<String> {
        response.headers().get_all(SET_COOKIE).iter().map(|v| v.to_str().unwrap().to_owned()).collect()
    }

    fn flow(second: u8) -> GrantId {
        let mut bytes = [1; 16];
        bytes[5] = second;
        GrantId::from_bytes(bytes)
    }

    #[test]
    fn a_cookie_has_all_its_attributes() {
        let mut response = Response::new(Body::empty());
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        settings().set_session(&mut response, "v".to_owned(), (now, Duration::from_mins(1)));
        assert_eq!(
            set(&response),
            ["s=v; HttpOnly; SameSite=Lax; Secure; Path=/; Domain=example.com; Max-Age=60; \
                 Expires=Fri, 15 Jan 2027 08:01:00 GMT"]
        );
    }

    #[test]
    fn flows_do_not_see_each_other_and_old_ones_make_room() {
        let settings = settings();
        let brought: Vec<String> = (0..20).map(|i| format!("login_{}=v{i}", flow(i))).collect();
        let mut request = HeaderMap::new();
        request.insert(COOKIE, brought.join("; ").parse().unwrap());
        assert_eq!(settings.flow_value(&request, Interaction::Login, flow(3)).as_deref(), Some("v3"));
        assert_eq!(settings.flow_value(&request, Interaction::Consent, flow(3)), None);
        assert_eq!(settings.flow_value(&request, Interaction::Login, flow(30)), None);
        let mut response = Response::new(Body::empty());
        let times = (Timestamp::UNIX_EPOCH, Duration::from_secs(1));
        settings.set_flow(&mut response, &request, (Interaction::Login, flow(30)), "new".to_owned(), times);
        let set = set(&response);
        let removed: Vec<_> = set.iter().filter(|cookie| cookie.contains("Max-Age=0")).collect();
        assert_eq!(removed.len(), 20 - (FLOWS - 1));
        assert!(removed.iter().any(|cookie| cookie.starts_with(&format!("login_{}=", flow(0)))));
        assert!(!removed.iter().any(|cookie| cookie.starts_with(&format!("login_{}=", flow(19)))));
    }
}
