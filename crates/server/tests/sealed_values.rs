//! Every sealed value that leaves the server opens where it belongs, and nowhere else, and not when a bit of it changed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::doors::{client_of_all, doors, with_all_doors};
use common::{TestServer, manual_clock};

/// How many places of a value are changed.
const PLACES: usize = 24;

/// The value with one bit changed, at several places: of an access token, in the key and in the signature.
fn damaged(value: &str) -> Vec<String> {
    let parts: Vec<_> = value.split('.').collect();
    let mut damaged = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let bytes = URL_SAFE_NO_PAD.decode(part).unwrap();
        let places = (0..PLACES).map(|place| place * bytes.len() / PLACES).chain([bytes.len() - 1]);
        for place in places {
            let mut changed = bytes.clone();
            changed[place] ^= 1 << (place % 8);
            let changed = URL_SAFE_NO_PAD.encode(changed);
            let mut parts: Vec<_> = parts.iter().map(|part| (*part).to_owned()).collect();
            parts[index] = changed;
            damaged.push(parts.join("."));
        }
        // Shorter and longer ones, and one whose text differs in bits that stand for nothing.
        let mut parts: Vec<_> = parts.iter().map(|part| (*part).to_owned()).collect();
        for changed in [URL_SAFE_NO_PAD.encode(&bytes[..bytes.len() - 1]), format!("{part}AAAA")] {
            parts[index] = changed;
            damaged.push(parts.join("."));
        }
    }
    damaged
}

#[tokio::test]
async fn a_sealed_value_opens_where_it_belongs_and_nowhere_else() {
    let server = TestServer::alone(manual_clock(), with_all_doors()).await;
    let client = client_of_all(&server).await;
    let doors = doors(&server, &client).await;
    assert_eq!(doors.len(), 15);
    for door in &doors {
        for foreign in doors.iter().filter(|foreign| foreign.kind != door.kind) {
            for form in door.forms(&foreign.value).into_iter().chain(foreign.forms(&foreign.value)) {
                let opens = door.opens(&server, &client, &form).await;
                assert!(!opens, "{} opens as {}: {form}", foreign.kind, door.kind);
            }
        }
    }
    for foreign in doors.iter().filter(|foreign| !["access_token", "refresh_token"].contains(&foreign.kind)) {
        for prefix in ["", "ory_at_", "ory_rt_", foreign.prefix] {
            assert!(!server.is_active(&format!("{prefix}{}", foreign.value)).await, "{}", foreign.kind);
        }
    }
    all_open(&doors, &server, &client).await;
}

#[tokio::test]
async fn a_sealed_value_does_not_open_when_a_bit_of_it_changed() {
    let server = TestServer::alone(manual_clock(), with_all_doors()).await;
    let client = client_of_all(&server).await;
    let doors = doors(&server, &client).await;
    for door in &doors {
        for value in damaged(&door.value) {
            let value = format!("{}{value}", door.prefix);
            assert!(!door.opens(&server, &client, &value).await, "{}: {value}", door.kind);
            assert!(!server.is_active(&value).await, "{}: {value}", door.kind);
        }
    }
    all_open(&doors, &server, &client).await;
}

/// What was refused used nothing up: each genuine value opens its door.
async fn all_open(doors: &[common::doors::Door<'_>], server: &TestServer, client: &common::TestClient) {
    for door in doors {
        let value = format!("{}{}", door.prefix, door.value);
        // Refreshing ends the access token of before.
        assert!(door.opens(server, client, &value).await, "{} does not open", door.kind);
    }
}
