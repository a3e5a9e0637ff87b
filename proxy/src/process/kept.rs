//! What is kept in files while no process runs: how the servers are, and what operators have set. They are written when
//! something has changed, so that a process that is killed loses little, and once more at the end.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::state;
use crate::admin::command::{self, Desk, Session, all_states, changes};
use crate::admin::edits::Edits;
use crate::admin::gate::Gate;
use crate::admin::stats::Statistics;
use crate::clock;
use crate::config::{Admin, AdminLevel};

/// Whoever sets again what was set before is asked for nothing.
const NO_PATIENCE: std::time::Duration = std::time::Duration::ZERO;

/// What the files say, as far as it lasts.
#[derive(Debug, Default)]
pub(super) struct Kept {
    state: Option<(PathBuf, String)>,
    changes: Option<(PathBuf, String)>,
}

impl Kept {
    /// Writes what has changed.
    pub(super) fn keep(&mut self, admin: &Admin, statistics: &Statistics) {
        if let Some(path) = &admin.server_state {
            let text = all_states(statistics, clock::now());
            renew(&mut self.state, path, state::lasting(&text), &text);
        }
        if let Some(path) = &admin.keep_changes {
            let text = changes(&statistics.generation());
            renew(&mut self.changes, path, text.clone(), &text);
        }
    }

    /// Writes everything, whatever was written before.
    pub(super) fn keep_all(&mut self, admin: &Admin, statistics: &Statistics) {
        *self = Self::default();
        self.keep(admin, statistics);
    }
}

/// Sets what an earlier process has kept. What can't be set any more is a warning: the configuration may have changed.
pub(super) fn set_again(admin: &Admin, statistics: &Arc<Statistics>, gate: &Arc<Gate>) {
    let Some(path) = &admin.keep_changes else { return };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => {
            return tracing::warn!("what was set at run time can't be read from {}: {error}", path.display());
        }
    };
    let (statistics, gate) = (statistics.clone(), gate.clone());
    // Of what is kept nothing changes the configuration.
    let desk = Desk { statistics, gate, edits: Edits::nowhere(), sockets: Vec::new() };
    let mut session = Session::new(AdminLevel::Admin, NO_PATIENCE);
    let mut refused = String::new();
    let all: Vec<_> = text.lines().flat_map(command::commands).filter(|words| !words.is_empty()).collect();
    for words in &all {
        let answer = command::obey(&desk, &mut session, words);
        if !answer.is_empty() {
            let _ = write!(refused, "; \"{}\" is not: {}", words.join(" "), answer.trim_end());
        }
    }
    if refused.is_empty() {
        tracing::info!("{} settings of an earlier process hold again, from {}", all.len(), path.display());
    } else {
        tracing::warn!("of {} settings in {} some hold again{refused}", all.len(), path.display());
    }
}

fn renew(known: &mut Option<(PathBuf, String)>, path: &Path, lasting: String, text: &str) {
    let now = Some((path.to_owned(), lasting));
    if *known != now {
        *known = now;
        if let Err(error) = replace(path, text) {
            tracing::warn!("what is to be kept can't be written to {}: {error}", path.display());
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::log::Logs;
    use crate::admin::stats::Facts;
    use crate::config::Config;
    use crate::worker::Generation;

    fn statistics() -> (Arc<Statistics>, Arc<Gate>) {
        let text = r#"
            frontend.web = { bind = ["127.0.0.1:0"], backend = "shop" }
            [[backend.shop.server]]
            name = "a"
            address = "127.0.0.1:80"
        "#;
        let config = Config::parse("test.toml", text, &|_, _| Ok(Vec::new())).unwrap();
        let generation = Generation::new(&config, &Logs::open(&config).unwrap());
        let (started, started_wall) = (clock::now(), clock::wall());
        let facts = Facts { started, started_wall, node: "lb1".to_owned(), threads: 1 };
        (Statistics::new(generation, facts), Arc::default())
    }

    #[tokio::test]
    async fn what_was_set_is_set_again_as_far_as_it_is_there() {
        let directory = std::env::temp_dir().join(format!("drain-proxy-kept-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("changes");
        let admin = Admin { keep_changes: Some(path.clone()), ..Admin::default() };
        let orders = "set maxconn global 77\nset server shop/a weight 3\nset server shop/gone weight 5\n";
        fs::write(&path, orders).unwrap();
        let (after, gate) = statistics();
        set_again(&admin, &after, &gate);
        let hold = "set maxconn global 77\nset server shop/a weight 3\n";
        assert_eq!(changes(&after.generation()), hold);
        let mut kept = Kept::default();
        kept.keep(&admin, &after);
        assert_eq!(fs::read_to_string(&path).unwrap(), hold);
        // Nothing has changed, and so nothing is written.
        fs::remove_file(&path).unwrap();
        kept.keep(&admin, &after);
        assert!(!path.exists());
        kept.keep_all(&admin, &after);
        assert!(path.exists());
        fs::remove_dir_all(&directory).unwrap();
    }
}
