//! First use: what serves on this host, and what an agent for it is to be told.
//!
//! ```text
//!   /proc: who listens, in which unit ──► servers ──► Candidate ─┐
//!   what people say (drainctl setup) ───────────────────────────┴─► Plan ──► the configuration and
//!                                                                            the lines for haproxy.cfg
//! ```
//!
//! What is written is made here, from values; `drainctl setup` asks, probes and writes.

mod candidate;
mod plan;

pub use candidate::{Candidate, NotSeen, candidates};
pub use plan::Plan;
