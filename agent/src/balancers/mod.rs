//! Who asks for the server's health, and what each of them has acknowledged.
//!
//! A *balancer* sends `X-Haproxy-Server-State`, or asks at least three times at even intervals; anybody else is a
//! visitor and counts for nothing. A balancer acts on what is announced when
//!
//! | it | and | then it is |
//! |---|---|---|
//! | sends the header | says NOLB or DOWN for soft, DOWN for hard | proven |
//! | sends no header | got `fall` answers, one for each of its longest intervals | answered |
//! | is silent | for three of its intervals, at least 5 s | gone |
//! | sends the header | has no failures counted after more than twice `fall` answers | unproven, with a warning |
//!
//! Where more than one process asks by the same names ([`namesakes`]), what proves must have been so for as long as it
//! takes to be gone, and nobody have said otherwise meanwhile.
//!
//! Who sends no header is told apart by address and by what is asked for: method, path, Host, User-Agent. Backends of
//! one balancer that ask alike are one here, whose answers are counted together: nothing that they send differs.
//!
//! The table reads no clock and is a part of the state file.

mod balancer;
mod header;
mod key;
mod namesakes;
mod rhythm;
mod shown;
mod standing;
mod table;
mod visitors;
mod weights;

pub use balancer::Balancer;
pub use header::{Header, State};
pub use key::Key;
pub use rhythm::Rhythm;
pub use standing::{Heard, Standing};
pub use table::{Saved, Sessions, Table, Unheard};
