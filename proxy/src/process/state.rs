//! How the servers are while no process runs, as HAProxy's `show servers state` says it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use crate::admin::command::restored;
use crate::config::{Backend, Config};
use crate::upgrade::message::Known;

/// What the files say of the servers of this configuration. One that is not there says nothing, and one that can't be read
/// is a warning: the servers' checks will tell.
pub(super) fn read(config: &Config) -> Vec<Known> {
    let mut files: BTreeMap<&Path, Vec<&Backend>> = BTreeMap::new();
    for backend in &config.backends {
        let own = backend.load_server_state.as_deref();
        if let Some(path) = own.or(config.admin.server_state.as_deref()) {
            files.entry(path).or_default().push(backend);
        }
    }
    files.into_iter().flat_map(|(path, backends)| read_file(path, &backends)).collect()
}

/// What a file says of the servers of these backends.
fn read_file(path: &Path, backends: &[&Backend]) -> Vec<Known> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let (known, unread) = restored(&text, backends);
            if unread > 0 {
                tracing::warn!(
                    "{}: expected lines of `show servers state`, found {unread} that are none",
                    path.display()
                );
            }
            tracing::info!("the state of {} servers comes from {}", known.len(), path.display());
            known
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            tracing::warn!("the servers' state can't be read from {}: {error}", path.display());
            Vec::new()
        }
    }
}

/// What of the file is no matter of the moment: names, states, orders and weights, without times and the results of single
/// checks.
pub(super) fn lasting(text: &str) -> String {
    const COLUMNS: [usize; 7] = [1, 3, 5, 6, 7, 13, 14];
    let mut lasting = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        for word in COLUMNS.iter().filter_map(|&at| words.get(at)) {
            lasting.push_str(word);
            lasting.push(' ');
        }
        lasting.push('\n');
    }
    lasting
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_tells_the_time_is_no_change() {
        let line = |state: &str, since: &str| {
            format!(
                "1\n# be_id\n3 shop 1 a 127.0.0.1 {state} 10 10 {since} 15 3 4 6 0 0 0 - 80 - 0 0 - - 0\n"
            )
        };
        let before = lasting(&line("2 0", "53"));
        assert_eq!(before, lasting(&line("2 0", "54")));
        assert_ne!(before, lasting(&line("2 1", "53")), "an order");
        assert_ne!(before, lasting(&line("0 0", "53")), "a check");
    }
}
