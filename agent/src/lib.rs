//! The agent beside a web server: it answers the balancers' health checks, drains on request, knows when
//! nobody uses the server any more, restarts it at that moment and brings it back.

pub mod agent_check;
pub mod balancers;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod doctor;
pub mod faults;
pub mod fetch;
pub mod guard;
pub mod health;
mod host_lock;
pub mod lifecycle;
pub mod log;
pub mod metrics;
pub mod owner;
pub mod ports;
pub mod ready;
pub mod report;
pub mod restart;
#[cfg(test)]
mod scratch;
pub mod setup;
pub mod signals;
pub mod state;
pub mod systemd;
pub mod traffic;
