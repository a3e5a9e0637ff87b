//! The limits on servers' connections that the old process and the new one keep together.

use std::collections::HashMap;
use std::sync::Arc;

use super::knowledge::{name, servers};
use super::message::Name;
use crate::backend::{Backend, JointLimit};

/// Limits that are kept together at most: each takes a descriptor in both processes. Of servers beyond it the new one
/// knows by reports what the old one has, some moments late.
const MOST: usize = 1024;

/// Has the new process keep to the limits of these backends' servers, too.
pub fn join(backends: &[Arc<Backend>]) -> Vec<(Name, JointLimit)> {
    let limits = servers(backends).filter_map(|(backend, server)| match server.join_limit()? {
        Ok(limit) => Some((name(backend.name(), server), limit)),
        Err(error) => {
            tracing::warn!("the maxconn of {} holds in each process for itself: {error}", server.name());
            None
        }
    });
    limits.take(MOST).collect()
}

/// Keeps to these limits together with the old process. Before anybody is served.
pub fn keep(backends: &[Arc<Backend>], limits: Vec<(Name, JointLimit)>) {
    let mut limits: HashMap<Name, JointLimit> = limits.into_iter().collect();
    for (backend, server) in servers(backends) {
        if let Some(limit) = limits.remove(&name(backend.name(), server)) {
            server.keep_joint_limit(Some(limit));
        }
    }
}

/// There is no other process any more.
pub fn part(backends: &[Arc<Backend>]) {
    servers(backends).for_each(|(_, server)| server.keep_joint_limit(None));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::fixture::{backend_of, limited, server, settings};

    #[test]
    fn two_processes_have_no_more_connections_to_a_server_than_one_may() {
        let [old, new] = [(); 2].map(|()| [backend_of(settings(vec![limited("a", 2), server("b")]))]);
        let open = |of: &[Arc<Backend>; 1], index: usize| of[0].servers()[index].try_connection();
        let held = open(&old, 0).unwrap();
        let limits = join(&old);
        assert_eq!(limits.len(), 1, "of those that have a limit");
        keep(&new, limits);
        let second = open(&new, 0).unwrap();
        assert!(open(&new, 0).is_none() && open(&old, 0).is_none());
        assert!(new[0].servers()[0].is_wanted_elsewhere() && !new[0].servers()[0].keeps_idle());
        assert!(open(&new, 1).is_some());
        drop(held);
        let third = open(&new, 0).unwrap();
        drop(second);
        assert!(new[0].servers()[0].keeps_idle());
        let fourth = open(&old, 0).unwrap();
        assert!(open(&old, 0).is_none());
        part(&new);
        assert!(open(&new, 0).is_some());
        drop((third, fourth));
    }
}
