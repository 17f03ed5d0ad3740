//! What the admin API refuses in words of its own: where OAuth has a code, Hydra has a sentence.

use std::borrow::Cow;

use http::StatusCode;
use store::ResourceRef;

/// Why the admin API refuses a request.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// What the path names is not there.
    NotFound,
    /// What is to be created is there already.
    Exists,
    /// A resource owns it, so it is changed there.
    Owned {
        /// The kind of the resource.
        kind: &'static str,
        /// The resource.
        resource: Box<ResourceRef>,
    },
    /// A schedule turns the keys of the set, so they are not put there or taken away by hand.
    Turned,
    /// The query or the body cannot be what it says.
    Malformed(Cow<'static, str>),
}

impl Refusal {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Exists | Self::Owned { .. } | Self::Turned => StatusCode::CONFLICT,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// The `error` member; callers compare the first two with Hydra's.
    pub(super) fn sentence(&self) -> &'static str {
        match self {
            Self::NotFound => "Unable to locate the resource",
            Self::Exists => {
                "Unable to insert or update resource because a resource with that value exists already"
            }
            Self::Owned { .. } => "The resource is declared elsewhere and cannot be changed here",
            Self::Turned => "The keys of this set are turned by a schedule",
            Self::Malformed(_) => "The request was malformed or contained invalid parameters",
        }
    }

    /// The `error_description` member.
    pub(super) fn description(&self) -> Cow<'static, str> {
        match self {
            Self::NotFound | Self::Exists => "".into(),
            Self::Owned { kind, resource } => {
                format!("The {kind} {resource} declares it; change or delete that resource instead.").into()
            }
            Self::Turned => {
                "POST publishes the next key; DELETE of one key has it leave at once and be replaced.".into()
            }
            Self::Malformed(why) => why.clone(),
        }
    }
}
