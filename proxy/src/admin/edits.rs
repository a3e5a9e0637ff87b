//! Changes of the running configuration that operators order: servers that come, move and go. The process makes them as it
//! makes those of a file that it reads again, between two other things that it does; they last until it reads the file.

use std::fmt;

use tokio::sync::{mpsc, oneshot};

use crate::config::Config;
use crate::worker::Generation;

/// What is said where there is nobody any more who could make a change.
pub const NOBODY: &str = "The proxy ends, and nothing is changed.\n";

/// Changes the configuration, or says why not.
type Change = Box<dyn FnOnce(&mut Config) -> Result<Made, String> + Send>;

/// A change that was made.
pub struct Made {
    /// What is said of it.
    pub said: String,
    /// What is to be done with the new servers before anybody sees them.
    pub prepare: Box<dyn FnOnce(&Generation) + Send>,
}

impl Made {
    /// A change of which this is said.
    pub fn new(said: impl Into<String>) -> Self {
        Self { said: said.into(), prepare: Box::new(|_| {}) }
    }
}

/// A change that is to be made.
pub struct Edit {
    change: Change,
    done: oneshot::Sender<String>,
}

impl Edit {
    /// What it makes of this configuration; whoever ordered it is told what `adopt` makes of that.
    pub fn make(self, config: &Config, adopt: impl FnOnce(Config, Made) -> String) {
        let mut config = config.clone();
        let said = match (self.change)(&mut config) {
            Ok(made) => adopt(config, made),
            Err(wrong) => wrong,
        };
        // Whoever has gone is not told.
        let _ = self.done.send(said);
    }

    /// It is not made.
    pub fn refuse(self, why: &str) {
        let _ = self.done.send(why.to_owned());
    }
}

impl fmt::Debug for Edit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Edit")
    }
}

/// Where changes are ordered. There are no more of them than sessions: each waits for its own.
#[derive(Clone, Debug)]
pub struct Edits(mpsc::UnboundedSender<Edit>);

impl Edits {
    /// With whom makes them.
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<Edit>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Nobody makes them.
    pub fn nowhere() -> Self {
        Self::channel().0
    }

    /// Orders one; gives what will be said of it.
    pub(super) fn order(
        &self,
        change: impl FnOnce(&mut Config) -> Result<Made, String> + Send + 'static,
    ) -> oneshot::Receiver<String> {
        let (done, said) = oneshot::channel();
        if let Err(unheard) = self.0.send(Edit { change: Box::new(change), done }) {
            unheard.0.refuse(NOBODY);
        }
        said
    }
}

/// What is said at last.
pub(super) async fn said(of: oneshot::Receiver<String>) -> String {
    of.await.unwrap_or_else(|_| NOBODY.to_owned())
}
