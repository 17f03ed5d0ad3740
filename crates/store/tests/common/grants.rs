//! Grants, and the refresh tokens that follow each other.

use std::time::Duration;

use harness::TestDatabase;
use jiff::Timestamp;
use oauth::user_code::UserCodeHash;
use oauth::{GrantId, SessionId, TokenId};
use sqlx::Row;
use store::{
    GrantState, NewConsent, NewDeviceAuthorization, NewGrant, NewLogin, NewRefresh, RefreshOutcome,
    RefreshRotation, Store, StoredClient, StoredConsent,
};

use super::{hours, sql};

/// A token that nobody revoked.
pub const TOKEN: TokenId = TokenId([9; 16]);

/// The hash of a grant's refresh token of a generation.
pub fn hash(generation: i64) -> [u8; 32] {
    [u8::try_from(generation % 256).unwrap() ^ 0xa5; 32]
}

/// A grant of a flow that started now: with a session, and a refresh token for a day.
pub fn new_grant(store: &Store, client: &StoredClient, subject: &str) -> NewGrant {
    let now = store.clock().now();
    NewGrant {
        id: GrantId::new(now, store.entropy()),
        client_id: client.id.clone(),
        incarnation: client.incarnation,
        epoch: client.epoch,
        subject: subject.into(),
        session_id: Some(SessionId::new(store.entropy())),
        code_id: store.entropy().bytes(),
        operation: store.entropy().bytes(),
        content: b"what was granted, sealed".to_vec(),
        started_at: now,
        refresh: Some(NewRefresh { hash: hash(0), expires_at: now + hours(24) }),
        expires_at: now + hours(24),
    }
}

/// What a device asks for, until `expires_at`.
pub fn new_device_authorization(store: &Store, expires_at: Timestamp) -> NewDeviceAuthorization {
    NewDeviceAuthorization {
        id: GrantId::new(store.clock().now(), store.entropy()),
        user_code: UserCodeHash(store.entropy().bytes()),
        content: b"what is asked for, sealed".to_vec(),
        expires_at,
    }
}

/// Remembers the login of a grant, and the consent to it until `consent_ends`.
pub async fn remember(
    store: &Store,
    grant: &NewGrant,
    login_ends: Timestamp,
    consent_ends: Option<Timestamp>,
) {
    let login = NewLogin { expires_at: login_ends, ..new_login(store, grant) };
    assert!(store.remember_login(&login).await.unwrap());
    let mut new = new_consent(store, grant);
    new.consent.expires_at = consent_ends;
    store.remember_consent(&new).await.unwrap();
}

/// The login of a grant, for an hour.
pub fn new_login(store: &Store, grant: &NewGrant) -> NewLogin {
    let now = store.clock().now();
    NewLogin {
        id: grant.session_id.unwrap(),
        subject: grant.subject.clone(),
        content: vec![1],
        started_at: now,
        expires_at: now + hours(1),
        identity_provider_session: None,
    }
}

/// The consent to a grant, for ever.
pub fn new_consent(store: &Store, grant: &NewGrant) -> NewConsent {
    let now = store.clock().now();
    let consent = StoredConsent {
        client_id: grant.client_id.clone(),
        incarnation: grant.incarnation,
        consent_request_id: grant.id,
        content: vec![1],
        granted_at: now,
        expires_at: None,
    };
    NewConsent { subject: grant.subject.clone(), started_at: now, consent }
}

/// The same code, exchanged by somebody else.
pub fn by_another(store: &Store, grant: &NewGrant) -> NewGrant {
    NewGrant { operation: store.entropy().bytes(), ..grant.clone() }
}

/// The use of a grant's refresh token of a generation, for another day, without grace.
pub fn rotation(store: &Store, grant: &NewGrant, generation: i64) -> RefreshRotation {
    let now = store.clock().now();
    RefreshRotation {
        grant_id: grant.id,
        generation,
        presented_hash: hash(generation),
        next_hash: hash(generation + 1),
        nonce: store.entropy().bytes(),
        expires_at: now + hours(24),
        keep_until: now + hours(24),
        grace: Duration::ZERO,
        incarnation: grant.incarnation,
        epoch: grant.epoch,
        content: None,
    }
}

/// What the database says of a grant that exists.
pub async fn state(store: &Store, grant: &NewGrant) -> GrantState {
    store.grant_state(grant.id, TOKEN).await.unwrap().unwrap()
}

/// What became of a refresh, in a word.
pub fn word(outcome: &RefreshOutcome) -> &'static str {
    match outcome {
        RefreshOutcome::Rotated(_) => "rotated",
        RefreshOutcome::Repeated(_) => "repeated",
        RefreshOutcome::Reused => "reused",
        RefreshOutcome::Refused => "refused",
    }
}

/// All that the database holds of grants, to tell whether anything was touched.
pub async fn rows(database: &TestDatabase) -> Vec<(Vec<u8>, [Option<i64>; 5], [Option<Vec<u8>>; 5])> {
    let select = "SELECT id, generation, revoked_at, expires_at, rotated_at, refresh_expires_at, \
                  refresh_hash, previous_hash, nonce, operation, code_id FROM grants ORDER BY id";
    let row = |row: &sqlx::any::AnyRow| {
        let numbers = [1, 2, 3, 4, 5].map(|index| row.get(index));
        (row.get(0), numbers, [6, 7, 8, 9, 10].map(|index| row.get(index)))
    };
    sql(database, select).await.iter().map(row).collect()
}
