//! The owner's hand on the state file: what was written last, and whether writing works.

use std::{future, mem, time::Duration};

use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tracing::{error, info};

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
    /// What was written last, or tried to.
    tried: Option<Course>,
    /// Why the last attempt to write has failed.
    pub(super) trouble: Option<String>,
    /// Something beside the course has changed since the last attempt.
    pub(super) stale: bool,
    /// What is on its way.
    writing: Option<Writing>,
}

/// A state on its way to the disk, off this thread.
type Writing = JoinHandle<Result<(), String>>;

/// What a state that is written must outlive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lasts {
    /// A crash of the host.
    OverBoots,
    /// One of the agent.
    ThisBoot,
}

/// What could not be written is tried again after so long: a full disk needs no busy writer.
const RETRY: Duration = Duration::from_secs(5);

impl Records {
    /// The records in `file`.
    pub(super) fn new(file: File, boot: String, now: Moment) -> Self {
        Self { file, boot, written_at: now, tried: None, trouble: None, stale: false, writing: None }
    }

    /// What an earlier agent has left.
    pub(super) async fn read(&self) -> Found {
        let file = self.file.clone();
        spawn_blocking(move || file.read())
            .await
            .unwrap_or_else(|_| Found::Unreadable("the thread that read it has ended early".into()))
    }

    /// Whether `course` is to be written: it has not been yet, nor tried in vain a moment ago.
    pub(super) fn lack(&self, course: &Course, now: Moment) -> bool {
        let is_tried = self.tried.as_ref() == Some(course);
        !is_tried || (self.trouble.is_some() && now >= self.written_at + RETRY)
    }

    /// Begins to write `state`, off this thread, when nothing is on its way; `lasts` says what it must outlive.
    pub(super) fn begin(&mut self, state: State, lasts: Lasts, now: Moment) {
        debug_assert!(self.writing.is_none(), "one after the other");
        self.written_at = now;
        self.stale = false;
        self.tried = Some(state.machine.course.clone());
        let file = self.file.clone();
        self.writing = Some(spawn_blocking(move || {
            let written = match lasts {
                Lasts::OverBoots => file.write(&state),
                Lasts::ThisBoot => file.write_for_this_boot(&state),
            };
            written.map_err(|error| error.to_string())
        }));
    }

    /// Whether a state is on its way to the disk.
    pub(super) fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// How the writing of what is on its way ends; never, where nothing is.
    pub(super) async fn written(&mut self) -> Result<(), String> {
        let Some(writing) = &mut self.writing else { return future::pending().await };
        let result = writing.await.unwrap_or_else(ended_early);
        self.writing = None;
        result
    }

    /// The same for who does something else meanwhile.
    pub(super) fn take_written(&mut self) -> Option<impl Future<Output = Result<(), String>> + use<>> {
        let writing = self.writing.take()?;
        Some(async move { writing.await.unwrap_or_else(ended_early) })
    }

    /// Tells of a failure that is new, and of its end.
    pub(super) fn note(&mut self, result: Result<(), String>) {
        let before = mem::replace(&mut self.trouble, result.err());
        match &self.trouble {
            Some(why) if before.as_ref() != Some(why) => {
                error!("{why}; an agent that begins now would not know of the present state");
            }
            None if before.is_some() => info!("the state can be written again"),
            _ => {}
        }
    }
}

fn ended_early(_panicked: JoinError) -> Result<(), String> {
    Err("the thread that wrote it has ended early".into())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::scratch::Scratch;

    fn at(second: u64) -> Moment {
        Moment::from_boot(Duration::from_secs(second))
    }

    async fn write(records: &mut Records, now: Moment) -> Result<(), String> {
        records.begin(State::new("boot".into()), Lasts::OverBoots, now);
        let result = records.written().await;
        records.note(result.clone());
        result
    }

    #[tokio::test]
    async fn what_could_not_be_written_is_tried_again_after_a_while_and_what_is_new_at_once() {
        let directory = Scratch::new("records");
        let file = directory.join("state.json");
        // A directory in the file's place.
        fs::create_dir_all(file.join("in the way")).unwrap();
        let mut records = Records::new(File::at(&file), "boot".into(), at(0));
        assert!(records.lack(&Course::Up, at(0)), "never written");
        write(&mut records, at(10)).await.unwrap_err();
        assert!(!records.lack(&Course::Up, at(14)));
        assert!(records.lack(&Course::Up, at(15)));
        assert!(records.lack(&Course::Failed { why: String::new() }, at(10)));
        fs::remove_dir_all(&file).unwrap();
        write(&mut records, at(15)).await.unwrap();
        assert!(!records.lack(&Course::Up, at(60)));
    }
}
