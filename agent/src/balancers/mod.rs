//! Who asks for the server's health, and what each of them has acknowledged.
//!
//! A *balancer* sends `X-Haproxy-Server-State`, or asks at least three times at even intervals; anybody else is a
//! visitor and counts for nothing. A balancer acts on what is announced when
//!
//! | it | and | then it is |
//! |---|---|---|
//! | sends the header | says NOLB or DOWN for soft, DOWN for hard | proven |
//! | sends no header | got `fall` answers that span `fall` of its longest intervals | answered |
//! | is silent | for three of its intervals, at least 5 s | gone |
//! | sends the header | has no failures counted after more than twice `fall` answers | unproven, with a warning |
//!
//! The table reads no clock and is a part of the state file.

mod balancer;
mod header;
mod rhythm;
mod shown;
mod table;

pub use balancer::{Balancer, Heard, Key, Standing};
pub use header::{Header, State};
pub use rhythm::Rhythm;
pub use table::{Saved, Sessions, Table};
