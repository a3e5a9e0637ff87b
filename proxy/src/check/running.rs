//! Who asks at present, and how newer settings reach them.

use std::collections::HashMap;

use tokio::sync::watch;
use tokio::task::spawn_local;

/// One task of the runtime for each server, by the server's identity, with the way to tell it of newer settings `T`;
/// without that it ends.
#[derive(Debug)]
pub(super) struct Running<T>(pub(super) HashMap<usize, watch::Sender<T>>);

impl<T> Default for Running<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Clone> Running<T> {
    /// Has tasks run for these servers and no others: those that run go on by the settings given, and the rest are
    /// started. Each item is a server's identity, its settings, and its task.
    pub(super) fn follow<S, F>(&mut self, wanted: impl Iterator<Item = (usize, T, S)>)
    where
        S: FnOnce(T, watch::Receiver<T>) -> F,
        F: Future<Output = ()> + 'static,
    {
        let mut before = std::mem::take(&mut self.0);
        for (identity, settings, start) in wanted {
            let sender = if let Some(sender) = before.remove(&identity) {
                sender.send_replace(settings);
                sender
            } else {
                let (sender, newer) = watch::channel(settings.clone());
                spawn_local(start(settings, newer));
                sender
            };
            self.0.insert(identity, sender);
        }
    }

    /// Whether a task runs for the server of this identity.
    pub(super) fn has(&self, identity: usize) -> bool {
        self.0.contains_key(&identity)
    }
}
