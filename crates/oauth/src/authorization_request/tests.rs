use super::*;
use serde_json::json;

const CHALLENGE: &str =
    "code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256";

fn client(changes: &serde_json::Value) -> Client {
    let mut metadata = json!({
        "redirect_uris": ["https://a/cb", "http://127.0.0.1/cb", "http://a/cb"],
        "grant_types": ["authorization_code"],
        "scope": "openid offline orders.*",
        "audience": ["https://api.example.com"],
    });
    metadata.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    Client { declared: false, ..Client::example(metadata) }
}

fn parse(client: &Client, form: &str) -> Result<AuthorizationRequest, Refusal> {
    AuthorizationRequest::parse(client, &Form::parse(form.as_bytes()).unwrap(), Policy::default())
}

/// Who is told of an error, and its code.
fn refusal(client: &Client, form: &str) -> (&'static str, &'static str) {
    match parse(client, form).expect_err(form) {
        Refusal::ToUser(error) => ("user", error.code.as_str()),
        Refusal::ToClient(_, error) => ("client", error.code.as_str()),
    }
}

#[test]
fn a_whole_request_is_read() {
    let form = format!(
        "response_type=code&redirect_uri=https://a/cb&scope=openid+orders.read&state=12345678&nonce=n&prompt=consent\
         &max_age=60&audience=https://api.example.com/v1&response_mode=form_post&{CHALLENGE}"
    );
    let request = parse(&client(&json!({})), &form).unwrap();
    let address = request.return_address.as_ref().unwrap();
    assert_eq!(address.redirect_uri.as_str(), "https://a/cb");
    assert_eq!(address.mode, ResponseMode::FormPost);
    assert_eq!(address.state.as_deref(), Some("12345678"));
    assert_eq!(request.scope.to_string(), "openid orders.read");
    assert_eq!(request.audience.len(), 1);
    assert_eq!(request.nonce.as_deref(), Some("n"));
    assert_eq!(request.max_age, Some(60));
    assert!(request.prompts.consent && request.code_challenge.is_some() && request.is_openid());
}

#[test]
fn until_the_redirect_uri_is_certain_the_user_is_told() {
    let client = client(&json!({}));
    for form in [
        "response_type=code&state=12345678",
        "response_type=code&redirect_uri=https://evil/cb",
        "response_type=code&redirect_uri=https://a/cb/",
        "response_type=code&redirect_uri=https://a/cb%23x",
        "response_type=code&redirect_uri=https://a:8443/cb",
        "response_type=code&redirect_uri=http://a/cb",
        "redirect_uri=javascript:alert(1)",
        "request=x.y.z",
    ] {
        assert_eq!(refusal(&client, form), ("user", "invalid_request"), "{form}");
    }
}

#[test]
fn what_no_url_or_token_could_carry_is_refused_before_it_is_compared() {
    let client = client(&json!({}));
    let request = |more: &str| format!("redirect_uri=https://a/cb&response_type=code&{more}");
    let many = |count: usize| (0..count).map(|i| format!("orders.{i}")).collect::<Vec<_>>().join("+");
    assert_eq!(refusal(&client, &request(&format!("scope={}", many(500)))), ("client", "invalid_scope"));
    let audience = vec!["https://api.example.com"; 200].join("+");
    assert_eq!(refusal(&client, &request(&format!("audience={audience}"))), ("client", "invalid_request"));
    let state = "x".repeat(LARGEST_REQUEST);
    assert_eq!(refusal(&client, &request(&format!("state={state}"))), ("user", "invalid_request"));
    let verifier = "x".repeat(LARGEST_REQUEST);
    assert!(parse(&client, &request(&format!("login_verifier={verifier}"))).is_ok());
}

#[test]
fn a_code_travels_over_plain_http_in_development_alone() {
    let client = client(&json!({"redirect_uris": ["http://app.example.com/cb", "http://localhost:3000/cb"]}));
    let parse = |uri: &str, insecure_redirects| {
        let form = Form::parse(format!("response_type=code&redirect_uri={uri}").as_bytes()).unwrap();
        let policy = Policy { insecure_redirects, ..Policy::default() };
        AuthorizationRequest::parse(&client, &form, policy).is_ok()
    };
    assert!(!parse("http://app.example.com/cb", false));
    assert!(parse("http://app.example.com/cb", true));
    assert!(parse("http://localhost:3000/cb", false));
}

#[test]
fn afterwards_the_client_is_told_the_parameter_at_fault() {
    let to_client = [
        ("", "invalid_request"),
        ("response_type=none", "unsupported_response_type"),
        ("response_type=code+id_token", "unsupported_response_type"),
        ("response_type=token", "unsupported_response_type"),
        ("response_type=code&response_mode=web_message", "unsupported_response_mode"),
        ("response_type=code&scope=admin", "invalid_scope"),
        ("response_type=code&scope=orders", "invalid_scope"),
        ("response_type=code&audience=https://other", "invalid_request"),
        ("response_type=code&state=1234567", "invalid_state"),
        ("response_type=code&prompt=none+login", "invalid_request"),
        ("response_type=code&prompt=magic", "invalid_request"),
        ("response_type=code&max_age=soon", "invalid_request"),
        ("response_type=code&max_age=-1", "invalid_request"),
        ("response_type=code&claims=email", "invalid_request"),
        ("response_type=code&registration=x", "registration_not_supported"),
        ("response_type=code&code_challenge=x", "invalid_request"),
        ("response_type=code&code_challenge=x&code_challenge_method=plain", "invalid_request"),
    ];
    for (form, code) in to_client {
        let form = format!("redirect_uri=https://a/cb&{form}");
        assert_eq!(refusal(&client(&json!({})), &form), ("client", code), "{form}");
    }
}

#[test]
fn an_error_goes_back_with_the_state_and_in_the_mode_that_the_request_named() {
    let form =
        "redirect_uri=https://a/cb&response_type=code&response_mode=fragment&state=12345678&scope=admin";
    let Refusal::ToClient(address, _) = parse(&client(&json!({})), form).unwrap_err() else {
        panic!("to the client")
    };
    assert_eq!(address.mode, ResponseMode::Fragment);
    assert_eq!(address.state.as_deref(), Some("12345678"));
    let form = "redirect_uri=https://a/cb&response_mode=form_post";
    let Refusal::ToClient(address, _) = parse(&client(&json!({})), form).unwrap_err() else {
        panic!("to the client")
    };
    assert_eq!(address.mode, ResponseMode::FormPost);
}

#[test]
fn a_redirect_uri_may_be_left_out_where_there_is_only_one_and_no_id_token() {
    let only = client(&json!({"redirect_uris": ["https://a/cb"]}));
    let request = parse(&only, "response_type=code").unwrap();
    assert_eq!(
        (request.return_address.as_ref().unwrap().redirect_uri.as_str(), &request.sent_redirect_uri),
        ("https://a/cb", &None)
    );
    assert_eq!(refusal(&only, "response_type=code&scope=openid"), ("user", "invalid_request"));
    let none = client(&json!({"redirect_uris": []}));
    assert_eq!(refusal(&none, "response_type=code"), ("user", "invalid_request"));
}

#[test]
fn a_native_app_chooses_its_loopback_port() {
    let request =
        parse(&client(&json!({})), "response_type=code&redirect_uri=http://127.0.0.1:5123/cb").unwrap();
    assert_eq!(request.return_address.unwrap().redirect_uri.as_str(), "http://127.0.0.1:5123/cb");
}

#[test]
fn a_client_needs_the_grant_and_the_response_type() {
    let form = "response_type=code&redirect_uri=https://a/cb";
    let service = client(&json!({"grant_types": ["client_credentials"]}));
    assert_eq!(refusal(&service, form), ("client", "unauthorized_client"));
    let implicit = client(&json!({"response_types": ["id_token"]}));
    assert_eq!(refusal(&implicit, form), ("client", "unsupported_response_type"));
}

/// A client that may have everything from the authorization endpoint.
fn front_channel() -> Client {
    let all = ResponseType::SERVED.map(|response_type| response_type.to_string());
    client(&json!({"grant_types": ["authorization_code", "implicit"], "response_types": all}))
}

#[test]
fn a_response_with_tokens_is_given_in_a_fragment_or_a_form_and_never_in_a_query() {
    use ResponseMode::{FormPost, Fragment, Query};
    let form = "redirect_uri=https://a/cb&scope=openid&nonce=n-0S6_WzA2Mj";
    for response_type in ResponseType::SERVED {
        let words = response_type.to_string().replace(' ', "+");
        let form = format!("{form}&response_type={words}");
        let mode = |more: &str| {
            parse(&front_channel(), &format!("{form}{more}")).unwrap().return_address.unwrap().mode
        };
        let default = if response_type == ResponseType::CODE { Query } else { Fragment };
        assert_eq!((mode(""), mode("&response_mode=form_post")), (default, FormPost), "{words}");
        assert_eq!(mode("&response_mode=fragment"), Fragment);
        if response_type.has_token() {
            let refused = parse(&front_channel(), &format!("{form}&response_mode=query")).unwrap_err();
            let Refusal::ToClient(address, error) = refused else { panic!("to the client") };
            assert_eq!((address.mode, error.code), (Fragment, ErrorCode::UnsupportedResponseMode), "{words}");
        }
    }
}

#[test]
fn an_error_of_a_client_that_expects_tokens_goes_where_it_looks_for_them() {
    let form = "redirect_uri=https://a/cb&response_type=token";
    let Refusal::ToClient(address, error) = parse(&client(&json!({})), form).unwrap_err() else {
        panic!("to the client")
    };
    assert_eq!((address.mode, error.code), (ResponseMode::Fragment, ErrorCode::UnsupportedResponseType));
}

#[test]
fn an_id_token_that_the_browser_carries_needs_the_scope_and_a_nonce() {
    let request = |more: &str| format!("redirect_uri=https://a/cb&{more}");
    for words in ["id_token", "id_token+token", "code+id_token", "code+id_token+token"] {
        let form = request(&format!("response_type={words}"));
        for (more, code) in [
            ("&scope=openid", "invalid_request"),
            ("&scope=openid&nonce=", "invalid_request"),
            ("&scope=openid&nonce=1234567", "insufficient_entropy"),
            ("&scope=offline&nonce=n-0S6_WzA2Mj", "invalid_request"),
        ] {
            assert_eq!(
                refusal(&front_channel(), &format!("{form}{more}")),
                ("client", code),
                "{words} {more}"
            );
        }
        assert!(
            parse(&front_channel(), &format!("{form}&scope=openid&nonce=n-0S6_WzA2Mj")).is_ok(),
            "{words}"
        );
    }
    for words in ["code", "token", "code+token"] {
        assert!(parse(&front_channel(), &request(&format!("response_type={words}"))).is_ok(), "{words}");
    }
}

#[test]
fn claims_of_userinfo_need_an_access_token() {
    let claims = "claims=%7B%22userinfo%22:%7B%22email%22:null%7D%7D";
    for (words, allowed) in [("id_token", false), ("id_token+token", true), ("code+id_token", true)] {
        let form = format!(
            "redirect_uri=https://a/cb&scope=openid&nonce=n-0S6_WzA2Mj&response_type={words}&{claims}"
        );
        assert_eq!(parse(&front_channel(), &form).is_ok(), allowed, "{words}");
    }
}

#[test]
fn a_client_needs_the_grant_of_each_part_of_the_response() {
    for (words, grants, allowed) in [
        ("token", json!(["implicit"]), true),
        ("token", json!(["authorization_code"]), false),
        ("code token", json!(["authorization_code"]), false),
        ("code token", json!(["implicit"]), false),
        ("code token", json!(["implicit", "authorization_code"]), true),
    ] {
        let client = client(&json!({"grant_types": grants, "response_types": [words]}));
        let form = format!("redirect_uri=https://a/cb&response_type={}", words.replace(' ', "+"));
        assert_eq!(parse(&client, &form).is_ok(), allowed, "{words} {grants}");
        if !allowed {
            assert_eq!(refusal(&client, &form), ("client", "unauthorized_client"));
        }
    }
}

#[test]
fn pkce_protects_codes_and_is_asked_of_nothing_else() {
    let all = Policy { pkce_enforced: true, ..Policy::default() };
    for (words, needed) in [("token", false), ("code token", true)] {
        let form = format!("redirect_uri=https://a/cb&response_type={}", words.replace(' ', "+"));
        let form = Form::parse(form.as_bytes()).unwrap();
        assert_eq!(AuthorizationRequest::parse(&front_channel(), &form, all).is_err(), needed, "{words}");
    }
}

#[test]
fn pkce_is_enforced_for_declared_public_clients_and_where_configured() {
    let form = "response_type=code&redirect_uri=https://a/cb";
    let with_challenge = format!("{form}&{CHALLENGE}");
    let public = client(&json!({"token_endpoint_auth_method": "none"}));
    let declared = Client { declared: true, ..public.clone() };
    let confidential = Client { declared: true, ..client(&json!({})) };
    let all = Policy { pkce_enforced: true, ..Policy::default() };
    let of_public = Policy { pkce_enforced_for_public_clients: true, ..Policy::default() };
    for (client, policy, enforced) in [
        (&public, Policy::default(), false),
        (&public, of_public, true),
        (&declared, Policy::default(), true),
        (&confidential, of_public, false),
        (&confidential, all, true),
    ] {
        let parse =
            |form: &str| AuthorizationRequest::parse(client, &Form::parse(form.as_bytes()).unwrap(), policy);
        assert_eq!(parse(form).is_err(), enforced, "{policy:?}");
        assert!(parse(&with_challenge).is_ok());
    }
}

#[test]
fn a_device_asks_for_what_its_client_may_have() {
    let device = client(&json!({"grant_types": [GrantType::DeviceCode]}));
    let read = |client: &Client, form: &str| {
        AuthorizationRequest::of_device(client, &Form::parse(form.as_bytes()).unwrap(), Policy::default())
    };
    let request = read(&device, "scope=openid+orders.read&audience=https://api.example.com/v1").unwrap();
    assert_eq!((request.scope.to_string().as_str(), request.audience.len()), ("openid orders.read", 1));
    assert_eq!((request.return_address, request.response_type), (None, ResponseType::NONE));
    for (form, code) in
        [("scope=admin", ErrorCode::InvalidScope), ("audience=https://x", ErrorCode::InvalidRequest)]
    {
        assert_eq!(read(&device, form).unwrap_err().code, code, "{form}");
    }
    assert_eq!(read(&client(&json!({})), "").unwrap_err().code, ErrorCode::UnauthorizedClient);
}
