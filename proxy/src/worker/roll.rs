//! All cores, to be asked for the requests that are under way there.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use crate::exchange::sessions::{Question, Seen};

/// All cores that are at work. Cores that have ended answer nothing.
#[derive(Clone, Debug, Default)]
pub struct Roll(Arc<Mutex<Vec<mpsc::UnboundedSender<Question>>>>);

impl Roll {
    /// One core more, which is asked what comes there.
    pub fn join(&self) -> mpsc::UnboundedReceiver<Question> {
        let (sender, questions) = mpsc::unbounded_channel();
        // Nothing under the lock can leave it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        questions
    }

    /// What is under way on all of them, core by core, the oldest first.
    pub fn under_way(&self) -> impl Future<Output = Vec<Seen>> + Send + use<> {
        let (sender, mut answers) = mpsc::unbounded_channel();
        self.ask(&Question::What(sender));
        async move {
            let mut seen = Vec::new();
            // It ends when the last of them has answered.
            while let Some(one) = answers.recv().await {
                seen.push(one);
            }
            seen.sort_by_key(|one: &Seen| one.number);
            seen
        }
    }

    /// Ends the request of this number; gives whether it was under way.
    pub fn shut_down(&self, number: u64) -> impl Future<Output = bool> + Send + use<> {
        let (sender, mut answers) = mpsc::unbounded_channel();
        self.ask(&Question::ShutDown(number, sender));
        async move { answers.recv().await.is_some() }
    }

    fn ask(&self, question: &Question) {
        let cores = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever has ended has nothing under way.
        cores.iter().for_each(|core| drop(core.send(question.clone())));
    }
}
