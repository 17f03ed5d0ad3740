//! Token revocation (RFC 7009), decided.

use jiff::Timestamp;

use crate::{AccessToken, Client};

/// What a revocation request comes to. The answer to the client is the same for both (RFC 7009 §2.2).
#[derive(Debug, PartialEq, Eq)]
pub enum Revocation {
    /// Remember that this token is dead, until it would have expired.
    Revoke(AccessToken),
    /// Nothing to do: the token is not ours, has expired, died with its client, or is another client's.
    Nothing,
}

/// Decides a request of a client that has authenticated; `token` is `None` where what it sent did not open.
pub fn decide(client: &Client, token: Option<AccessToken>, now: Timestamp) -> Revocation {
    let live = |token: &AccessToken| {
        token.client_id == client.id
            && token.incarnation == client.incarnation
            && token.epoch == client.epoch
            && !token.is_expired(now)
    };
    token.filter(live).map_or(Revocation::Nothing, Revocation::Revoke)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClientId, ClientMetadata, Incarnation, TokenId};

    #[test]
    fn only_a_live_token_of_the_same_client_is_revoked() {
        let client = |id: &str, incarnation| Client {
            id: ClientId::parse(id).unwrap(),
            incarnation: Incarnation(incarnation),
            epoch: 0,
            declared: true,
            metadata: ClientMetadata::default(),
            secrets: vec![],
        };
        let token = AccessToken {
            id: TokenId([1; 16]),
            client_id: ClientId::parse("a").unwrap(),
            incarnation: Incarnation(1),
            epoch: 0,
            issued_at: Timestamp::from_second(0).unwrap(),
            expires_at: Timestamp::from_second(100).unwrap(),
            scope: "".parse().unwrap(),
            audience: vec![],
        };
        let cases = [("a", 1, 50, true), ("a", 1, 100, false), ("a", 2, 50, false), ("b", 1, 50, false)];
        for (id, incarnation, now, revoked) in cases {
            let now = Timestamp::from_second(now).unwrap();
            let got = decide(&client(id, incarnation), Some(token.clone()), now);
            assert_eq!(got != Revocation::Nothing, revoked, "{id} {incarnation} {now}");
        }
        assert_eq!(decide(&client("a", 1), None, Timestamp::UNIX_EPOCH), Revocation::Nothing);
    }
}
