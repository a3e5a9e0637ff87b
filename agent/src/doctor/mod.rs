//! The doctor: looks, before anything happens, for what would spoil a drain.
//!
//! ```text
//!   configuration, status, history ──► balancers, server, restart, host: pure, or one look each ──► Findings
//!   a file of HAProxy's (drainctl) ──► haproxy ─────────────────────────────────────────────────────▲
//! ```
//!
//! A failure is what would make a drain fail or hurt somebody; a warning is what is not known or not as good as it
//! could be. Each of both has its cure.

mod balancers;
mod examination;
mod finding;
mod guard;
pub mod haproxy;
mod host;
mod logs;
mod remote;
mod restart;
mod rights;
mod server;
mod systemd;

pub use examination::{Diagnosis, Doctor};
pub use finding::{Finding, Level};
pub use guard::ABOUT as GUARD;
pub(crate) use host::listening_socket;
pub use server::READY;
pub(crate) use systemd::differences;
