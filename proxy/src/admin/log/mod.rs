//! The access log.
//!
//! Each core formats its lines into a buffer of its own; full buffers go through a bounded channel to a thread that
//! writes them. So a slow or dead target never slows traffic: lines that find no room are lost, counted and reported.

mod date;
mod line;
mod logs;
mod writer;

pub use logs::{Feeds, Logs, OpenError};
pub use writer::{CoreLog, Feed, Writer};
