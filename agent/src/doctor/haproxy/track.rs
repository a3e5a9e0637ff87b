//! `track`: a server that goes and comes with another one, by whose checks.

use std::collections::BTreeSet;

use super::{super::Finding, ABOUT, backend::Backend, server_line::Server};

/// Which servers can be tracked. Their names are `BACKEND/SERVER`.
pub(super) struct Tracks {
    /// Those of which something is said.
    pub(super) ours: BTreeSet<String>,
    /// All that stand in the files.
    pub(super) there: BTreeSet<String>,
}

impl Tracks {
    /// What is said of `server`, of `backend`, that tracks another one; `ports` are those of its checks.
    pub(super) fn follows(
        &self,
        backend: &Backend<'_>,
        tracked: &str,
        server: &str,
        ports: &str,
    ) -> Option<Finding> {
        let tracked = named(backend, tracked);
        if self.ours.contains(&tracked) {
            // What is wrong with its checks is said at its own line.
            return None;
        }
        Some(if self.there.contains(&tracked) {
            Finding::failure(
                ABOUT,
                format!("{server} goes and comes with {tracked}, which is another server"),
                format!("add `check port {ports}` instead of `track`"),
            )
        } else {
            Finding::warning(
                ABOUT,
                format!(
                    "{server} goes and comes with {tracked}, of which there is no `server` line here: nobody has \
                     looked whether its checks ask the agent"
                ),
                "give the file with that line, too, by another --haproxy-cfg",
            )
        })
    }
}

/// The names of all servers of these backends.
pub(super) fn names(backends: &[(Backend<'_>, Vec<Server>)]) -> BTreeSet<String> {
    let of = |(backend, servers): &(Backend<'_>, Vec<Server>)| {
        servers.iter().map(|server| named(backend, &server.name)).collect::<Vec<_>>()
    };
    backends.iter().flat_map(of).collect()
}

/// `BACKEND/SERVER`, of a name that may lack the backend.
fn named(backend: &Backend<'_>, server: &str) -> String {
    if server.contains('/') { server.to_owned() } else { format!("{}/{server}", backend.section.name) }
}
