use super::*;
use serde_json::json;

fn row(changes: &Value) -> Row {
    let mut row = json!({
        "id": "web", "nid": "62d877fb-f10b-47bd-a933-7f6acce7e5e8", "client_name": "Web", "owner": "team/web",
        "client_secret": "$pbkdf2-sha256$i=1000,l=32$MDEyMzQ1Njc4OWFiY2RlZg$+t0d48AX/+9e4/SD0XcJA4iyKJ4wRa4gFk+sbpzwxjA",
        "rotated_secrets": [], "scope": "read write", "grant_types": ["client_credentials"], "redirect_uris": [],
        "jwks": "{}", "metadata": "{\"team\": 7}", "token_endpoint_auth_method": "client_secret_basic",
        "userinfo_signed_response_alg": "none", "subject_type": "public", "created_at": "2026-11-22T22:02:35",
        "client_credentials_grant_access_token_lifespan": 1_860_000_000_000_u64,
        "implicit_grant_access_token_lifespan": null, "password_grant_access_token_lifespan": null,
        "registration_access_token_signature": "",
    });
    row.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    row.as_object().unwrap().clone()
}

#[test]
fn a_row_is_read_with_every_member() {
    let client = read(row(&json!({}))).unwrap();
    let metadata = &client.registration.metadata;
    assert_eq!((client.id.as_str(), metadata.client_name.as_str()), ("web", "Web"));
    assert_eq!(metadata.scope.to_string(), "read write");
    assert_eq!(
        (&metadata.other["owner"], &metadata.other["metadata"]["team"]),
        (&json!("team/web"), &json!(7))
    );
    assert_eq!(metadata.lifespans.longest_access_token().unwrap().as_secs(), 31 * 60);
    assert!(client.secret.unwrap().verify("hunter2hunter2"));
    assert_eq!(client.created_at.unwrap().to_string(), "2026-11-22T22:02:35Z");
    assert!(client.former.is_empty() && client.notes.is_empty() && client.registration_token.is_none());
}

#[test]
fn what_is_of_no_use_here_is_left_away_and_named() {
    let client = read(row(&json!({
        "grant_types": ["client_credentials", "password"],
        "rotated_secrets": ["$2a$04$eta1V1hEmWXsrJcbIQOHBeQHGoEw0Lvs1xbRKPxsBuFvOttgGk3he", "md5:x"],
    })))
    .unwrap();
    assert_eq!(client.registration.metadata.grant_types, [GrantType::ClientCredentials]);
    assert_eq!(client.former.len(), 1);
    assert_eq!(client.notes.len(), 2, "{:?}", client.notes);
    assert!(client.notes[0].contains("password") && client.notes[1].contains("rotated secrets"));
    let public = read(row(&json!({"token_endpoint_auth_method": "none", "client_secret": "x"}))).unwrap();
    assert!(public.secret.is_none());
}

#[test]
fn what_cannot_be_taken_over_is_refused_by_the_name_of_its_column() {
    for (changes, why) in [
        (json!({"id": ""}), "id: "),
        (json!({"client_secret": "plain text"}), "client_secret: the hash is neither"),
        (json!({"jwks": "{"}), "jwks: it is no JSON"),
        (json!({"token_endpoint_auth_method": "client_secret_jwt"}), "token_endpoint_auth_method: "),
        (json!({"token_endpoint_auth_signing_alg": "HS256"}), "token_endpoint_auth_signing_alg: "),
        (json!({"redirect_uris": ["https://a/#b"]}), "redirect_uris[0]: "),
        (
            json!({"client_credentials_grant_access_token_lifespan": -1}),
            "client_credentials_grant_access_token_lifespan: ",
        ),
    ] {
        let refused = read(row(&changes)).unwrap_err();
        assert!(refused.starts_with(why), "{changes}: {refused}");
        assert!(!refused.contains("plain text"), "a secret is not told");
    }
}
