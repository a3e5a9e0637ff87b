//! How far a restart has come, told to the owner while it goes on.

use tokio::sync::{mpsc, oneshot};

use super::errands::Report;
use crate::restart::Process;

/// Tells the owner how far the restart of one drain has come. Where the owner has gone, nobody is told.
#[derive(Clone)]
pub struct Progress {
    drain: u64,
    report: mpsc::Sender<Report>,
}

impl Progress {
    pub(super) const fn new(drain: u64, report: mpsc::Sender<Report>) -> Self {
        Self { drain, report }
    }

    /// Its command runs as `process`.
    pub async fn begun(&self, process: Process) {
        let _ = self.report.send(Report::Begun { drain: self.drain, process }).await;
    }

    /// Its command has ended well, and the proof is not taken yet. Returns when that is written down, or can't be.
    pub async fn ended(&self) {
        let (written, is_written) = oneshot::channel();
        let _ = self.report.send(Report::CommandEnded { drain: self.drain, written }).await;
        let _ = is_written.await;
    }
}
