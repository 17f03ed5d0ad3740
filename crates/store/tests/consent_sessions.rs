//! What a subject has granted: listed, and ended one by one.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use common::grants::{new_grant, rows, state};
use common::{clock, costing, create_client, databases, hours, minutes};
use oauth::{GrantId, Incarnation};
use store::{ConsentSession, NewConsent, NewGrant, Redemption, Store, StoredClient, StoredConsent};

/// The consent of a grant's flow.
fn consent_to(grant: &NewGrant) -> StoredConsent {
    StoredConsent {
        client_id: grant.client_id.clone(),
        incarnation: grant.incarnation,
        consent_request_id: grant.id,
        content: b"consent".to_vec(),
        granted_at: grant.started_at,
        expires_at: None,
    }
}

async fn remember(store: &Store, grant: &NewGrant, consent: StoredConsent) {
    let new = NewConsent { subject: grant.subject.clone(), started_at: grant.started_at, consent };
    store.remember_consent(&new).await.unwrap();
}

async fn redeem(store: &Store, grant: &NewGrant) -> Redemption {
    store.redeem_code(grant).await.unwrap()
}

/// All of a subject's sessions, read in pages of two.
async fn listed(store: &Store, subject: &str) -> Vec<ConsentSession> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let (page, statements) = costing(store, store.consent_sessions(subject, after, 2)).await;
        assert_eq!(statements, 2);
        let page = page.unwrap();
        assert!(page.sessions.len() == 2 || page.next.is_none());
        all.extend(page.sessions);
        after = page.next;
        if after.is_none() {
            let whole = store.consent_sessions(subject, None, 100).await.unwrap();
            assert_eq!((&whole.sessions, whole.next), (&all, None));
            return all;
        }
    }
}

fn ids(sessions: &[ConsentSession]) -> Vec<GrantId> {
    sessions.iter().map(|session| session.id).collect()
}

/// A grant of a flow that began a second after the last one.
fn next_grant(store: &Store, client: &StoredClient) -> NewGrant {
    store.clock().advance(jiff::SignedDuration::from_secs(1));
    new_grant(store, client, "alice")
}

#[tokio::test]
async fn grants_and_remembered_consents_are_one_list_in_the_order_of_their_flows() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let mut clients = Vec::new();
        for id in ["a", "b", "c"] {
            clients.push(create_client(&store, id).await.0);
        }
        let [exchanged, both, asked, again, bobs] =
            [0, 1, 2, 0, 1].map(|index| next_grant(&store, &clients[index]));
        let bobs = NewGrant { subject: "bob".into(), ..bobs };
        for grant in [&again, &exchanged, &both, &bobs] {
            assert_eq!(redeem(&store, grant).await, Redemption::Redeemed);
        }
        for grant in [&both, &asked, &bobs] {
            remember(&store, grant, consent_to(grant)).await;
        }
        let sessions = listed(&store, "alice").await;
        assert_eq!(ids(&sessions), [exchanged.id, both.id, asked.id, again.id]);
        let halves: Vec<_> =
            sessions.iter().map(|session| (session.grant.is_some(), session.consent.is_some())).collect();
        assert_eq!(halves, [(true, false), (true, true), (false, true), (true, false)]);
        let names: Vec<_> = sessions.iter().map(|session| session.client.id.as_str()).collect();
        assert_eq!(names, ["a", "b", "c", "a"]);
        assert_eq!(sessions[1].consent, Some(consent_to(&both)));
        assert_eq!(sessions[1].grant.as_ref().unwrap().content, both.content);
        assert_eq!(sessions[2].client.metadata.client_name, "first");
        assert_eq!(ids(&listed(&store, "bob").await), [bobs.id]);
        assert_eq!(listed(&store, "nobody").await, []);
    }
}

#[tokio::test]
async fn what_has_ended_is_not_listed() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "app").await;
        let (other, _) = create_client(&store, "other").await;
        let now = store.clock().now();
        let [revoked, expired, of_session, lives] = [0; 4].map(|_| next_grant(&store, &client));
        let expired = NewGrant { expires_at: now + minutes(1), ..expired };
        for grant in [&revoked, &expired, &of_session, &lives] {
            assert_eq!(redeem(&store, grant).await, Redemption::Redeemed);
        }
        let brief = next_grant(&store, &other);
        remember(&store, &brief, StoredConsent { expires_at: Some(now + minutes(1)), ..consent_to(&brief) })
            .await;
        assert_eq!(listed(&store, "alice").await.len(), 5);

        store.revoke_grant(revoked.id, &client.id, revoked.expires_at).await.unwrap();
        store.revoke_session(of_session.session_id.unwrap()).await.unwrap();
        store.clock().advance(minutes(2));
        assert_eq!(ids(&listed(&store, "alice").await), [lives.id]);
        let before = next_grant(&store, &other);
        remember(&store, &before, StoredConsent { incarnation: Incarnation(0), ..consent_to(&before) }).await;
        assert_eq!(ids(&listed(&store, "alice").await), [lives.id], "the client was created again");
        store.revoke_client_tokens(&client.id).await.unwrap();
        assert_eq!(listed(&store, "alice").await, []);
    }
}

#[tokio::test]
async fn a_consent_is_revoked_before_and_after_its_code_is_exchanged() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "app").await;
        let [exchanged, in_flight, kept] = [0; 3].map(|_| next_grant(&store, &client));
        assert_eq!(redeem(&store, &exchanged).await, Redemption::Redeemed);
        assert_eq!(redeem(&store, &kept).await, Redemption::Redeemed);
        remember(&store, &exchanged, consent_to(&exchanged)).await;

        for grant in [&exchanged, &in_flight] {
            let (done, statements) = costing(&store, store.revoke_consent(grant.id)).await;
            done.unwrap();
            assert_eq!(statements, 2);
        }
        assert!(state(&store, &exchanged).await.revoked);
        assert_eq!(redeem(&store, &in_flight).await, Redemption::Refused);
        remember(&store, &in_flight, consent_to(&in_flight)).await;
        assert_eq!(ids(&listed(&store, "alice").await), [kept.id], "nor is it remembered afterwards");
        assert!(!state(&store, &kept).await.revoked);

        // Once more changes nothing, and the tombstone outlasts whatever is still under way.
        let before = rows(&database).await;
        store.revoke_consent(in_flight.id).await.unwrap();
        assert_eq!(rows(&database).await, before);
        store.clock().advance(hours(23));
        store.purge(&mut store::PurgeWalk::default()).await.unwrap();
        assert_eq!(redeem(&store, &in_flight).await, Redemption::Refused);
    }
}
