//! `[admin]`: who may look at the proxy and command it while it runs.

use std::path::PathBuf;

use drain_config::{Document, Invalid, Table};

use super::{AdminPort, AdminSocket, Leave, haproxy::Source};

/// Who may look at the proxy and command it while it runs.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Admin {
    /// Sockets that take HAProxy's runtime commands.
    pub sockets: Vec<AdminSocket>,
    /// Where the servers' state is written when it changes, and read when the proxy starts; `None`: nowhere.
    pub server_state: Option<PathBuf>,
    /// Where that is written which was set at run time, as commands that set it again at a start; `None`: nowhere.
    pub keep_changes: Option<PathBuf>,
    /// The port where it can be looked at; `None`: there is none.
    pub port: Option<AdminPort>,
    /// What is told to balancers above before it finishes.
    pub leave: Leave,
}

impl Admin {
    /// What a TOML file has that stands beside a haproxy.cfg, and says nothing else.
    pub(super) fn alone(file: &Source) -> Result<Self, Invalid> {
        Document::parse(&file.name, &file.text)?.read(|root| Some(root.section("admin", Self::read)))
    }

    /// What both say: sockets may be in either, and HAProxy has no word for the rest.
    pub(super) fn with_sockets(mut self, sockets: Vec<AdminSocket>) -> Self {
        self.sockets.splice(0..0, sockets);
        self
    }

    pub(super) fn read(table: &Table<'_>) -> Self {
        let path = |key| table.take(key).and_then(|value| value.absolute_path());
        Self {
            sockets: AdminSocket::read_all(table),
            server_state: path("server_state"),
            keep_changes: path("keep_changes"),
            port: AdminPort::read(table),
            leave: table.section("leave", Leave::read),
        }
    }
}
