//! Stored client secrets: what can be read is written back the same, and no changed text opens a client.
#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use jose::{Entropy, KeyRing};
use libfuzzer_sys::fuzz_target;
use oauth::{ClientId, ClientSecret, ClientSecretHash, Incarnation};
use support::Edits;

static RING: LazyLock<KeyRing> = LazyLock::new(support::ring);

/// A hash of a chosen secret, which takes long to make.
static CHOSEN: LazyLock<ClientSecretHash> = LazyLock::new(|| {
    let (id, secret) = (client_id(), ClientSecret::new("chosen by somebody"));
    ClientSecretHash::of_chosen(&RING, &id, Incarnation(1), &secret, &Entropy::seeded(3))
        .expect("it is long enough")
});

fn client_id() -> ClientId {
    ClientId::parse("client").expect("an id")
}

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    text: &'a str,
    secret: &'a str,
    presented: &'a str,
    incarnation: i64,
    edits: Edits,
}

fn read(text: &str) -> Option<ClientSecretHash> {
    let hash: ClientSecretHash = text.parse().ok()?;
    let written = hash.to_string();
    let again: ClientSecretHash = written.parse().expect("what was written can be read");
    assert_eq!(again.to_string(), written);
    Some(hash)
}

fuzz_target!(|input: Input<'_>| {
    let (id, incarnation) = (client_id(), Incarnation(input.incarnation));
    let presented = ClientSecret::new(input.presented);
    if let Some(hash) = read(input.text) {
        assert!(!hash.verify(&RING, &id, incarnation, &presented), "nobody makes a hash up");
    }

    let hash = ClientSecretHash::of_generated(&RING, &id, incarnation, &ClientSecret::new(input.secret));
    assert_eq!(hash.verify(&RING, &id, incarnation, &presented), input.secret == input.presented);
    assert!(!hash.verify(&RING, &id, Incarnation(input.incarnation ^ 1), &ClientSecret::new(input.secret)));

    for (genuine, incarnation, secret) in
        [(&hash, incarnation, input.secret), (&*CHOSEN, Incarnation(1), "chosen by somebody")]
    {
        let text = genuine.to_string();
        // Another way to write the same number is the same hash.
        if let Some(changed) = read(&input.edits.apply(&text)).filter(|changed| changed.to_string() != text) {
            assert!(
                !changed.verify(&RING, &id, incarnation, &ClientSecret::new(secret)),
                "{changed} for {text}"
            );
        }
    }
});
