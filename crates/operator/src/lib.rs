//! The reconcilers: what is declared becomes rows in the database and Secrets, and stays so.
//!
//! ```text
//!  cluster (watches) ─┐                                    ┌─▶ Store      rows, pending secrets, keys
//!                     ├─▶ gather ─▶ plan ─▶ apply ─────────┤
//!  folder (manifests)─┘     ▲     (pure)  (one step each)  └─▶ Objects    Secrets, finalizers, status, events
//!                           └──────── until nothing is left ◀──┘
//! ```
//!
//! A [`plan`] is a pure function of what was gathered; an action of it is one write, and repeating it does no harm.
//! After the actions everything is gathered again, and the status is only written from a plan that has nothing left
//! to do: so a crash at any point is the same as having planned a little later.
//!
//! The same plans and executors serve both sources. A source implements [`Objects`], and calls
//! [`ClientReconciler`] and [`KeySetReconciler`] when something changed or is due.

pub mod applied;
pub mod apply;
pub mod backoff;
pub mod database_gate;
pub mod events;
pub mod leadership;
pub mod metrics;
pub mod objects;
pub mod outcome;
pub mod plan;
pub mod reconcile;
pub mod settings;
pub mod source;
mod status;
mod told;

pub use leadership::Leadership;
pub use metrics::Metrics;
pub use objects::{ClientKind, ObjectError, Objects, Written};
pub use outcome::Outcome;
pub use reconcile::{ClientReconciler, KeySetReconciler};
pub use settings::Settings;
