//! The owner's hand on the state file: what was written last, and whether writing works.

use tokio::task::spawn_blocking;

use crate::{
    clock::Moment,
    lifecycle::Course,
    state::{File, Found, State},
};

/// The state file, and what is known of it.
#[derive(Debug)]
pub(super) struct Records {
    file: File,
    /// The present boot's id.
    pub(super) boot: String,
    /// When it was last tried to write.
    pub(super) written_at: Moment,
    /// What was written last.
    written: Option<Course>,
    /// Why the last attempt to write has failed.
    pub(super) trouble: Option<String>,
    /// Something beside the course has changed since the last attempt.
    pub(super) stale: bool,
}

impl Records {
    /// The records in `file`.
    pub(super) fn new(file: File, boot: String, now: Moment) -> Self {
        Self { file, boot, written_at: now, written: None, trouble: None, stale: false }
    }

    /// What an earlier agent has left.
    pub(super) async fn read(&self) -> Found {
        let file = self.file.clone();
        spawn_blocking(move || file.read())
            .await
            .unwrap_or_else(|_| Found::Unreadable("the thread that read it has ended early".into()))
    }

    /// Whether `course` has not been written yet.
    pub(super) fn lack(&self, course: &Course) -> bool {
        self.written.as_ref() != Some(course)
    }

    /// Writes `state`, off this thread.
    pub(super) async fn write(&mut self, state: State, now: Moment) -> Result<(), String> {
        let file = self.file.clone();
        let course = state.machine.course.clone();
        let result = spawn_blocking(move || file.write(&state).map_err(|error| error.to_string()))
            .await
            .unwrap_or_else(|_| Err("the thread that wrote it has ended early".into()));
        self.written_at = now;
        self.stale = false;
        self.trouble = result.clone().err();
        // After a failure nobody knows what the file holds.
        self.written = result.is_ok().then_some(course);
        result
    }
}
