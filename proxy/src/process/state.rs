//! The file that keeps the servers' state while no process runs: HAProxy's `show servers state`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::admin::command::{all_states, restored};
use crate::admin::stats::Statistics;
use crate::clock;
use crate::config::Config;
use crate::upgrade::message::Known;

/// What the file says of the servers of this configuration. One that is not there says nothing, and one that can't be read
/// is a warning: the servers' checks will tell.
pub(super) fn read(config: &Config) -> Vec<Known> {
    let Some(path) = &config.admin.server_state else { return Vec::new() };
    match fs::read_to_string(path) {
        Ok(text) => {
            let (known, unread) = restored(&text, config);
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

/// Writes how the servers are now.
pub(super) fn write(config: &Config, statistics: &Statistics) {
    let Some(path) = &config.admin.server_state else { return };
    let text = all_states(statistics, clock::now());
    if let Err(error) = replace(path, &text) {
        tracing::warn!("the servers' state can't be written to {}: {error}", path.display());
    }
}

/// As a whole or not at all.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}
