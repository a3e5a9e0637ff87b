//! Reads TOML so that every mistake in it is reported at once, each at its place, with what was expected and
//! what would be right.
//!
//! Both programs read their configuration through this crate. It walks the parsed document itself, where each
//! key and value has its place in the text, instead of deriving a type for it: a derived type stops at the first
//! wrong value or unknown key, and loses the places inside most enums.
//!
//! ```text
//! text ──Document::parse──► Table ──take, require──► Value ──text, number, duration …──► Field
//!                             │                        │                                   │
//!                             └─ unknown keys ─────────┴─ wrong types, bounds ─────────────┴─► Mistakes
//! ```
//!
//! What a table's reader does not ask for is unknown, so a key can't be accepted and then ignored. A reader goes
//! on after a mistake, with the default in the wrong value's place; [`Document::read`] gives its result away only
//! when there was none.

mod document;
mod duration;
mod field;
mod mistake;
mod nearest;
mod table;
mod value;

pub use document::{Document, Literal};
pub use duration::{LONGEST, SHORTEST, duration};
pub use field::Field;
pub use mistake::{Invalid, Mistake};
pub use table::Table;
pub use value::Value;
