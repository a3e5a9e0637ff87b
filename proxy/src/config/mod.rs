//! The proxy's configuration, checked once, complete with its defaults.
//!
//! Behind [`Config`] nothing asks again whether a value makes sense: each type holds only what is valid. An
//! `Option` here is a thing that may be absent, never a default that is still to be found.

mod backend;
mod check;
mod frontend;
mod limits;

pub use backend::{Backend, BackendTimeout, Balance, Cookie, Server, WhenAllDrain};
pub use check::{Check, CheckRequest, HttpVersion};
pub use frontend::{ForwardFor, Frontend, FrontendTimeout, Log, LogFormat, LogTarget};
pub use limits::Limits;

/// Everything that a proxy is told about its work.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Where requests come in, in the order of the file; at least one.
    pub frontends: Vec<Frontend>,
    /// Where they go, in the order of the file; at least one.
    pub backends: Vec<Backend>,
    /// Limits of the whole process.
    pub limits: Limits,
}

/// A backend, as its place in [`Config::backends`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BackendIndex(pub usize);

impl std::ops::Index<BackendIndex> for [Backend] {
    type Output = Backend;

    fn index(&self, index: BackendIndex) -> &Backend {
        &self[index.0]
    }
}
