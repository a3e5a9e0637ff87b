//! Requests that are kept while they are sent, so that they can be sent again to another server.
//!
//! What is kept is what goes out: the head and the framed body, from the first byte on. It lies in memory up to
//! `replay.memory`; a longer one goes block by block into an unnamed temporary file, up to `replay.disk`. All requests
//! together have the shares of [`Budget`]. Where a limit is met, what was kept is let go of, and the request goes on
//! as one that can't be sent again.
//!
//! Files are written and read on the runtime's threads for blocking work: a slow disk holds up the request whose body
//! it takes, and no other one.

mod budget;
mod file;
mod kept;

pub use self::budget::Budget;
pub(super) use self::kept::Kept;
