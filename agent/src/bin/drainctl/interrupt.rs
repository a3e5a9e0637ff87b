//! Ctrl-C and its relatives.

use std::io;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_tokio::Signals;
use tokio_stream::StreamExt;

/// The wish to end that comes from outside: Ctrl-C, a kill, a terminal that goes away.
pub(crate) struct Interrupts(Signals);

impl Interrupts {
    pub(crate) fn install() -> io::Result<Self> {
        Signals::new([SIGINT, SIGTERM, SIGHUP]).map(Self)
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        if self.0.next().await.is_none() {
            // The stream ends only where it is closed, which nobody does.
            std::future::pending::<()>().await;
        }
    }
}
