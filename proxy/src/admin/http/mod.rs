//! The admin port: what people, monitoring and the balancers above see of the proxy by HTTP. It is open only where
//! `[admin] listen` says so, on a thread of its own, beside the path of requests.
//!
//! | path | what | who |
//! |---|---|---|
//! | `/healthz` | 200 as long as there is a process | everybody |
//! | `/readyz` | [`Standing`]: 200, 404, 500 | everybody |
//! | `/`, `/live` | [the live page](super::page) | those who are let in |
//! | `/metrics` | [numbers for Prometheus](super::metrics) | those who are let in |
//! | `/stats`, and where `statistics` says | HAProxy's statistics | those who are let in |
//! | `/act`, and forms to the statistics | sets servers to soft, hard, up | those who are let in, at the level operate |
//!
//! Each connection has one request, so that nobody holds a place by doing nothing: [`CONNECTIONS`] are served at once,
//! a head has [`HEAD`] to come, a body as long, and a client that takes nothing off its hands is dropped after [`STALLED`].

mod act;
mod auth;
mod form;
mod health;
mod order;
mod port;
mod report;
mod routes;
mod statistics;
mod within;

use std::{sync::Arc, time::Duration};

pub use self::{
    auth::PasswordError,
    health::{Announced, Standing},
    port::{Opened, Port, PortError},
    within::Within,
};

use tokio::{sync::watch, time::Instant};

use super::{gate::Gate, stats::Statistics};

/// How many connections are served at once; others wait in the kernel. A few dozen people with the page open, of whom
/// each holds one, and monitoring.
const CONNECTIONS: usize = 128;

/// How long the head of a request may take to come.
const HEAD: Duration = Duration::from_secs(5);

/// The largest head, of which hyper keeps a buffer: a browser's cookies for this host may be in it.
const HEAD_BYTES: usize = 16 * 1024;

/// How long what was sent may stay unacknowledged: a page whose laptop was closed.
const STALLED: Duration = Duration::from_secs(30);

/// What the port tells of.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What is counted.
    pub statistics: Arc<Statistics>,
    /// Where orders pass.
    pub gate: Arc<Gate>,
    /// What the balancers above are told.
    pub standing: watch::Receiver<Announced>,
    /// When the process began.
    pub began: Instant,
}
