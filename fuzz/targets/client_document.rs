//! Clients' documents: what is taken is written, and what is written is taken again as the same.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use oauth::client_object::ClientObject;
use oauth::client_registration::ClientRegistration;
use oauth::{ClientId, ScopeSet};
use serde_json::{Map, Value};

fuzz_target!(|text: &[u8]| {
    let Ok(document) = serde_json::from_slice::<Map<String, Value>>(text) else { return };
    let Ok(taken) = ClientRegistration::parse(document, &ScopeSet::default()) else { return };
    let id = taken.id.unwrap_or_else(|| ClientId::parse("app").expect("an id"));
    let now = Timestamp::UNIX_EPOCH;
    let written =
        serde_json::to_vec(&ClientObject::new(&id, &taken.metadata, now, now)).expect("it serialises");
    let written: Map<String, Value> = serde_json::from_slice(&written).expect("an object");
    let again = ClientRegistration::parse(written, &ScopeSet::default()).expect("it was taken before");
    assert_eq!(again.metadata, taken.metadata);
    assert!(again.secret.is_none());
});
