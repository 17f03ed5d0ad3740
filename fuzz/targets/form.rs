//! Requests of clients: a form loses nothing and invents nothing, and credentials are those that were sent.
#![no_main]

use arbitrary::Arbitrary;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use oauth::{ClientId, Form, PresentedCredentials, TokenEndpointAuthMethod};

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
            assert_eq!(presented.secret.is_some(), presented.method.has_secret());
            assert!(
                request.authorization.is_some()
                    || form.get("client_id") == Some(presented.client_id.as_str())
            );
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
    for (presented, method) in [
        (basic, TokenEndpointAuthMethod::ClientSecretBasic),
        (post, TokenEndpointAuthMethod::ClientSecretPost),
    ] {
        let presented = presented.expect("the credentials are well formed");
        assert_eq!(presented.client_id, id);
        assert_eq!(presented.secret.as_ref().map(|secret| secret.expose()), Some(request.secret));
        assert_eq!(presented.method, method);
    }
});
