//! Where a request comes from, as far as that is known.

use std::net::{IpAddr, Ipv6Addr};

use axum::extract::Request;
use http::HeaderMap;
use ipnet::IpNet;

use crate::listener::Peer;

/// The address that a request comes from; `None` where a proxy hides it.
///
/// Behind proxies, which the configuration names by their networks, it is what they added to `X-Forwarded-For`: the last
/// entry that is none of theirs. What stands before it, anybody may have written. A private address that is not named may
/// be a proxy all the same: it tells nothing.
pub(crate) fn of(request: &Request, proxies: &[IpNet]) -> Option<IpAddr> {
    let Peer(peer) = request.extensions().get().copied()?;
    let is_proxy = |address: &IpAddr| proxies.iter().any(|network| network.contains(address));
    if is_proxy(&peer) {
        forwarded(request.headers(), is_proxy)
    } else {
        Some(peer).filter(|peer| !is_private(*peer))
    }
}

fn forwarded(headers: &HeaderMap, is_proxy: impl Fn(&IpAddr) -> bool) -> Option<IpAddr> {
    for value in headers.get_all("x-forwarded-for").iter().rev() {
        for entry in value.to_str().ok()?.rsplit(',') {
            let entry = entry.trim().trim_start_matches('[').trim_end_matches(']');
            let address = entry.parse::<IpAddr>().ok()?.to_canonical();
            if !is_proxy(&address) {
                return Some(address);
            }
        }
    }
    None
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
        let proxies = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
        of(&request, &proxies).map(|address| address.to_string())
    }

    #[test]
    fn only_what_the_proxies_that_are_named_added_counts() {
        let cases: [(&str, &[&str], Option<&str>); 17] = [
            ("192.0.2.1", &[], Some("192.0.2.1")),
            ("192.0.2.1", &["198.51.100.9"], Some("192.0.2.1")),
            ("10.0.0.7", &[], None),
            ("10.0.0.7", &["198.51.100.9"], Some("198.51.100.9")),
            ("10.0.0.7", &["1.2.3.4, 198.51.100.9"], Some("198.51.100.9")),
            ("10.0.0.7", &["1.2.3.4", "198.51.100.9"], Some("198.51.100.9")),
            ("::ffff:10.0.0.7", &["2001:db8::1"], Some("2001:db8::1")),
            ("fd00::1", &["[2001:db8::1]"], Some("2001:db8::1")),
            ("10.0.0.7", &["1.2.3.4, 198.51.100.9, 10.0.0.8"], Some("198.51.100.9")),
            ("10.0.0.7", &["198.51.100.9, 10.0.0.8", "10.0.0.9"], Some("198.51.100.9")),
            ("10.0.0.7", &["10.0.0.8"], None),
            ("10.0.0.7", &["192.168.1.1"], Some("192.168.1.1")),
            ("10.0.0.7", &["198.51.100.9, nonsense"], None),
            ("192.168.0.7", &["198.51.100.9"], None),
            ("127.0.0.1", &["198.51.100.9"], None),
            ("fd00::1", &["nonsense"], None),
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
