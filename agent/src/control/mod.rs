//! The control socket: what `drainctl` asks and is told.

pub mod api;

use tokio::sync::oneshot;

/// One request that came over the control socket, on its way to the owner of the life cycle.
#[derive(Debug)]
pub struct Ask {
    /// What is asked.
    pub request: api::Request,
    /// Who asks.
    pub origin: api::Origin,
    /// Where the answer goes.
    pub reply: oneshot::Sender<api::Reply>,
}
