//! Numbers for Prometheus, in the text of `OpenMetrics`, on a port that is open only where it is configured.
//!
//! What counts is counted by the owner as it happens ([`Counters`]); what stands is taken from the status when somebody
//! asks ([`page`]). Unknown is never zero: what no source could read has no sample.

mod counters;
mod page;
mod port;

pub use counters::{Counters, Failed};
pub use page::{Form, page};
pub use port::Port;
