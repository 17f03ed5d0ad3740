//! Subject identifiers (OpenID Connect Core §8): by which name a client knows a user.
//!
//! Inside, a user always has the name that the login app gave. A client of the type `pairwise` is told another one, which
//! it shares with the clients of its sector alone:
//!
//! ```text
//! hex( SHA-256( sector ‖ subject ‖ salt ) )
//! ```
//!
//! As with Hydra, the sector is the `sector_identifier_uri` as it was registered, else the host and port of the only
//! redirect URI.

use std::fmt::{self, Write};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::logout::Hint;
use crate::{Client, ClientId, ClientMetadata, Error, ErrorCode, SessionId};

/// Whether all clients know a user by one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubjectType {
    /// Yes.
    #[default]
    Public,
    /// Each sector has names of its own.
    Pairwise,
}

impl SubjectType {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Pairwise => "pairwise",
        }
    }
}

/// What keeps pairwise identifiers from being computed by others. It never changes: with it, all of them would.
#[derive(Clone, PartialEq, Eq)]
pub struct PairwiseSalt(String);

impl PairwiseSalt {
    /// The shortest salt, in characters (Hydra).
    pub const MIN_LEN: usize = 8;

    /// A salt; `None` where it is too short.
    pub fn new(text: String) -> Option<Self> {
        (text.len() >= Self::MIN_LEN).then_some(Self(text))
    }
}

impl fmt::Debug for PairwiseSalt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PairwiseSalt(…)")
    }
}

/// The subject types of this server (`oidc.subject_identifiers`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectTypes {
    /// `public` is one of `supported_types`.
    pub public: bool,
    /// The salt, where `pairwise` is one of them.
    pub pairwise: Option<PairwiseSalt>,
}

impl Default for SubjectTypes {
    fn default() -> Self {
        Self { public: true, pairwise: None }
    }
}

/// How one client knows its users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSubjects {
    client_id: ClientId,
    pairwise: Option<(String, PairwiseSalt)>,
}

impl SubjectTypes {
    /// The types by name, as discovery has them.
    pub fn names(&self) -> Vec<&'static str> {
        let types = [(self.public, SubjectType::Public), (self.pairwise.is_some(), SubjectType::Pairwise)];
        types.into_iter().filter(|(is_served, _)| *is_served).map(|(_, served)| served.as_str()).collect()
    }

    /// Fills in the type of a client's document that names none: `pairwise` where the server has nothing else.
    pub fn complete(&self, document: &mut Map<String, Value>) {
        let names_none = document.get("subject_type").is_none_or(|named| named.is_null() || named == "");
        if names_none && !self.public {
            document.insert("subject_type".to_owned(), SubjectType::Pairwise.as_str().into());
        }
    }

    /// How a client knows its users.
    ///
    /// # Errors
    /// `invalid_request` where it is registered for pairwise identifiers that cannot be computed.
    pub fn of(&self, client: &Client) -> Result<ClientSubjects, Error> {
        let pairwise = self.pairwise_of(&client.metadata).map_err(|why| {
            Error::invalid_request(format!("The client's subject_type cannot be served: {why}."))
        })?;
        Ok(ClientSubjects { client_id: client.id.clone(), pairwise })
    }

    /// Checks what is to be registered of a client.
    ///
    /// # Errors
    /// `invalid_client_metadata` naming the member.
    pub fn check(&self, metadata: &ClientMetadata) -> Result<(), Error> {
        let refused = |why| Error::new(ErrorCode::InvalidClientMetadata, format!("subject_type: {why}."));
        self.check_type(metadata).map_err(refused)
    }

    /// The same, saying only why the type that the client has cannot be served.
    ///
    /// # Errors
    /// The reason, for people.
    pub fn check_type(&self, metadata: &ClientMetadata) -> Result<(), &'static str> {
        if metadata.subject_type == SubjectType::Public && !self.public {
            return Err("this server supports the subject type pairwise alone");
        }
        self.pairwise_of(metadata).map(drop)
    }

    fn pairwise_of(&self, metadata: &ClientMetadata) -> Result<Option<(String, PairwiseSalt)>, &'static str> {
        if metadata.subject_type == SubjectType::Public {
            return Ok(None);
        }
        let salt = self.pairwise.clone();
        let salt = salt.ok_or("this server supports the subject type public alone")?;
        Ok(Some((sector(metadata)?, salt)))
    }
}

fn sector(metadata: &ClientMetadata) -> Result<String, &'static str> {
    // Without one, nothing shows that the client is of the sector that it names.
    if metadata.redirect_uris.is_empty() {
        return Err("pairwise needs a redirect URI");
    }
    if let Some(uri) = &metadata.sector_identifier_uri {
        return Ok(uri.clone());
    }
    match &metadata.redirect_uris[..] {
        [only] => Ok(authority(only.as_str()).to_owned()),
        _ => Err("pairwise needs sector_identifier_uri where there is more than one redirect URI"),
    }
}

/// Host and port as they were written: a URL parser would change the text, and with it the identifiers. Empty for a
/// custom scheme without a host, as with Hydra.
fn authority(uri: &str) -> &str {
    let rest = uri.split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or_default()
}

impl ClientSubjects {
    /// The longest identifier, in ASCII characters (OpenID Connect Core §2).
    pub const LONGEST: usize = 255;

    /// The pairwise identifier of a user; `None` where the client knows the user's own name. `forced` is one that the
    /// login app gave in place of the computed one; for a client that is not pairwise it means nothing, as with Hydra.
    pub fn pairwise(&self, subject: &str, forced: Option<&str>) -> Option<String> {
        let (sector, salt) = self.pairwise.as_ref()?;
        let computed = || {
            let hash =
                Sha256::new().chain_update(sector).chain_update(subject).chain_update(&salt.0).finalize();
            hash.iter().fold(String::with_capacity(64), |mut hex, byte| {
                // Writing to memory does not fail.
                let _ = write!(hex, "{byte:02x}");
                hex
            })
        };
        Some(forced.map_or_else(computed, str::to_owned))
    }

    /// True where a hint of an ID token of this server is about this user. `known_as` is what the client would be told
    /// now. Of a pairwise client, its own ID token of this very session will do too: the login app may have forced
    /// another identifier then. A token of another client says nothing, or two clients could find out that they have a
    /// user in common.
    pub fn is_hinted(&self, hint: &Hint, known_as: &str, session: SessionId) -> bool {
        let of_this_session = || {
            let is_own = hint.clients.iter().any(|client| client == self.client_id.as_str());
            self.pairwise.is_some() && is_own && hint.session_id == Some(session)
        };
        hint.subject == known_as || of_this_session()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jose::Entropy;
    use serde_json::json;

    fn pairwise() -> SubjectTypes {
        SubjectTypes { public: true, pairwise: PairwiseSalt::new("salt of eight or more".to_owned()) }
    }

    fn client(changes: &Value) -> Client {
        let mut metadata =
            json!({"subject_type": "pairwise", "redirect_uris": ["https://App.example.com:443/cb?x"]});
        metadata.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        Client::example(metadata)
    }

    fn identifier(changes: &Value) -> Option<String> {
        pairwise().of(&client(changes)).unwrap().pairwise("alice", None)
    }

    // Computed with sha256sum from sector, subject and salt.
    #[test]
    fn an_identifier_is_the_hash_that_hydra_makes() {
        for (changes, hash) in [
            (json!({}), "ae275de45ad0847fa5191a188ca14a23c2002c57d2f8d7ed5a8d9592bf1fec4d"),
            (
                json!({"sector_identifier_uri": "https://sector.example.com/list.json"}),
                "e68d5768d0f5eff1ac74136162292bef7a679bf1ccd2d26791352eb218001842",
            ),
            (
                json!({"redirect_uris": ["com.example.app:/cb"]}),
                "cc9bb7855984338afae95dbf1c1bd6017c23e38ee8c9d93efeadde1dfffae13d",
            ),
        ] {
            assert_eq!(identifier(&changes).as_deref(), Some(hash), "{changes}");
        }
        assert_eq!(identifier(&json!({"subject_type": "public"})), None);
        let subjects = pairwise().of(&client(&json!({}))).unwrap();
        assert_eq!(subjects.pairwise("alice", Some("forced")).as_deref(), Some("forced"));
        let public = pairwise().of(&client(&json!({"subject_type": "public"}))).unwrap();
        assert_eq!(public.pairwise("alice", Some("forced")), None);
    }

    #[test]
    fn what_cannot_be_computed_is_refused_when_it_is_registered_and_when_it_is_asked_for() {
        let only_public = SubjectTypes::default();
        let only_pairwise = SubjectTypes { public: false, ..pairwise() };
        let two = json!({"redirect_uris": ["https://a/cb", "https://b/cb"]});
        for (types, changes, served) in [
            (&only_public, json!({}), false),
            (&pairwise(), json!({}), true),
            (&pairwise(), two.clone(), false),
            (&pairwise(), json!({"redirect_uris": []}), false),
            (&only_public, json!({"subject_type": "public"}), true),
        ] {
            let client = client(&changes);
            let registered = types.check(&client.metadata).map_err(|error| error.code);
            assert_eq!(
                registered,
                if served { Ok(()) } else { Err(ErrorCode::InvalidClientMetadata) },
                "{changes}"
            );
            assert_eq!(types.of(&client).is_ok(), served, "{changes}");
        }
        let public = client(&json!({"subject_type": "public"}));
        assert!(only_pairwise.check(&public.metadata).is_err());
        assert_eq!(only_pairwise.names(), ["pairwise"]);
        assert_eq!(pairwise().names(), ["public", "pairwise"]);
    }

    #[test]
    fn a_document_without_a_type_has_the_only_one_that_there_is() {
        let only_pairwise = SubjectTypes { public: false, ..pairwise() };
        for (types, document, expected) in [
            (&pairwise(), json!({}), json!({})),
            (&only_pairwise, json!({}), json!({"subject_type": "pairwise"})),
            (&only_pairwise, json!({"subject_type": ""}), json!({"subject_type": "pairwise"})),
            (&only_pairwise, json!({"subject_type": "public"}), json!({"subject_type": "public"})),
        ] {
            let Value::Object(mut document) = document else { unreachable!() };
            types.complete(&mut document);
            assert_eq!(Value::Object(document), expected);
        }
    }

    #[test]
    fn a_hint_is_about_a_user_where_the_client_itself_was_told_so() {
        let session = SessionId::new(&Entropy::seeded(1));
        let hint = |subject: &str, client: &str, session_id| Hint {
            subject: subject.to_owned(),
            session_id,
            clients: vec![client.to_owned()],
        };
        let subjects = |subject_type| pairwise().of(&client(&json!({"subject_type": subject_type}))).unwrap();
        for (subject_type, hint, hinted) in [
            ("public", hint("known", "other", None), true),
            ("public", hint("alice", "app", Some(session)), false),
            ("pairwise", hint("known", "app", None), true),
            ("pairwise", hint("forced", "app", Some(session)), true),
            ("pairwise", hint("forced", "app", Some(SessionId::new(&Entropy::seeded(2)))), false),
            ("pairwise", hint("alice", "other", Some(session)), false),
        ] {
            assert_eq!(subjects(subject_type).is_hinted(&hint, "known", session), hinted, "{hint:?}");
        }
    }

    #[test]
    fn a_salt_is_long_enough_and_never_shown() {
        assert_eq!(PairwiseSalt::new("7 chars".to_owned()), None);
        assert!(!format!("{:?}", pairwise()).contains("eight"));
    }
}
