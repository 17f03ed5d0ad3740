//! A client, as pages name it.

use oauth::Client;

use crate::admin::interaction::client_object;

/// What people read of a client. Nothing of it is loaded: a logo would tell its host who logs in.
pub(crate) struct ClientNames {
    /// Its name; its id where it has none.
    pub(crate) name: String,
    /// What stands in place of a logo.
    pub(crate) initial: String,
    /// Its pages, with what they are.
    pub(crate) links: Vec<(&'static str, String)>,
}

impl ClientNames {
    pub(crate) fn of(client: &Client) -> Self {
        let object = client_object(client);
        let text = |member: &str| object[member].as_str().unwrap_or_default().trim().to_owned();
        let name = Some(text("client_name")).filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| client.id.to_string());
        let initial = name.chars().find(|c| c.is_alphanumeric()).unwrap_or('?');
        let links =
            [("Website", "client_uri"), ("Privacy policy", "policy_uri"), ("Terms of service", "tos_uri")];
        let is_web = |url: &String| url.starts_with("https://") || url.starts_with("http://");
        let links = links.into_iter().map(|(label, member)| (label, text(member)));
        Self {
            name,
            initial: initial.to_uppercase().collect(),
            links: links.filter(|(_, url)| is_web(url)).collect(),
        }
    }
}
