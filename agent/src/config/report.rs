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
        Self { history: table.field("history", beside, Value::absolute_path).into_inner() }
    }
}
