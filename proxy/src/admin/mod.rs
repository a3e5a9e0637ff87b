//! What people and monitoring see of the proxy: its logs and its statistics.

pub mod log;
pub mod messages;
pub mod stats;
