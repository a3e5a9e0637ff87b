//! `[restart]`: how the server is restarted.

use std::time::Duration;

/// How the server is restarted. A restart that fails leaves the server out until somebody asks for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restart {
    /// The program and its arguments, run without a shell; never empty. The program is an absolute path, or a
    /// bare name that is looked up in `PATH`.
    pub command: Vec<String>,
    /// How long the command may run before its process group is ended and the restart has failed.
    pub timeout: Duration,
    /// What shows that the server is a new one.
    pub proof: Proof,
}

/// What shows that a server is a new one after its restart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proof {
    /// None of the processes that listened on the server's ports before does so still.
    Process,
    /// The listening process may be the old one, but its children are new (`apachectl restart`).
    Workers,
    /// Nothing: the command's success and readiness suffice.
    None,
}
