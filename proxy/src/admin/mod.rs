//! What people and monitoring see of the proxy, and how they command it: logs, statistics, runtime commands.

pub mod command;
pub mod log;
pub mod messages;
pub mod service;
pub mod socket;
pub mod stats;
