//! Token revocation (RFC 7009), decided.

use jiff::Timestamp;

use crate::access_token::Rights;
use crate::refresh_token::RefreshToken;
use crate::{AccessToken, Client, GrantId};

/// What a revocation request comes to. The answer to the client is the same for all (RFC 7009 §2.2).
#[derive(Debug, PartialEq, Eq)]
pub enum Revocation {
    /// Remember that this token is dead, until it would have expired.
    Token(AccessToken),
    /// The grant ends, and all its tokens with it (RFC 7009 §2.1), if it is the client's.
    Grant(GrantId),
    /// Nothing to do: the token is not ours, has expired, died with its client, or is another client's.
    Nothing,
}

/// Decides a request of a client that has authenticated, for an access token that opened.
pub fn decide(client: &Client, token: AccessToken, now: Timestamp) -> Revocation {
    if token.incarnation != client.incarnation || token.epoch != client.epoch || token.is_expired(now) {
        return Revocation::Nothing;
    }
    match &token.rights {
        Rights::OfGrant { id, .. } => Revocation::Grant(*id),
        Rights::OfClient { client_id, .. } | Rights::OfSubject { client_id, .. }
            if *client_id == client.id =>
        {
            Revocation::Token(token)
        }
        Rights::OfClient { .. } | Rights::OfSubject { .. } => Revocation::Nothing,
    }
}

/// Decides a request of a client that has authenticated, for a refresh token that opened.
pub fn decide_refresh_token(client: &Client, token: &RefreshToken, now: Timestamp) -> Revocation {
    let of_this_client = token.incarnation == client.incarnation && token.epoch == client.epoch;
    if of_this_client && !token.is_expired(now) {
        Revocation::Grant(token.grant)
    } else {
        Revocation::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClientId, Incarnation, TokenId};
    use serde_json::json;

    fn client(id: &str, incarnation: i64) -> Client {
        Client {
            id: ClientId::parse(id).unwrap(),
            incarnation: Incarnation(incarnation),
            ..Client::example(json!({}))
        }
    }

    fn token(rights: Rights) -> AccessToken {
        AccessToken {
            id: TokenId([1; 16]),
            incarnation: Incarnation(1),
            epoch: 0,
            issued_at: Timestamp::from_second(0).unwrap(),
            expires_at: Timestamp::from_second(100).unwrap(),
            rights,
        }
    }

    #[test]
    fn only_a_live_token_of_the_same_client_is_revoked() {
        let own = Rights::OfClient {
            client_id: ClientId::parse("a").unwrap(),
            scope: "".parse().unwrap(),
            audience: vec![],
            claims: String::new(),
        };
        let cases = [("a", 1, 50, true), ("a", 1, 100, false), ("a", 2, 50, false), ("b", 1, 50, false)];
        for (id, incarnation, now, revoked) in cases {
            let now = Timestamp::from_second(now).unwrap();
            let got = decide(&client(id, incarnation), token(own.clone()), now);
            assert_eq!(got != Revocation::Nothing, revoked, "{id} {incarnation} {now}");
        }
    }

    #[test]
    fn a_token_of_a_grant_revokes_the_grant() {
        let id = GrantId::from_bytes([1; 16]);
        let token = token(Rights::OfGrant { id, generation: 0, scope: None, audience: None });
        let now = Timestamp::from_second(50).unwrap();
        assert_eq!(decide(&client("a", 1), token.clone(), now), Revocation::Grant(id));
        assert_eq!(decide(&client("a", 2), token, now), Revocation::Nothing);
    }
}
