//! Requests of clients: a form loses nothing and invents nothing, and credentials are those that were sent.
#![no_main]

use arbitrary::Arbitrary;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use oauth::{ClientId, Credential, Form, PresentedCredentials};

#[derive(Arbitrary, Debug)]
struct Request<'a> {
    authorization: Option<&'a [u8]>,
    body: &'a [u8],
    id: &'a str,
    secret: &'a str,
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fuzz_target!(|request: Request<'_>| {
    if let Ok(form) = Form::parse(request.body) {
        let pairs: Vec<(String, String)> = form_urlencoded::parse(request.body).into_owned().collect();
        for (name, value) in &pairs {
            let wanted = pairs.iter().filter(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str());
            assert_eq!(form.all(name).collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
            if let (Some(got), false) = (form.get(name), value.is_empty()) {
                assert!(got == value || form.all(name).count() > 1);
            }
        }
        if let Ok(presented) = PresentedCredentials::from_request(request.authorization, &form) {
            let is_named_elsewhere =
                request.authorization.is_some() || matches!(presented.credential, Credential::Assertion(_));
            let named = form.get("client_id");
            assert!(named == Some(presented.client_id.as_str()) || (named.is_none() && is_named_elsewhere));
        }
    }

    let Ok(id) = ClientId::parse(request.id) else { return };
    if request.secret.is_empty() {
        return;
    }
    let pair = format!("{}:{}", encoded(request.id), encoded(request.secret));
    let header = format!("Basic {}", STANDARD.encode(pair));
    let basic = PresentedCredentials::from_request(Some(header.as_bytes()), &Form::default());
    let body = format!("client_id={}&client_secret={}", encoded(request.id), encoded(request.secret));
    let form = Form::parse(body.as_bytes()).expect("it was encoded");
    let post = PresentedCredentials::from_request(None, &form);
    for (presented, is_basic) in [(basic, true), (post, false)] {
        let presented = presented.expect("the credentials are well formed");
        assert_eq!(presented.client_id, id);
        let secret = match &presented.credential {
            Credential::Basic(secret) if is_basic => secret,
            Credential::Post(secret) if !is_basic => secret,
            other => panic!("{other:?}"),
        };
        assert_eq!(secret.expose(), request.secret);
    }
});
