use super::*;
use serde_json::json;

fn client(metadata: Value) -> Client {
    Client::example(metadata)
}

fn form(query: &str) -> Form {
    Form::parse(query.as_bytes()).unwrap()
}

fn unsigned(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(&json!({"alg": "none"})), part(claims))
}

fn resolved(query: &str, claims: &Value) -> Result<String, Error> {
    let issuer = Issuer::parse("https://id").unwrap();
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let claims = claims.as_object().unwrap();
    resolve(&client(json!({})), &form(query), claims, &issuer, now).map(|form| form.to_query(None))
}

#[test]
fn members_of_the_object_count_and_parameters_are_added() {
    let cases = [
        (
            "client_id=app&state=12345678&request=x",
            json!({"state": "87654321"}),
            "client_id=app&state=87654321",
        ),
        ("client_id=app&nonce=n&request_uri=x", json!({"max_age": 60}), "client_id=app&max_age=60&nonce=n"),
        ("scope=openid+a", json!({"scope": "b openid"}), "scope=b+openid+a"),
        ("scope=openid+a", json!({"prompt": "login"}), "prompt=login&scope=openid+a"),
        ("scope=a&audience=x", json!({"audience": ["y", "z"]}), "audience=y&audience=z&scope=a"),
        (
            "a=1",
            json!({"ui_locales": ["de", "en"], "claims": {"b": null}}),
            "a=1&claims=%7B%22b%22%3Anull%7D&ui_locales=de+en",
        ),
        ("state=1", json!({"state": null, "a": true}), "a=true&state=1"),
        (
            "response_type=id_token+code",
            json!({"response_type": "code id_token"}),
            "response_type=code+id_token",
        ),
        // What is about the object, and what is this server's own, is no parameter.
        (
            "client_id=app",
            json!({"iss": "app", "aud": ["https://id"], "exp": 1_800_000_001, "nbf": 1_800_000_060, "iat": 1, "jti": "1",
                "consent_verifier": "x", "login_verifier": "x", "sub": "somebody"}),
            "client_id=app",
        ),
    ];
    for (query, claims, wanted) in cases {
        assert_eq!(resolved(query, &claims).unwrap(), wanted, "{query} {claims}");
    }
}

#[test]
fn an_object_is_its_clients_for_this_server_and_for_now() {
    let cases = [
        (json!({"iss": "other"}), "iss"),
        (json!({"client_id": "other"}), "client_id"),
        (json!({"client_id": 7}), "client_id"),
        (json!({"sub": "app"}), "sub"),
        (json!({"aud": "https://other"}), "aud"),
        (json!({"aud": ["https://other"]}), "aud"),
        (json!({"exp": 1_800_000_000}), "expired"),
        (json!({"exp": "soon"}), "exp"),
        (json!({"nbf": 1_800_000_061}), "nbf"),
        (json!({"request": "x"}), "'request'"),
        (json!({"request_uri": "x"}), "'request_uri'"),
        (json!({"response_type": "token"}), "response_type"),
    ];
    for (claims, part) in cases {
        let error = resolved("client_id=app&response_type=code", &claims).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidRequestObject, "{claims}");
        assert!(error.description.contains(part), "{claims}: {error}");
    }
}

#[test]
fn a_reference_must_be_registered_and_keep_to_its_digest() {
    let app = client(json!({"request_uris": ["https://a/r", "http://a/r", "https://a/fixed#digest"]}));
    let refused = |query: &str| presented(&app, &form(query)).unwrap_err().code;
    assert_eq!(refused("request_uri=https://a/other"), ErrorCode::InvalidRequestUri);
    assert_eq!(refused("request_uri=https://a/fixed"), ErrorCode::InvalidRequestUri);
    assert_eq!(refused("request_uri=https://a/fixed%23other"), ErrorCode::InvalidRequestUri);
    assert_eq!(refused("request_uri=urn:ietf:params:oauth:request_uri:x"), ErrorCode::RequestUriNotSupported);
    assert_eq!(refused("request_uri=https://a/r&request=x"), ErrorCode::InvalidRequest);
    assert_eq!(presented(&app, &form("state=x")), Ok(None));

    let reference = |uri: &str| match presented(&app, &form(&format!("request_uri={uri}"))) {
        Ok(Some(Presented::ByReference(reference))) => reference,
        other => panic!("{other:?}"),
    };
    assert_eq!(reference("https://a/fixed%23digest").url().as_str(), "https://a/fixed");
    let object = unsigned(&json!({}));
    assert_eq!(reference("https://a/fixed%23digest").check(object.as_bytes()), Ok(&*object));
    let digest = URL_SAFE_NO_PAD.encode(Sha256::digest(&object));
    assert_eq!(reference("https://a/r").check(object.as_bytes()), Ok(&*object));
    assert_eq!(reference(&format!("https://a/r%23{digest}")).check(object.as_bytes()), Ok(&*object));
    let error = reference("https://a/r%23other").check(object.as_bytes()).unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidRequestUri);
    let error = reference("http://a/r").check(object.as_bytes()).unwrap_err();
    assert!(error.description.contains("https"), "{error}");
    assert!(reference("http://a/r").check(b"e30.e30.c2ln").is_ok());
}

#[test]
fn the_registered_algorithm_counts() {
    let header = |alg: &str| URL_SAFE_NO_PAD.encode(json!({"alg": alg}).to_string());
    let es256 = format!("{}.e30.c2ln", header("ES256"));
    let none = unsigned(&json!({"a": 1}));
    for (registered, object, accepted) in [
        (json!({}), &none, true),
        (json!({}), &es256, true),
        (json!({"request_object_signing_alg": "any"}), &es256, true),
        (json!({"request_object_signing_alg": "none"}), &none, true),
        (json!({"request_object_signing_alg": "none"}), &es256, false),
        (json!({"request_object_signing_alg": "ES256"}), &es256, true),
        (json!({"request_object_signing_alg": "ES256"}), &none, false),
        (json!({"request_object_signing_alg": "RS256"}), &es256, false),
        (json!({}), &format!("{}.e30.c2ln", header("HS256")), false),
        (json!({}), &format!("{}.e30.c2ln", header("none")), false),
        (json!({}), &"x".to_owned(), false),
    ] {
        let signature = signature(&client(registered.clone()), object);
        assert_eq!(signature.is_ok(), accepted, "{registered} {object}: {signature:?}");
        let refused = signature.err().is_none_or(|error| error.code == ErrorCode::InvalidRequestObject);
        assert!(refused, "{registered} {object}");
    }
    let encrypted = signature(&client(json!({})), "a.b.c.d.e").unwrap_err();
    assert_eq!(encrypted.code, ErrorCode::RequestNotSupported);
}
