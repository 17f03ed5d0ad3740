use super::*;

fn secret(text: &str) -> SystemSecret {
    SystemSecret::new(text).unwrap()
}

const OLD: &str = "the old secret of this system";
const NEW: &str = "the new secret of this system";

#[test]
fn a_system_secret_has_sixteen_characters() {
    assert_eq!(SystemSecret::new("x".repeat(15)).err(), Some(Error::WeakSecret));
    assert!(SystemSecret::new("x".repeat(16)).is_ok());
    assert_eq!(SystemSecret::new("ü".repeat(15)).err(), Some(Error::WeakSecret), "characters, not bytes");
}

#[test]
fn a_root_key_opens_with_the_secret_that_wrapped_it() {
    let entropy = Entropy::seeded(1);
    let root = RootKey::generate(3, &entropy);
    let wrapped = root.wrap(&secret(OLD), &entropy).unwrap();
    let (opened, index) = RootKey::unwrap(3, &wrapped, &[secret(NEW), secret(OLD)]).unwrap();
    assert_eq!((opened.key(), opened.generation(), index), (root.key(), 3, 1));
}

#[test]
fn another_secret_does_not_open_it() {
    let entropy = Entropy::seeded(1);
    let wrapped = RootKey::generate(1, &entropy).wrap(&secret(OLD), &entropy).unwrap();
    assert_eq!(RootKey::unwrap(1, &wrapped, &[secret(NEW)]).err(), Some(Error::NotOpened));
    assert_eq!(RootKey::unwrap(1, &wrapped, &[]).err(), Some(Error::NotOpened));
}

#[test]
fn it_opens_only_as_the_generation_it_was_wrapped_as() {
    let entropy = Entropy::seeded(1);
    let wrapped = RootKey::generate(1, &entropy).wrap(&secret(OLD), &entropy).unwrap();
    assert_eq!(RootKey::unwrap(2, &wrapped, &[secret(OLD)]).err(), Some(Error::NotOpened));
}

#[test]
fn a_damaged_wrapping_does_not_open() {
    let entropy = Entropy::seeded(1);
    let wrapped = RootKey::generate(1, &entropy).wrap(&secret(OLD), &entropy).unwrap();
    // The version, the salt, the nonce, the key, the tag.
    for position in [0, 1, 16, 17, 40, 41, 72, 73, wrapped.len() - 1] {
        let mut damaged = wrapped.clone();
        damaged[position] ^= 1;
        let opened = RootKey::unwrap(1, &damaged, &[secret(OLD)]);
        assert_eq!(opened.err(), Some(Error::NotOpened), "byte {position}");
    }
    for len in [0, 1, 17, 41, wrapped.len() - 1] {
        assert_eq!(
            RootKey::unwrap(1, &wrapped[..len], &[secret(OLD)]).err(),
            Some(Error::NotOpened),
            "{len} bytes"
        );
    }
}

#[test]
fn wrapping_twice_gives_different_blobs() {
    let entropy = Entropy::seeded(1);
    let root = RootKey::generate(1, &entropy);
    let (one, other) =
        (root.wrap(&secret(OLD), &entropy).unwrap(), root.wrap(&secret(OLD), &entropy).unwrap());
    assert_ne!(one[1..17], other[1..17], "the salt");
    assert_ne!(one[41..], other[41..], "the sealed key");
    assert_eq!(one.len(), 1 + 16 + 24 + 32 + 16);
}

#[test]
fn debug_tells_neither_secret_nor_key() {
    let root = RootKey::generate(9, &Entropy::seeded(1));
    assert_eq!(format!("{:?} {root:?}", secret(OLD)), "SystemSecret(redacted) RootKey { generation: 9, .. }");
}
