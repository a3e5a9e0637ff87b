//! What is kept in files while no process runs: how the servers are, and what operators have set. They are written when
//! something has changed, so that a process that is killed loses little, and once more when it is told to end.

mod file;

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::file::{KeptFile, Outcome};
use super::state;
use crate::admin::command::{self, Desk, Session, all_states, changes};
use crate::admin::edits::Edits;
use crate::admin::gate::Gate;
use crate::admin::stats::Statistics;
use crate::clock;
use crate::config::{Admin, AdminLevel};
use crate::worker::Roll;

/// Whoever sets again what was set before is asked for nothing.
const NO_PATIENCE: std::time::Duration = std::time::Duration::ZERO;

/// The files.
#[derive(Debug, Default)]
pub(super) struct Kept {
    state: KeptFile,
    changes: KeptFile,
    /// All was written for the last time.
    is_final: bool,
}

impl Kept {
    /// Writes what has changed, or could not be written before.
    pub(super) fn keep(&mut self, admin: &Admin, statistics: &Statistics) {
        if self.is_final {
            return;
        }
        if let Some(path) = &admin.server_state {
            let text = all_states(statistics, clock::now());
            note(self.state.renew(path, state::lasting(&text), &text), statistics);
        }
        if let Some(path) = &admin.keep_changes {
            let text = changes(&statistics.generation());
            note(self.changes.renew(path, text.clone(), &text), statistics);
        }
    }

    /// Writes everything, whatever was written before, and nothing after it.
    pub(super) fn keep_at_last(&mut self, admin: &Admin, statistics: &Statistics) {
        if std::mem::replace(&mut self.is_final, true) {
            return;
        }
        if let Some(path) = &admin.server_state {
            note(self.state.renew_at_last(path, &all_states(statistics, clock::now())), statistics);
        }
        if let Some(path) = &admin.keep_changes {
            note(self.changes.renew_at_last(path, &changes(&statistics.generation())), statistics);
        }
    }
}

/// Counts what could not be written.
fn note(outcome: Outcome, statistics: &Statistics) {
    if outcome == Outcome::Failed {
        statistics.note_unwritten();
    }
}

/// Sets what an earlier process has kept. What can't be set any more is a warning: the configuration may have changed.
pub(super) fn set_again(admin: &Admin, statistics: &Arc<Statistics>, gate: &Arc<Gate>) {
    let Some(path) = &admin.keep_changes else { return };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => {
            let aside = set_aside(path);
            return tracing::warn!(
                "what was set at run time can't be read from {}: {error}; {aside}",
                path.display()
            );
        }
    };
    let (statistics, gate) = (statistics.clone(), gate.clone());
    // Of what is kept nothing changes the configuration.
    let desk = Desk { statistics, gate, edits: Edits::nowhere(), roll: Roll::default(), sockets: Vec::new() };
    let mut session = Session::new(AdminLevel::Admin, NO_PATIENCE);
    let mut refused = String::new();
    let all: Vec<_> = text.lines().flat_map(command::commands).filter(|words| !words.is_empty()).collect();
    for words in &all {
        let said = command::obey(&desk, &mut session, words);
        let answer = if session.orders_an_edit() { "it changes the configuration" } else { said.as_str() };
        if !answer.is_empty() {
            let _ = write!(refused, "; \"{}\" is not: {}", words.join(" "), answer.trim_end());
        }
    }
    if refused.is_empty() {
        tracing::info!("{} settings of an earlier process hold again, from {}", all.len(), path.display());
    } else {
        let (count, aside) = (all.len(), set_aside(path));
        tracing::warn!("of {count} settings in {} some hold again{refused}; {aside}", path.display());
    }
}

/// Has the file stay under another name when it is written anew: what it says is nowhere else. Says where it is.
fn set_aside(path: &Path) -> String {
    let aside = beside(path, "unread");
    let cleared = match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    let linked =
        cleared.and_then(|()| fs::hard_link(path, &aside).or_else(|_| fs::copy(path, &aside).map(drop)));
    match linked {
        Ok(()) => format!("the file stays as {}", aside.display()),
        Err(error) => format!("the file can't be kept as {}: {error}", aside.display()),
    }
}

/// The name with something behind it.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
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
        let orders = "set maxconn global 77\nset server shop/a weight 3\nset server shop/gone weight 5\n\
                      add server shop/b 127.0.0.1:81\n";
        fs::write(&path, orders).unwrap();
        let (after, gate) = statistics();
        set_again(&admin, &after, &gate);
        let hold = "set maxconn global 77\nset server shop/a weight 3\n";
        assert_eq!(changes(&after.generation()), hold);
        let mut kept = Kept::default();
        kept.keep(&admin, &after);
        assert_eq!(fs::read_to_string(&path).unwrap(), hold);
        // Of what could not be set nothing is lost.
        assert_eq!(fs::read_to_string(directory.join("changes.unread")).unwrap(), orders);
        // Nothing has changed, and so nothing is written.
        fs::remove_file(&path).unwrap();
        kept.keep(&admin, &after);
        assert!(!path.exists());
        kept.keep_at_last(&admin, &after);
        assert!(path.exists());
        // Another process may write it now.
        fs::write(&path, "").unwrap();
        kept.keep_at_last(&admin, &after);
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
        fs::remove_dir_all(&directory).unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_set_again_as_a_whole_is_not_set_aside() {
        let directory = std::env::temp_dir().join(format!("drain-proxy-whole-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("changes");
        let admin = Admin { keep_changes: Some(path.clone()), ..Admin::default() };
        fs::write(&path, "set maxconn global 77\n").unwrap();
        let (statistics, gate) = statistics();
        set_again(&admin, &statistics, &gate);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        fs::write(&path, b"\xff").unwrap();
        set_again(&admin, &statistics, &gate);
        assert_eq!(fs::read(directory.join("changes.unread")).unwrap(), b"\xff");
        fs::remove_dir_all(&directory).unwrap();
    }
}
