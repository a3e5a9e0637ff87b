//! Hot upgrade: another program takes over, and no connection is refused or reset.
//!
//! On SIGUSR2 a proxy starts its own program anew, from its place in the file system and with the same arguments, so
//! that a newer version and a newer configuration come into force. The two speak over a socket that is the new one's
//! standard input:
//!
//! ```text
//!  old                                       new, started with --take-over
//!   │                                         │ reads the configuration
//!   │◄──────────────── Hello ─────────────────┤
//!   ├──── Offer: health, users, listeners ───►│
//!   ├──── the sockets, the joint limits ──────►│ opens what else it needs, starts checks and workers:
//!   │ both accept                             │ both accept
//!   │◄──────────────── Ready ─────────────────┤ and tells the service manager that it is the main process
//!   │ closes its listeners, finishes          │
//!   ├──── Report: what it still has, often ──►│ takes orders; tells servers of both, in the header of its checks
//!   │◄──── News: health, orders, weights ─────┤
//!   │ obeys, and makes no checks itself       │
//!   └ ends: the socket closes                 │
//! ```
//!
//! What holds here:
//! - the very same sockets go on: a connection that waits in one of them is accepted by whoever comes to it. A socket
//!   that is merely opened beside would lose those that wait when the old one closes (`SO_REUSEPORT` shares out
//!   connections as they come). Therefore each socket that was taken over is accepted from until its address goes, and
//!   more cores than before get more sockets beside it ([`crate::listen::Listeners`]). Who waits at an address that the
//!   new configuration does not have is accepted by the old one, which closes that as after a reload;
//! - no server has more connections from both than its `maxconn`: descriptors in which the kernel counts what is left of
//!   it go along with the sockets ([`joint`]);
//! - until `Ready` the old one works as if nothing had been; whatever goes wrong before it is reported, and ends the
//!   new one only;
//! - clients that are idle are not closed: they get their next response from the old one, with `connection: close`;
//! - whatever becomes of a server holds in both within [`news::TELL_EVERY`], and a process that takes over from one that
//!   still hears of an earlier one passes it on;
//! - what the old one has left is limited by `limits.finish`;
//! - messages are JSON, of which unknown fields are ignored and missing ones have defaults; [`message::VERSION`] changes
//!   only when that does not suffice.

pub mod joint;
pub mod knowledge;
pub mod message;
pub mod news;
mod predecessor;
mod successor;
mod wire;

use std::io;
use std::time::Duration;

use thiserror::Error;

pub use self::predecessor::{Earlier, Inheritance, Predecessor, Relieved};
pub use self::successor::{Event, Legacy, Successor};
use self::wire::WireError;

/// How long the new one may take until it is ready: names of servers may have to be looked up.
const START_LIMIT: Duration = Duration::from_mins(2);

/// How often the old one reports what it has left: at least once for each check.
pub const REPORT_EVERY: Duration = Duration::from_millis(200);

/// Why another program does not take over.
#[derive(Debug, Error)]
pub enum UpgradeError {
    /// It can't be started.
    #[error("can't start {program}: {source}")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// It has ended.
    #[error("the new process has ended before it was ready ({how}); it has said why")]
    Ended {
        /// How.
        how: String,
    },
    /// It takes too long.
    #[error("expected the new process to be ready within {START_LIMIT:?}; it is ended")]
    Late,
    /// What was said is not understood.
    #[error("the other process is not understood: {0}")]
    Wire(#[from] WireError),
    /// The other one is of a version with another protocol.
    #[error(
        "expected upgrade protocol {}, found {found}: stop the old version and start the new one",
        message::VERSION
    )]
    Version {
        /// What it speaks.
        found: u32,
    },
    /// Standard input is no socket.
    #[error("--take-over is for the proxy itself: send SIGUSR2 to the one that runs: {0}")]
    NoPredecessor(io::Error),
}
