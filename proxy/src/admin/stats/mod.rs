//! What the proxy counts and is, as HAProxy's statistics have it: the snapshot that `show stat`, `show info`, the
//! statistics page and the metrics are made of.
//!
//! ```text
//! requests ─► Served, one shard per core ─┐
//! checks ───► History of each server ─────┤  each second: Statistics::tick
//! listeners ► open connections ───────────┴─► Statistics::snapshot ─► Snapshot ─► format::{csv, typed, json}
//! ```
//!
//! A snapshot is a pure value: a table of fields, each with HAProxy's name, tags and description, in HAProxy's order.
//! Taking one adds up what the cores have counted; no request waits for it.

mod collect;
mod field;
pub mod format;
mod info;
mod process;
mod rate;
mod select;
mod statistics;
mod status;

pub use self::{
    collect::{Proxy, proxies},
    field::{Field, Tags},
    info::{Info, InfoField},
    process::VERSION,
    select::{Filter, Hide},
    statistics::{Facts, Statistics},
};

/// What is counted for the whole process and for each proxy and server, at one moment.
#[derive(Clone, PartialEq, Debug)]
pub struct Snapshot {
    /// The process.
    pub info: Info,
    /// Frontends in configuration order, then each backend's servers and the backend itself.
    pub rows: Vec<Row>,
}

/// One line of the statistics.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// What it is of.
    pub kind: Kind,
    /// HAProxy's `iid`: the proxy's number, from 2 as HAProxy's are.
    pub proxy: u32,
    /// HAProxy's `sid`: the server's number in its backend, from 1; 0 for the proxies themselves.
    pub id: u32,
    /// What HAProxy has no field for.
    pub beyond: Beyond,
    values: Vec<Option<Value>>,
}

/// What is known of a server, or of all servers of a backend, beyond HAProxy's fields.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Beyond {
    /// Distinct users within the users window.
    pub users: u64,
    /// Requests in flight in an earlier process that finishes what it has.
    pub elsewhere: u32,
    /// What its agent says of its drain, as its last check had it: `soft; reason="…"; since=…`.
    pub drain: Option<String>,
    /// A later check has shown the agent that its drain is acted on; of a server.
    pub acknowledged: bool,
    /// Requests that were sent again after a server had had some of them; of a backend.
    pub replays: u64,
    /// Responses that were continued by another server; of a backend.
    pub resumes: u64,
}

/// What a row is of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// A frontend: HAProxy's type 0.
    Frontend,
    /// A backend: type 1.
    Backend,
    /// A server: type 2.
    Server,
}

impl Kind {
    /// The number in the column `type`.
    pub const fn number(self) -> u32 {
        match self {
            Self::Frontend => 0,
            Self::Backend => 1,
            Self::Server => 2,
        }
    }

    /// The letter of the typed format.
    pub const fn letter(self) -> char {
        match self {
            Self::Frontend => 'F',
            Self::Backend => 'B',
            Self::Server => 'S',
        }
    }

    /// The word of the JSON format.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Frontend => "Frontend",
            Self::Backend => "Backend",
            Self::Server => "Server",
        }
    }
}

/// The value of a field, with its type in HAProxy's typed format.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// `u32`
    U32(u32),
    /// `s32`
    S32(i32),
    /// `u64`
    U64(u64),
    /// `str`
    Text(String),
}

impl Value {
    /// Its type, as the typed and the JSON format call it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::U32(_) => "u32",
            Self::S32(_) => "s32",
            Self::U64(_) => "u64",
            Self::Text(_) => "str",
        }
    }

    /// As a number, if it is one.
    pub fn number(&self) -> Option<i64> {
        match *self {
            Self::U32(number) => Some(number.into()),
            Self::S32(number) => Some(number.into()),
            Self::U64(number) => Some(i64::try_from(number).unwrap_or(i64::MAX)),
            Self::Text(_) => None,
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::U32(number) => number.fmt(out),
            Self::S32(number) => number.fmt(out),
            Self::U64(number) => number.fmt(out),
            Self::Text(text) => out.write_str(text),
        }
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::U32(number)
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::S32(number)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::U64(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl Row {
    /// A row with nothing but its place.
    pub fn new(kind: Kind, proxy: u32, id: u32) -> Self {
        Self { kind, proxy, id, beyond: Beyond::default(), values: vec![None; Field::ALL.len()] }
    }

    /// What the field says; `None`: nothing, in this row.
    pub fn value(&self, field: Field) -> Option<&Value> {
        self.values[field.place()].as_ref()
    }

    /// The same, as a number; 0 where there is none.
    pub fn number(&self, field: Field) -> i64 {
        self.value(field).and_then(Value::number).unwrap_or(0)
    }

    /// The same, as text; empty where there is none.
    pub fn text(&self, field: Field) -> &str {
        match self.value(field) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    /// Says what the field is.
    pub fn set(&mut self, field: Field, value: impl Into<Value>) {
        self.values[field.place()] = Some(value.into());
    }

    /// Says nothing of the field any more.
    pub fn clear(&mut self, field: Field) {
        self.values[field.place()] = None;
    }

    /// All fields that say something, in HAProxy's order.
    pub fn iter(&self) -> impl Iterator<Item = (Field, &Value)> {
        Field::ALL.iter().zip(&self.values).filter_map(|(&field, value)| Some((field, value.as_ref()?)))
    }
}
