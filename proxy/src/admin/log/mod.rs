//! The access log, and the lines of state changes where a syslog wants them.
//!
//! ```text
//! core 0: lines ─► buffer ─┐                      ┌─► stdout, stderr
//! core 1: lines ─► buffer ─┼─► bounded channel ─► writer ─► a file
//! checks: notices ─────────┘    (one per target)  └─► syslog: a datagram a line
//! ```
//!
//! Each core formats its lines into a buffer of its own; full buffers go through a bounded channel to a thread that
//! writes them. So a slow or dead target never slows traffic: lines that find no room are lost, counted and reported.

mod core;
mod date;
mod header;
mod line;
mod logs;
mod notices;
mod own;
mod target;
mod text;
mod writer;

pub use logs::{Logs, OpenError};
pub use notices::Notices;
pub use writer::{Feed, Feeds};
