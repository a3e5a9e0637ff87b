//! How many files the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// File descriptors beside connections: listeners, logs, checks, runtimes.
const OTHER_FILES: u64 = 256;

/// Raises the soft limit of open files to the hard one, and says so if that is too low.
pub(super) fn raise_limit(config: &Config) {
    let limit = getrlimit(Resource::Nofile);
    // Failing leaves the limit as it was, which is looked at next.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let connections = config.limits.connections.get() as u64;
    if files < 2 * connections + OTHER_FILES {
        tracing::warn!(
            "{files} open files are allowed, but limits.connections = {connections} may need {}: raise LimitNOFILE= \
             of the unit (ulimit -n), or lower limits.connections",
            2 * connections + OTHER_FILES
        );
    }
}
