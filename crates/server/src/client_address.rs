//! Where a request comes from, as far as that is known.

use std::net::{IpAddr, Ipv6Addr};

use axum::extract::Request;
use http::HeaderMap;

use crate::listener::Peer;

/// The address that a request comes from; `None` where a proxy hides it.
///
/// Behind a proxy in the inside, which is told by its private address, it is what that proxy added to
/// `X-Forwarded-For`: the last entry. What stands before it, anybody may have written.
pub(crate) fn of(request: &Request) -> Option<IpAddr> {
    let Peer(peer) = request.extensions().get().copied()?;
    if is_private(peer) { forwarded(request.headers()) } else { Some(peer) }
}

fn forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
    let entry = last.rsplit(',').next()?.trim();
    let address: IpAddr = entry.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    Some(address.to_canonical())
}

fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            // The last one is what providers and clusters share (RFC 6598).
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// The network of an address that one person commonly has to themselves: an IPv4 address, 48 bits of an IPv6 address.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) >> 80 << 80)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn from(peer: &str, forwarded: &[&str]) -> Option<String> {
        let mut request = http::Request::builder();
        for value in forwarded {
            request = request.header("x-forwarded-for", *value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(Peer(peer.parse::<IpAddr>().unwrap().to_canonical()));
        of(&request).map(|address| address.to_string())
    }

    #[test]
    fn only_what_a_proxy_in_the_inside_added_counts() {
        let cases: [(&str, &[&str], Option<&str>); 11] = [
            ("192.0.2.1", &[], Some("192.0.2.1")),
            ("192.0.2.1", &["198.51.100.9"], Some("192.0.2.1")),
            ("10.0.0.7", &[], None),
            ("10.0.0.7", &["198.51.100.9"], Some("198.51.100.9")),
            ("10.0.0.7", &["1.2.3.4, 198.51.100.9"], Some("198.51.100.9")),
            ("10.0.0.7", &["1.2.3.4", "198.51.100.9"], Some("198.51.100.9")),
            ("::ffff:10.0.0.7", &["2001:db8::1"], Some("2001:db8::1")),
            ("fd00::1", &["[2001:db8::1]"], Some("2001:db8::1")),
            ("100.64.1.1", &["192.168.1.1"], Some("192.168.1.1")),
            ("127.0.0.1", &["nonsense"], None),
            ("::ffff:192.0.2.1", &[], Some("192.0.2.1")),
        ];
        for (peer, forwarded, address) in cases {
            assert_eq!(from(peer, forwarded).as_deref(), address, "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn addresses_of_one_line_are_one_network() {
        let of = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(of("192.0.2.1"), "192.0.2.1");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1::");
    }
}
