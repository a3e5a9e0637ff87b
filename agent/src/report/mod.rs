//! The report of each drain: who asked and why, who acknowledged when, who used the server meanwhile, what was cut,
//! how the restart went, and when users came back.
//!
//! ```text
//!   owner ── steps, looks, acknowledgements ──► Recorder (a value; part of the state file) ── whole Record ──► History
//!                                                   ▲                                        (JSON Lines, two files)
//!   drainctl history ── what is under way ──────────┘ ── what has ended ─────────────────────────────▲
//! ```
//!
//! The recorder reads no clock and opens nothing. A drain that goes on over the agent's end is one record, because
//! what is not yet whole is a part of the state file.

mod curve;
mod history;
mod left;
mod open;
mod record;
mod recorder;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::spawn_blocking;

pub use curve::SAMPLES;
pub use history::{History, Unreadable};
pub use left::{Cut, LeftOpen, Peer};
pub use record::{Acknowledgement, Record, Sample, Step, Try};
pub use recorder::{Recorder, Saved};

/// The reports of an agent: those that are whole and those that are not.
#[derive(Clone, Debug)]
pub struct Reports {
    /// One task writes; who asks for reports takes a copy. Nobody holds it across an await.
    recorder: Arc<Mutex<Recorder>>,
    file: Arc<History>,
}

impl Reports {
    /// Those that lie in `history`, and none yet that is not whole.
    pub fn new(history: History) -> Self {
        Self { recorder: Arc::default(), file: Arc::new(history) }
    }

    /// The recorder, for as long as this is held.
    pub fn recorder(&self) -> MutexGuard<'_, Recorder> {
        // Each change leaves it whole, so that it is whole even if a thread has died.
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the reports lie that are whole.
    pub fn file(&self) -> &Arc<History> {
        &self.file
    }

    /// The last `count`, the oldest first, without what makes them long.
    pub async fn last(&self, count: usize) -> Result<Vec<Record>, Unreadable> {
        let open: Vec<Record> = self.recorder().records().map(Record::brief).collect();
        let history = Arc::clone(&self.file);
        let mut records = spawn_blocking(move || history.last(count + recorder::OPEN))
            .await
            .map_err(|_| Unreadable::Stopped)??;
        records.retain(|record| !open.iter().any(|open| open.is_same(record)));
        records.extend(open);
        // One that is given up while another is under way is whole before it.
        records.sort_by_key(|record| (record.asked_unix, record.drain));
        let surplus = records.len().saturating_sub(count);
        records.drain(..surplus);
        Ok(records)
    }

    /// That of the drain `id`.
    pub async fn of(&self, id: u64) -> Result<Option<Record>, Unreadable> {
        let open = self.recorder().records().find(|record| record.drain == id).cloned();
        if open.is_some() {
            return Ok(open);
        }
        let history = Arc::clone(&self.file);
        spawn_blocking(move || history.of(id)).await.map_err(|_| Unreadable::Stopped)?
    }
}
