//! What people and monitoring see of the proxy: its logs.

pub mod log;
pub mod messages;
