//! The agent's configuration: what is written in a file or given by flags, checked once, complete with its
//! defaults.
//!
//! Behind [`Config`] nothing asks again whether a value makes sense: each type holds only what is valid, and
//! every key that was left out has its default here.

mod balancers;
mod drain;
mod restart;
mod server;

pub use balancers::{Balancers, Expected};
pub use drain::{Acknowledge, AtAcknowledgeLimit, AtHardLimit, Drain, Hard, LongLived, MinRemaining, Soft};
pub use restart::{Proof, Restart};
pub use server::{Probe, Ready, Server, StatusSet};

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

/// Everything that an agent is told about its work (DESIGN: "Configuration").
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Where the balancers' health checks are answered; at least one address.
    pub listen: Vec<SocketAddr>,
    /// The file that holds a drain across the agent's own restart; an absolute path.
    pub state: PathBuf,
    /// The numbers that the health endpoint answers.
    pub answers: Answers,
    /// The web server that is guarded.
    pub server: Server,
    /// How it is restarted.
    pub restart: Restart,
    /// How long each phase of a drain lasts, and when it may act.
    pub drain: Drain,
    /// Who asks for the server's health.
    pub balancers: Balancers,
    /// Where `drainctl` reaches the agent.
    pub control: Control,
}

/// The numbers that the health endpoint answers. Up is always 200.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answers {
    /// In a soft drain; 404 for HAProxy and drain-proxy.
    pub soft: u16,
    /// From a hard drain until the server is back; 500.
    pub hard: u16,
}

/// Where `drainctl` reaches the agent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Control {
    /// The path of the unix socket; absolute.
    pub socket: PathBuf,
    /// The group whose members may drain and restart, beside root and the agent's own user; others may only
    /// look. `None`: no such group.
    pub group: Option<Arc<str>>,
}
