//! The small values of requests and registrations: scopes, audiences, redirect URIs, issuers, ids, durations.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use oauth::{Audience, ClientId, Issuer, RedirectUri, Scope, ScopeSet, ScopeStrategy, audience, go_duration};
use support::Edits;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    one: &'a str,
    other: &'a str,
    /// Prefixes that a random text hardly ever has.
    prefix: u8,
    edits: Edits,
}

const PREFIXES: [&str; 8] = [
    "",
    "https://api.example.com/",
    "http://127.0.0.1:8080/",
    "http://[::1]/",
    "http://localhost",
    "com.example.app:/",
    "orders.*.",
    "https://a:b@c.example/",
];

fn scopes(one: &str, other: &str) {
    if let Ok(set) = one.parse::<ScopeSet>() {
        assert_eq!(set.to_string().parse::<ScopeSet>().as_ref(), Ok(&set));
        for strategy in [ScopeStrategy::Exact, ScopeStrategy::Wildcard] {
            assert!(strategy == ScopeStrategy::Wildcard || set.first_beyond(&set, strategy).is_none());
        }
    }
    for strategy in [ScopeStrategy::Exact, ScopeStrategy::Wildcard] {
        let allowed = strategy.allows(one, other);
        assert!(!allowed || one == other || one.contains('*'));
    }
    if let (Ok(_), Ok(_)) = (Scope::parse(one), Scope::parse(other)) {
        let both: ScopeSet = format!("{one} {other}").parse().expect("two scopes");
        assert_eq!(both.iter().count(), if one == other { 1 } else { 2 });
    }
}

fn audiences(texts: [&str; 3]) {
    let parsed = texts.map(|text| Audience::parse(text).ok());
    for one in parsed.iter().flatten() {
        assert!(one.allows(one));
        assert_eq!(audience::parse_list(one.as_str()).as_deref(), Ok(std::slice::from_ref(one)));
        for other in parsed.iter().flatten().filter(|other| one.allows(other)) {
            for third in parsed.iter().flatten().filter(|third| other.allows(third)) {
                assert!(one.allows(third), "{one} allows {other}, and that {third}");
            }
            let has_host = |audience: &Audience| audience.as_str().contains(':');
            assert!(one == other || (has_host(one) && has_host(other)), "{one} allows {other}");
        }
    }
    let _ = audience::parse_list(&texts.join(" "));
}

fn redirects(one: &str, other: &str) {
    let (Ok(one), Ok(other)) = (RedirectUri::parse(one), RedirectUri::parse(other)) else { return };
    assert!(one.covers(&one) && one.covers(&other) == other.covers(&one));
    assert!(one == other || !one.covers(&other) || one.as_str().to_lowercase().starts_with("http:"));
    let _ = (one.is_private(), one.proves_its_owner());
}

fn durations(text: &str) {
    if let Ok(duration) = text.parse::<go_duration::GoDuration>() {
        assert_eq!(duration.to_string().parse::<go_duration::GoDuration>(), Ok(duration));
    }
}

fuzz_target!(|input: Input<'_>| {
    let one = format!("{}{}", PREFIXES[usize::from(input.prefix) % PREFIXES.len()], input.one);
    let changed = input.edits.apply(&one);
    for (one, other) in [(&*one, input.other), (&*one, &*changed), (input.one, &*one)] {
        scopes(one, other);
        redirects(one, other);
    }
    audiences([&one, &changed, input.other]);
    for text in [&*one, &*changed, input.one, input.other] {
        durations(text);
        if let Ok(issuer) = Issuer::parse(text) {
            assert_eq!(issuer.as_str(), text);
            let _ = issuer.join("oauth2/token");
        }
        if let Ok(id) = ClientId::parse(text) {
            assert_eq!(id.as_str(), text);
        }
    }
});
