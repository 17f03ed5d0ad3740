//! The URL of a flow's request: where its next step is.

use oauth::flow::{Flow, FlowKind};

use crate::{Server, router};

/// The request of a flow as a URL, with one more parameter.
pub(crate) fn request_url(server: &Server, flow: &Flow, more: Option<(&str, &str)>) -> String {
    let endpoint = match flow.kind {
        FlowKind::Authorization => router::AUTHORIZE,
        FlowKind::Device => router::DEVICE_VERIFY,
    };
    format!("{}?{}", server.settings().public_url.join(endpoint), flow.request.to_query(more))
}
