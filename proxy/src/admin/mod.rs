//! What people and monitoring see of the proxy, and how they command it: logs, statistics, runtime commands, and a port
//! for browsers, scrapers and balancers above.

pub mod command;
pub mod edits;
pub mod gate;
pub mod http;
pub mod log;
pub mod messages;
pub mod metrics;
pub mod page;
pub mod service;
pub mod socket;
pub mod stats;
pub mod usage;
