//! A client of D-Bus that is as small as the agent's need: calls, their replies, and signals, over the system's bus
//! (D-Bus Specification 0.43: "Authentication Protocol", "Message Protocol").
//!
//! Three methods and a signal of systemd's are all that is asked for; a whole D-Bus library is larger than the rest of the
//! agent's dependencies. It sends little-endian and reads both.

mod connection;
mod message;

pub use connection::{Connection, DbusError};
pub use message::{Kind, Malformed, Message, Reader, Writer};
