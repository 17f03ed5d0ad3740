//! Tokens that an Ory Hydra issued whose database was taken over.
//!
//! ```text
//! ory_rt_<base64url(random part)>.<base64url(HMAC-SHA-512/256 of it)>
//! ```
//!
//! Hydra's database knows a token by its signature. Ours has a row for each that was taken over, under a digest of the
//! signature, which says, sealed, what the token stands for. Who has both databases has signatures and no random parts:
//! a token counts only where its signature is that of its random part.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jose::{Entropy, HydraSecret, KeyRing, SealPurpose};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::refresh_token::RefreshToken;
use crate::{ClientId, GrantId, Incarnation, RegistrationToken, refresh_token, sealed};

/// Hydra's prefix of access tokens, with which it also makes registration access tokens.
const REGISTRATION_PREFIX: &str = "ory_at_";

/// The fewest and the most bytes of a random part.
const RANDOM: std::ops::RangeInclusive<usize> = 32..=128;

/// What a token of Hydra's is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HydraTokenKind {
    /// A refresh token.
    Refresh,
    /// A registration access token (RFC 7592).
    Registration,
}

/// A token that has the form of Hydra's.
#[derive(Clone)]
pub struct HydraToken {
    kind: HydraTokenKind,
    random: Vec<u8>,
    signature: [u8; HydraSecret::SIGNATURE_LEN],
}

/// Names a row of what was taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ImportedId(pub [u8; 32]);

impl ImportedId {
    /// The name of a thing of some kind. No two lists of parts have one name.
    pub fn new(kind: &str, parts: &[&[u8]]) -> Self {
        let parts = [kind.as_bytes()].into_iter().chain(parts.iter().copied());
        let digest = parts.fold(Sha256::new(), |digest, part| {
            digest.chain_update((part.len() as u64).to_be_bytes()).chain_update(part)
        });
        Self(digest.finalize().into())
    }

    /// The name of a token with this signature.
    pub fn of_token(kind: HydraTokenKind, signature: &[u8]) -> Self {
        let kind = match kind {
            HydraTokenKind::Refresh => "refresh token",
            HydraTokenKind::Registration => "registration token",
        };
        Self::new(kind, &[signature])
    }
}

impl HydraToken {
    /// Reads a token, with or without its prefix; `None` for what has not the form.
    pub fn parse(kind: HydraTokenKind, text: &str) -> Option<Self> {
        let prefix = match kind {
            HydraTokenKind::Refresh => refresh_token::PREFIX,
            HydraTokenKind::Registration => REGISTRATION_PREFIX,
        };
        let (random, signature) = text.strip_prefix(prefix).unwrap_or(text).split_once('.')?;
        let random = URL_SAFE_NO_PAD.decode(random).ok().filter(|bytes| RANDOM.contains(&bytes.len()))?;
        Some(Self { kind, random, signature: signature_of(signature)? })
    }

    /// The name of its row.
    pub fn row(&self) -> ImportedId {
        ImportedId::of_token(self.kind, &self.signature)
    }

    /// True where Hydra signed it with this secret.
    pub fn is_signed_with(&self, secret: &HydraSecret) -> bool {
        secret.verifies(&self.random, &self.signature)
    }

    /// The refresh token that it stands for, by what its row says.
    pub fn refresh_token(&self, row: &ImportedToken) -> Option<RefreshToken> {
        let ImportedToken::Refresh { grant, used, incarnation, epoch, issued_at, expires_at } = *row else {
            return None;
        };
        // One before the first: whatever the grant's generation is, this token is an old one.
        let generation = if used { -1 } else { 0 };
        let times = (issued_at, expires_at);
        Some(RefreshToken::taken_over((grant, generation), (incarnation, epoch), self.signature, times))
    }
}

/// The bytes of a signature as Hydra writes it; `None` for anything else.
pub fn signature_of(text: &str) -> Option<[u8; HydraSecret::SIGNATURE_LEN]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

/// What the row of a grant knows of a refresh token with this signature.
pub fn refresh_hash(signature: &[u8; HydraSecret::SIGNATURE_LEN]) -> [u8; 32] {
    Sha256::digest(signature).into()
}

/// What a token of Hydra's stands for here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImportedToken {
    /// A grant's first refresh token.
    Refresh {
        /// The grant.
        grant: GrantId,
        /// It was used already, so that whoever comes with it may have stolen it.
        used: bool,
        /// The client's incarnation.
        incarnation: Incarnation,
        /// The client's epoch.
        epoch: i64,
        /// When it was issued, in seconds since the epoch.
        issued_at: i64,
        /// When it ends; `None` where it lives until it is revoked.
        expires_at: Option<i64>,
    },
    /// A client's registration access token.
    Registration {
        /// The client.
        client_id: ClientId,
        /// Its incarnation.
        incarnation: Incarnation,
        /// Which of the client's tokens it is here.
        generation: i64,
    },
}

#[derive(Serialize, Deserialize)]
struct Row {
    id: [u8; 32],
    token: ImportedToken,
}

impl ImportedToken {
    /// The registration access token that it is.
    pub fn registration_token(self) -> Option<RegistrationToken> {
        let Self::Registration { client_id, incarnation, generation } = self else { return None };
        Some(RegistrationToken { client_id, incarnation, generation })
    }

    /// What the row of this name holds: whoever can write there gives no token another meaning.
    pub fn seal(&self, ring: &KeyRing, row: ImportedId, entropy: &Entropy) -> Vec<u8> {
        let row = Row { id: row.0, token: self.clone() };
        sealed::seal_bytes(ring, SealPurpose::ImportedToken, &row, entropy)
    }

    /// Opens what a row holds; `None` for anything else, another row's content among it.
    pub fn open(ring: &KeyRing, row: ImportedId, sealed: &[u8]) -> Option<Self> {
        let opened: Row = sealed::open_bytes(ring, SealPurpose::ImportedToken, sealed)?;
        (opened.id == row.0).then_some(opened.token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use jose::RootKey;

    // Of an Ory Hydra whose secrets.system was this.
    const SECRET: &str = "the-second-secret-of-hydra";
    const TOKEN: &str =
        "ory_rt_CsPs0EZWup91kAXse5t_BGa4JRBkNIe_56he6mD8C7E.w06buKcRcGJVpg26yBmNDpYohA4uHbTzyfeTRYLifBE";

    fn ring(seed: u64) -> KeyRing {
        KeyRing::new(vec![RootKey::generate(1, &Entropy::seeded(seed))]).unwrap()
    }

    fn refresh(used: bool) -> ImportedToken {
        ImportedToken::Refresh {
            grant: GrantId::from_bytes([7; 16]),
            used,
            incarnation: Incarnation(3),
            epoch: 1,
            issued_at: 100,
            expires_at: Some(200),
        }
    }

    #[test]
    fn a_token_is_hydras_where_its_signature_is_that_of_its_random_part() {
        let parse = |text: &str| HydraToken::parse(HydraTokenKind::Refresh, text);
        let token = parse(TOKEN).unwrap();
        assert!(token.is_signed_with(&HydraSecret::new(SECRET)));
        assert!(!token.is_signed_with(&HydraSecret::new("another secret of hydra")));
        let bare = parse(TOKEN.strip_prefix("ory_rt_").unwrap()).unwrap();
        assert_eq!(bare.row(), token.row());
        let (random, signature) = TOKEN.split_once('.').unwrap();
        let forged = format!("ory_rt_{}.{signature}", "A".repeat(43));
        let forged = parse(&forged).unwrap();
        assert_eq!(forged.row(), token.row(), "the database alone tells the signature");
        assert!(!forged.is_signed_with(&HydraSecret::new(SECRET)));
        for no_token in
            ["", "ory_rt_", random, &format!("{random}."), &format!("{TOKEN}.x"), "ory_rt_AAAA.AAAA"]
        {
            assert!(parse(no_token).is_none(), "{no_token}");
        }
        let registration = HydraToken::parse(HydraTokenKind::Registration, &TOKEN.replace("_rt_", "_at_"));
        assert_ne!(registration.unwrap().row(), token.row());
    }

    #[test]
    fn a_row_opens_under_its_own_name_alone() {
        let (ring, entropy) = (ring(1), Entropy::seeded(2));
        let name = ImportedId::new("refresh token", &[b"a"]);
        let sealed = refresh(false).seal(&ring, name, &entropy);
        assert_eq!(ImportedToken::open(&ring, name, &sealed), Some(refresh(false)));
        assert_eq!(ImportedToken::open(&ring, ImportedId::new("refresh token", &[b"b"]), &sealed), None);
        assert_eq!(ImportedToken::open(&self::ring(2), name, &sealed), None);
        assert_ne!(ImportedId::new("x", &[b"a", b"b"]), ImportedId::new("x", &[b"ab", b""]));
    }

    #[test]
    fn it_stands_for_the_first_token_of_its_grant_or_for_one_before() {
        let token = HydraToken::parse(HydraTokenKind::Refresh, TOKEN).unwrap();
        let first = token.refresh_token(&refresh(false)).unwrap();
        assert_eq!((first.grant, first.generation), (GrantId::from_bytes([7; 16]), 0));
        assert_eq!((first.incarnation, first.epoch), (Incarnation(3), 1));
        assert_eq!(first.hash(), refresh_hash(&signature_of(TOKEN.split_once('.').unwrap().1).unwrap()));
        assert!(first.is_expired(Timestamp::from_second(200).unwrap()));
        assert_eq!(token.refresh_token(&refresh(true)).unwrap().generation, -1);
        let client_id = ClientId::parse("app").unwrap();
        let registration =
            ImportedToken::Registration { client_id, incarnation: Incarnation(3), generation: 2 };
        assert!(token.refresh_token(&registration).is_none());
        assert_eq!(registration.registration_token().unwrap().generation, 2);
        assert!(refresh(false).registration_token().is_none());
    }
}
