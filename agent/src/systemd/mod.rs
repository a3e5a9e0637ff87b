//! What the agent has to do with systemd, where it is the host's: it restarts units ([`bus`]), says how it is itself
//! ([`notify`], [`watchdog`]), and takes over sockets that systemd holds for it ([`activation`]).

pub mod activation;
pub mod bus;
pub mod cgroup;
pub mod notify;
mod object;
pub(crate) mod polkit;
pub(crate) mod scope;
pub mod socket;
pub mod standing;
pub mod verb;
pub mod watchdog;
