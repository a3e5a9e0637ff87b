//! What in a configuration of HAProxy's would spoil a drain.
//!
//! A tolerant scanner of lines, not a parser: it knows sections, what `defaults` pass on, and the dozen words that
//! matter here. What it does not know it passes over.

mod backend;
mod file;
mod rules;
mod server_line;
mod track;

pub use rules::{Wanted, examine};

/// What these findings are about.
const ABOUT: &str = "haproxy";
