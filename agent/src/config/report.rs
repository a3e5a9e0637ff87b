//! `[report]`: where the reports of drains go.

use std::path::{Path, PathBuf};

use drain_config::{Table, Value};

/// Where the reports of drains go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// A file of JSON lines; an absolute path. The older half is beside it, with the ending `.1`.
    pub history: PathBuf,
}

impl Report {
    /// Unless it says otherwise, beside the state file: there the agent may write.
    pub(super) fn read(table: &Table<'_>, state: &Path) -> Self {
        let beside = state.with_extension("history.jsonl");
        let own = |value: &Value<'_>| {
            let path = value.absolute_path()?;
            if !is_taken(&path, state) {
                return Some(path);
            }
            let why = format!("expected a file of its own: the agent keeps its state in {}", state.display());
            value.wrong("is where the state is kept", why);
            None
        };
        Self { history: table.field("history", beside, own).into_inner() }
    }
}

/// Whether the history at `path`, or its older half, would lie where the state or what belongs to it does.
fn is_taken(path: &Path, state: &Path) -> bool {
    let with = |path: &Path, ending: &str| {
        let mut path = path.as_os_str().to_owned();
        path.push(ending);
        path
    };
    STATE_ENDINGS
        .iter()
        .map(|ending| with(state, ending))
        .any(|taken| path.as_os_str() == taken || with(path, ".1") == taken)
}

/// What the state file and its companions are called: itself, while it is written, one that can't be read, and what
/// commands write.
const STATE_ENDINGS: [&str; 4] = ["", ".new", ".unreadable", ".output"];
