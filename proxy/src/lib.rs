//! The companion proxy: an HTTP/1.1 reverse proxy that obeys its servers' health answers.

pub mod admin;
mod adopt;
pub mod backend;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
mod decimal;
mod escape;
pub mod exchange;
pub mod http1;
pub mod listen;
pub mod process;
pub mod proxy_protocol;
pub mod rules;
pub mod served;
pub mod snapshot;
pub mod upgrade;
pub mod worker;
