//! A proxy in front that ends TLS (`tls.allow_termination_from`).

use axum::extract::Request;
use ipnet::IpNet;

use crate::error::Failure;
use crate::listener::Peer;

const X_FORWARDED_PROTO: &str = "x-forwarded-proto";

/// Where proxies end TLS, a request must come from one of them, and must have come to it by https. It is the connection
/// that counts: anybody can write an `X-Forwarded-For`.
///
/// # Errors
/// [`Failure::NotByTls`]
pub(crate) fn check(proxies: &[IpNet], request: &Request) -> Result<(), Failure> {
    if proxies.is_empty() {
        return Ok(());
    }
    let peer = request.extensions().get::<Peer>();
    if !peer.is_some_and(|peer| proxies.iter().any(|network| network.contains(&peer.0))) {
        return Err(Failure::NotByTls("it comes from an address that is not in tls.allow_termination_from"));
    }
    let mut protocols = request.headers().get_all(X_FORWARDED_PROTO).iter();
    match (protocols.next().map(http::HeaderValue::as_bytes), protocols.next()) {
        (Some(b"https"), None) => Ok(()),
        _ => Err(Failure::NotByTls("its X-Forwarded-Proto is not https")),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn only_the_proxies_that_are_named_vouch_for_tls() {
        let proxies: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"].map(|text| text.parse().unwrap()).to_vec();
        let cases: [(&str, &[&str], bool); 7] = [
            ("10.1.2.3", &["https"], true),
            ("fd00::1", &["https"], true),
            ("10.1.2.3", &["http"], false),
            ("10.1.2.3", &[], false),
            ("10.1.2.3", &["https", "http"], false),
            ("11.1.2.3", &["https"], false),
            ("127.0.0.1", &["https"], false),
        ];
        for (peer, protocols, passes) in cases {
            let mut request = Request::new(Body::empty());
            request.extensions_mut().insert(Peer(peer.parse().unwrap()));
            for protocol in protocols {
                request.headers_mut().append(X_FORWARDED_PROTO, protocol.parse().unwrap());
            }
            assert_eq!(check(&proxies, &request).is_ok(), passes, "{peer} {protocols:?}");
            assert!(check(&[], &request).is_ok());
        }
        assert!(check(&proxies, &Request::new(Body::empty())).is_err());
    }
}
