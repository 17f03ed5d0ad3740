//! Where people are sent (`urls.*`): to the pages of the configuration, else to those of this server.

use oauth::{ClientId, Issuer};

use crate::router;

/// The addresses of pages; `None` means this server's own.
#[derive(Debug, Clone, Default)]
pub struct PageUrls {
    /// `urls.login`.
    pub login: Option<String>,
    /// `urls.registration`; the login page where it is not set.
    pub registration: Option<String>,
    /// `urls.consent`.
    pub consent: Option<String>,
    /// `urls.device.verification`: where user codes are entered.
    pub device_verification: Option<String>,
    /// `urls.device.success`: where somebody ends who let a device in.
    pub device_success: Option<String>,
    /// `urls.error`.
    pub error: Option<String>,
    /// `urls.logout`.
    pub logout: Option<String>,
    /// `urls.post_logout_redirect`.
    pub post_logout_redirect: Option<String>,
}

impl PageUrls {
    /// The login page, or where somebody `registers` that page, with its challenge. The `identity_schema` of the request
    /// goes along: it chooses among the forms that such a page has.
    pub(crate) fn login(
        &self,
        public: &Issuer,
        challenge: &str,
        registers: bool,
        identity_schema: Option<&str>,
    ) -> String {
        let own = || self.login.clone().unwrap_or_else(|| public.join(router::FALLBACK_LOGIN));
        let page = self.registration.clone().filter(|_| registers).unwrap_or_else(own);
        let schema = identity_schema.map(|schema| ("identity_schema", schema));
        let parameters: Vec<_> = schema.into_iter().chain([("login_challenge", challenge)]).collect();
        with_query(&page, &parameters)
    }

    /// The consent page, with its challenge.
    pub(crate) fn consent(&self, public: &Issuer, challenge: &str) -> String {
        let page = self.consent.clone().unwrap_or_else(|| public.join(router::FALLBACK_CONSENT));
        with_query(&page, &[("consent_challenge", challenge)])
    }

    /// The page for user codes, with its challenge and the code where it is known.
    pub(crate) fn device_verification(
        &self,
        public: &Issuer,
        challenge: &str,
        user_code: Option<&str>,
    ) -> String {
        let page = self.device_verification.clone().unwrap_or_else(|| public.join(router::FALLBACK_DEVICE));
        let parameters = [Some(("device_challenge", challenge)), user_code.map(|code| ("user_code", code))];
        with_query(&page, &parameters.into_iter().flatten().collect::<Vec<_>>())
    }

    /// Where somebody ends who let a client's device in.
    pub(crate) fn device_success(&self, public: &Issuer, client: &ClientId) -> String {
        let page = self.device_success.clone().unwrap_or_else(|| public.join(router::FALLBACK_DEVICE_DONE));
        with_query(&page, &[("client_id", client.as_str())])
    }

    /// The logout page, with its challenge.
    pub(crate) fn logout(&self, public: &Issuer, challenge: &str) -> String {
        let page = self.logout.clone().unwrap_or_else(|| public.join(router::FALLBACK_LOGOUT));
        with_query(&page, &[("logout_challenge", challenge)])
    }

    /// Where a logout ends that names no other page.
    pub(crate) fn post_logout_redirect(&self, public: &Issuer) -> String {
        self.post_logout_redirect.clone().unwrap_or_else(|| public.join(router::FALLBACK_LOGGED_OUT))
    }

    /// The error page, with what went wrong.
    pub(crate) fn error(&self, public: &Issuer, error: &str, description: &str) -> String {
        let page = self.error.clone().unwrap_or_else(|| public.join(router::FALLBACK_ERROR));
        with_query(&page, &[("error", error), ("error_description", description)])
    }
}

/// A page's own query stays; a fragment stays at the end.
fn with_query(page: &str, parameters: &[(&str, &str)]) -> String {
    let (page, fragment) =
        page.split_once('#').map_or((page, None), |(page, fragment)| (page, Some(fragment)));
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    let separator = if page.contains('?') { '&' } else { '?' };
    let fragment = fragment.map(|fragment| format!("#{fragment}")).unwrap_or_default();
    format!("{page}{separator}{query}{fragment}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_joins_the_query_of_its_page() {
        let public = Issuer::parse("https://id.example.com/").unwrap();
        let urls = |login: Option<&str>| PageUrls { login: login.map(str::to_owned), ..PageUrls::default() };
        for (page, sent) in [
            (None, "https://id.example.com/oauth2/fallbacks/login?login_challenge=a%26b"),
            (Some("https://app/login"), "https://app/login?login_challenge=a%26b"),
            (Some("https://app/?p=1"), "https://app/?p=1&login_challenge=a%26b"),
            (Some("https://app/#/login"), "https://app/?login_challenge=a%26b#/login"),
        ] {
            assert_eq!(urls(page).login(&public, "a&b", false, None), sent);
        }
        let both =
            PageUrls { registration: Some("https://app/new".to_owned()), ..urls(Some("https://app/login")) };
        for (registers, schema, sent) in [
            (true, None, "https://app/new?login_challenge=c"),
            (false, None, "https://app/login?login_challenge=c"),
            (true, Some("b2b"), "https://app/new?identity_schema=b2b&login_challenge=c"),
            (false, Some("a&b"), "https://app/login?identity_schema=a%26b&login_challenge=c"),
        ] {
            assert_eq!(both.login(&public, "c", registers, schema), sent);
        }
    }
}
