//! The control socket and the control port: what `drainctl` asks and is told.
//!
//! HTTP/1.1 with JSON. Over a unix socket the kernel knows who connects (`SO_PEERCRED`): root, the agent's own user and
//! the members of the configured group may drain; others may only look, or not even that. Over HTTPS, where that is
//! configured and never otherwise, it is who has a token. What is asked goes to the owner of the life cycle as an
//! [`Ask`]; what is seen comes from the [`api::Status`] that the owner publishes.

pub mod api;
mod peer;
mod port;
mod routes;
pub mod secret;
mod server;
mod socket;
pub mod tls;
pub mod tokens;
pub mod validity;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

pub use port::{Port, PortError};
pub use server::Server;
pub use socket::{Error, group_id};

use crate::{
    doctor::Doctor,
    lifecycle::{Origin, Request},
    report::Reports,
};

/// One request that came over the control socket, on its way to the owner of the life cycle.
///
/// The owner publishes the status that follows from it before it answers: who asked looks at the status next.
#[derive(Debug)]
pub struct Ask {
    /// What is asked.
    pub request: Request,
    /// Who asks.
    pub origin: Origin,
    /// Where the answer goes.
    pub reply: oneshot::Sender<api::Reply>,
}

/// The ways to the owner of the life cycle.
#[derive(Clone, Debug)]
pub struct Owner {
    /// What it publishes.
    pub status: watch::Receiver<Arc<api::Status>>,
    /// Where it takes requests; bounded by the owner.
    pub asks: mpsc::Sender<Ask>,
    /// Where it is asked for a fresh look at the traffic; it answers when the status shows one.
    pub looks: mpsc::Sender<oneshot::Sender<()>>,
    /// The reports of its drains.
    pub reports: Reports,
    /// Who looks whether a drain would go well.
    pub doctor: Option<Doctor>,
}
