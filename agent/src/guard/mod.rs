//! The guard of a unit: a companion unit whose stop drains, so that a plain `systemctl restart` hurts nobody.
//!
//! ```text
//!   systemctl restart apache2.service          (or stop, an upgrade of its package, a shutdown)
//!        │ PartOf=: the companion gets the same job; After=: its stop comes first, its start last
//!        ▼
//!   apache2-drain.service  ExecStop   drainctl guarded stop    asks for a hard drain, waits, at most `limit`
//!   apache2.service        stop, start                         as its own unit says, which nobody has changed
//!   apache2-drain.service  ExecStart  drainctl guarded start   brings the server back, if it was the guard's drain
//! ```
//!
//! The hooks never wait for long without need: whatever is the matter with the agent, the unit's own stop and start go on,
//! and the journal says that nobody was drained. Only where the unit has not come to run does the hook at its start fail:
//! a companion that ran would not be started with the unit's next start. What they do is decided here, from values:
//! [`at_stop`] and [`at_start`] have their tables and tests; `drainctl` carries it out.

mod companion;
mod hook;
mod unit;

pub use companion::{Companion, DIRECTORY, Mode, Unfit};
pub use hook::{
    AtStart, AtStop, Job, UnitState, at_start, at_stop, hold, is_alone, is_out, is_soft, reason, soft_part,
    too_few_remain,
};
pub use unit::{NoUnit, UnitName};
