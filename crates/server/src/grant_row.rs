//! The row of a grant, made from what is sealed into it.

use jiff::Timestamp;
use oauth::flow::FlowKind;
use oauth::grant::Grant;
use oauth::refresh_token::RefreshToken;
use store::{NewGrant, NewRefresh};

use crate::Server;
use crate::authorization_times::after;

/// The row of a grant whose code has this id. `ends` are the ends of what is issued with it, beside the refresh token.
pub(crate) fn grant_row<const N: usize>(
    server: &Server,
    grant: &Grant,
    code_id: [u8; 16],
    refresh: Option<&RefreshToken>,
    ends: [Timestamp; N],
) -> NewGrant {
    let (store, times) = (server.store(), &server.settings().flow);
    let refresh = refresh.map(|token| NewRefresh {
        hash: token.hash(),
        expires_at: token.expires_at().unwrap_or(Timestamp::MAX),
    });
    // Another consent to the same login might still become a response, which must find this row.
    let flow_ends = after(times.ends(FlowKind::Authorization, grant.id), times.auth_code);
    let ends = ends.into_iter().chain(refresh.map(|refresh| refresh.expires_at));
    NewGrant {
        id: grant.id,
        client_id: grant.client_id.clone(),
        incarnation: grant.incarnation,
        epoch: grant.epoch,
        subject: grant.login.subject.clone(),
        session_id: Some(grant.login.session_id),
        code_id,
        operation: store.entropy().bytes(),
        content: grant.seal(store.ring(), store.entropy()),
        started_at: grant.id.started_at(),
        refresh,
        expires_at: ends.fold(flow_ends, Timestamp::max),
    }
}
