//! The keys of the house: one per purpose, derived from the root keys.

use std::{cmp::Reverse, fmt};

use aes_gcm::Aes256Gcm;
use aws_lc_rs::{constant_time, hkdf, hmac};
use chacha20poly1305::{
    XChaCha20Poly1305,
    aead::{Aead, KeyInit, Nonce, Payload},
};
use zeroize::Zeroizing;

use crate::{Error, KeyId, RootKey};

/// What sealed data is for. Data sealed for one purpose opens for no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SealPurpose {
    /// The payload of opaque access tokens.
    AccessToken,
    /// The payload of refresh tokens.
    RefreshToken,
    /// Authorization codes.
    AuthorizationCode,
    /// What the login app answers.
    LoginChallenge,
    /// What the login app's answer becomes.
    LoginVerifier,
    /// What the consent app answers.
    ConsentChallenge,
    /// What the consent app's answer becomes.
    ConsentVerifier,
    /// What a grant holds, in its row.
    Grant,
    /// What a login session holds, in its row.
    LoginSession,
    /// The cookie that names a login session.
    SessionCookie,
    /// A remembered consent, in its row.
    RememberedConsent,
    /// Where the next page of a list begins.
    PageToken,
    /// What the logout app answers.
    LogoutChallenge,
    /// What the logout app's answer becomes.
    LogoutVerifier,
    /// What a device asks for tokens with.
    DeviceCode,
    /// What a device asked for, in its row.
    DeviceRequest,
    /// What the page for user codes answers.
    DeviceChallenge,
    /// What that answer becomes.
    DeviceVerifier,
    /// Sealed values that are too long for a URL, in their row.
    Parked,
    /// What lets a client manage its own registration.
    RegistrationToken,
    /// A trusted issuer of assertions, in its row.
    TrustedIssuer,
    /// What a token that another server issued stands for here, in its row.
    ImportedToken,
    /// The key with which that server signed its tokens, in its row.
    ImportedSecret,
}

impl SealPurpose {
    /// All purposes, in the order of their declaration.
    pub const ALL: [Self; 23] = [
        Self::AccessToken,
        Self::RefreshToken,
        Self::AuthorizationCode,
        Self::LoginChallenge,
        Self::LoginVerifier,
        Self::ConsentChallenge,
        Self::ConsentVerifier,
        Self::Grant,
        Self::LoginSession,
        Self::SessionCookie,
        Self::RememberedConsent,
        Self::PageToken,
        Self::LogoutChallenge,
        Self::LogoutVerifier,
        Self::DeviceCode,
        Self::DeviceRequest,
        Self::DeviceChallenge,
        Self::DeviceVerifier,
        Self::Parked,
        Self::RegistrationToken,
        Self::TrustedIssuer,
        Self::ImportedToken,
        Self::ImportedSecret,
    ];

    const fn label(self) -> &'static str {
        match self {
            Self::AccessToken => "keywright/access-token",
            Self::RefreshToken => "keywright/refresh-token",
            Self::AuthorizationCode => "keywright/authorization-code",
            Self::LoginChallenge => "keywright/login-challenge",
            Self::LoginVerifier => "keywright/login-verifier",
            Self::ConsentChallenge => "keywright/consent-challenge",
            Self::ConsentVerifier => "keywright/consent-verifier",
            Self::Grant => "keywright/grant",
            Self::LoginSession => "keywright/login-session",
            Self::SessionCookie => "keywright/session-cookie",
            Self::RememberedConsent => "keywright/remembered-consent",
            Self::PageToken => "keywright/page-token",
            Self::LogoutChallenge => "keywright/logout-challenge",
            Self::LogoutVerifier => "keywright/logout-verifier",
            Self::DeviceCode => "keywright/device-code",
            Self::DeviceRequest => "keywright/device-request",
            Self::DeviceChallenge => "keywright/device-challenge",
            Self::DeviceVerifier => "keywright/device-verifier",
            Self::Parked => "keywright/parked",
            Self::RegistrationToken => "keywright/registration-token",
            Self::TrustedIssuer => "keywright/trusted-issuer",
            Self::ImportedToken => "keywright/imported-token",
            Self::ImportedSecret => "keywright/imported-secret",
        }
    }
}

/// What an authentication code is for. A code made for one purpose verifies for no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MacPurpose {
    /// The signature half of opaque tokens.
    TokenSignature,
    /// Client secrets that Keywright generated, as they are stored.
    ClientSecret,
    /// The cookie that ties an authorization flow to one browser.
    FlowCookie,
    /// The random half of a refresh token, derived from the one before it.
    RefreshChain,
    /// User codes, as they are stored.
    UserCode,
}

impl MacPurpose {
    /// All purposes, in the order of their declaration.
    pub const ALL: [Self; 5] =
        [Self::TokenSignature, Self::ClientSecret, Self::FlowCookie, Self::RefreshChain, Self::UserCode];

    const fn label(self) -> &'static str {
        match self {
            Self::TokenSignature => "keywright/token-signature",
            Self::ClientSecret => "keywright/client-secret",
            Self::FlowCookie => "keywright/flow-cookie",
            Self::RefreshChain => "keywright/refresh-chain",
            Self::UserCode => "keywright/user-code",
        }
    }
}

const JWK_AT_REST: &str = "keywright/jwk-at-rest";

/// An HMAC-SHA256 under a purpose key, with the generation of the root it derives from.
///
/// It may itself be a secret (the signature of a token is), so it has no `PartialEq` and no telling `Debug`:
/// check one by [`KeyRing::verify_mac`].
#[derive(Clone, Copy)]
pub struct Mac {
    /// The generation of the root key.
    pub generation: u8,
    /// The code itself.
    pub tag: [u8; 32],
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mac").field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// All purpose keys of all root generations, derived once: HKDF-SHA256(root, "keywright/" ‖ purpose).
///
/// The highest generation seals and authenticates; every generation opens and verifies. Sealed data is
///
/// ```text
/// generation (1) ‖ nonce (24, or 12 for a JWK) ‖ ciphertext ‖ authentication tag (16)
/// ```
///
/// with the purpose's label and the generation as associated data. Nonces are fresh random bytes from the
/// caller's [`Entropy`](crate::Entropy): 24 bytes do not repeat by chance however much is sealed; 12 bytes do
/// not within the 2^32 JWKs that one root may ever seal.
pub struct KeyRing {
    /// Newest first, never empty.
    generations: Vec<PurposeKeys>,
}

struct PurposeKeys {
    generation: u8,
    /// By [`SealPurpose`], in the order of its declaration.
    sealing: Vec<XChaCha20Poly1305>,
    /// By [`MacPurpose`], in the order of its declaration.
    macs: Vec<hmac::Key>,
    jwk_at_rest: Aes256Gcm,
}

impl PurposeKeys {
    fn derive(root: &RootKey) -> Result<Self, Error> {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(root.key());
        let key = |label: &str| -> Result<Zeroizing<[u8; 32]>, Error> {
            const FAILED: Error = Error::Crypto("deriving a purpose key");
            let info = [label.as_bytes()];
            let okm = prk.expand(&info, hkdf::HKDF_SHA256).map_err(|_| FAILED)?;
            let mut key = Zeroizing::new([0; 32]);
            okm.fill(&mut *key).map_err(|_| FAILED)?;
            Ok(key)
        };
        let sealing = |purpose: SealPurpose| Ok(XChaCha20Poly1305::new((&*key(purpose.label())?).into()));
        let mac = |purpose: MacPurpose| Ok(hmac::Key::new(hmac::HMAC_SHA256, &*key(purpose.label())?));
        Ok(Self {
            generation: root.generation(),
            sealing: SealPurpose::ALL.into_iter().map(sealing).collect::<Result<_, Error>>()?,
            macs: MacPurpose::ALL.into_iter().map(mac).collect::<Result<_, Error>>()?,
            jwk_at_rest: Aes256Gcm::new((&*key(JWK_AT_REST)?).into()),
        })
    }

    fn sealing(&self, purpose: SealPurpose) -> &XChaCha20Poly1305 {
        &self.sealing[purpose as usize]
    }

    fn mac(&self, purpose: MacPurpose) -> &hmac::Key {
        &self.macs[purpose as usize]
    }
}

impl KeyRing {
    /// Derives all purpose keys. The root keys are wiped; no more than these is needed of them.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] without a root key, or with two of one generation.
    pub fn new(mut roots: Vec<RootKey>) -> Result<Self, Error> {
        roots.sort_unstable_by_key(|root| Reverse(root.generation()));
        if roots.is_empty() {
            return Err(Error::InvalidKey("a key ring needs a root key"));
        }
        if roots.windows(2).any(|pair| pair[0].generation() == pair[1].generation()) {
            return Err(Error::InvalidKey("two root keys have the same generation"));
        }
        Ok(Self { generations: roots.iter().map(PurposeKeys::derive).collect::<Result<_, _>>()? })
    }

    /// The generation that seals.
    pub fn current_generation(&self) -> u8 {
        self.current().generation
    }

    fn current(&self) -> &PurposeKeys {
        &self.generations[0]
    }

    fn generation(&self, generation: u8) -> Option<&PurposeKeys> {
        self.generations.iter().find(|keys| keys.generation == generation)
    }

    /// Encrypts and authenticates, for one purpose, with XChaCha20-Poly1305. `nonce` is fresh and random.
    pub fn seal(&self, purpose: SealPurpose, plaintext: &[u8], nonce: [u8; 24]) -> Vec<u8> {
        let keys = self.current();
        let aad = associated_data(purpose.label(), keys.generation, &[]);
        seal_with(keys.sealing(purpose), keys.generation, &nonce.into(), plaintext, &aad)
    }

    /// Opens what [`Self::seal`] made for the same purpose.
    ///
    /// # Errors
    /// [`Error::NotOpened`] if it was sealed for another purpose or by another ring, or changed.
    pub fn open(&self, purpose: SealPurpose, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let (keys, sealed) = self.keys_for(sealed)?;
        let aad = associated_data(purpose.label(), keys.generation, &[]);
        open_with(keys.sealing(purpose), sealed, &aad)
    }

    /// Encrypts a private JWK for the database with AES-256-GCM, bound to its set and name: moved to another
    /// row, it does not open. `nonce` is fresh and random.
    pub fn seal_jwk(&self, set: &str, kid: &KeyId, jwk: &str, nonce: [u8; 12]) -> Vec<u8> {
        let keys = self.current();
        let aad = associated_data(JWK_AT_REST, keys.generation, &[set, kid.as_str()]);
        seal_with(&keys.jwk_at_rest, keys.generation, &nonce.into(), jwk.as_bytes(), &aad)
    }

    /// Opens what [`Self::seal_jwk`] made for the same set and name.
    ///
    /// # Errors
    /// [`Error::NotOpened`] if it was sealed for another set or name or by another ring, or changed.
    pub fn open_jwk(&self, set: &str, kid: &KeyId, sealed: &[u8]) -> Result<Zeroizing<String>, Error> {
        let (keys, sealed) = self.keys_for(sealed)?;
        let aad = associated_data(JWK_AT_REST, keys.generation, &[set, kid.as_str()]);
        let mut jwk = open_with(&keys.jwk_at_rest, sealed, &aad)?;
        String::from_utf8(std::mem::take(&mut *jwk)).map(Zeroizing::new).map_err(|_| Error::NotOpened)
    }

    /// HMAC-SHA256 of the parts in their order, under the current generation. Each part goes in with its
    /// length, so that no two different lists of parts have the same code.
    pub fn mac(&self, purpose: MacPurpose, parts: &[&[u8]]) -> Mac {
        let keys = self.current();
        Mac { generation: keys.generation, tag: tag(keys.mac(purpose), parts) }
    }

    /// Whether [`Self::mac`] gave this code for these parts, in constant time. An unknown generation or a
    /// code of another length is simply false.
    pub fn verify_mac(&self, purpose: MacPurpose, parts: &[&[u8]], generation: u8, tag: &[u8]) -> bool {
        self.generation(generation).is_some_and(|keys| {
            let expected = self::tag(keys.mac(purpose), parts);
            constant_time::verify_slices_are_equal(&expected, tag).is_ok()
        })
    }

    /// The keys that sealed this, by its first byte, and the rest of it.
    fn keys_for<'a>(&self, sealed: &'a [u8]) -> Result<(&PurposeKeys, &'a [u8]), Error> {
        let (generation, sealed) = sealed.split_first().ok_or(Error::NotOpened)?;
        Ok((self.generation(*generation).ok_or(Error::NotOpened)?, sealed))
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let generations = self.generations.iter().map(|keys| keys.generation);
        f.write_str("KeyRing")?;
        f.debug_list().entries(generations).finish()
    }
}

/// The label has a fixed spelling and every later part its length before it: no two contexts collide.
fn associated_data(label: &str, generation: u8, parts: &[&str]) -> Vec<u8> {
    let mut aad = [label.as_bytes(), &[generation]].concat();
    for part in parts {
        aad.extend((part.len() as u64).to_be_bytes());
        aad.extend(part.as_bytes());
    }
    aad
}

fn tag(key: &hmac::Key, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut tag = [0; 32];
    tag.copy_from_slice(context.sign().as_ref());
    tag
}

#[expect(clippy::expect_used, reason = "the ciphers only refuse more than 64 GiB")]
fn seal_with<C: Aead>(cipher: &C, generation: u8, nonce: &Nonce<C>, msg: &[u8], aad: &[u8]) -> Vec<u8> {
    let ciphertext = cipher.encrypt(nonce, Payload { msg, aad }).expect("the plaintext is short");
    [&[generation], nonce.as_slice(), &ciphertext].concat()
}

/// `sealed` comes without its generation byte.
fn open_with<C: Aead>(cipher: &C, sealed: &[u8], aad: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let (nonce, msg) = sealed.split_at_checked(Nonce::<C>::default().len()).ok_or(Error::NotOpened)?;
    let nonce = nonce.try_into().map_err(|_| Error::NotOpened)?;
    cipher.decrypt(nonce, Payload { msg, aad }).map(Zeroizing::new).map_err(|_| Error::NotOpened)
}

#[cfg(test)]
mod tests;
