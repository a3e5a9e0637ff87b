//! What the program says on standard error, written by a thread of its own.
//!
//! Whoever reads it (a journal, a terminal, a pipe) may stop reading. Checks, cores and signals go on meanwhile: a
//! message that finds no room is lost and counted, and the loss is told as soon as there is room.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Messages that may wait: the changes of a large backend, several times over, in some 200 KiB.
const MAX_MESSAGES: usize = 1024;

/// Takes messages and never waits; each write is one message.
#[derive(Clone, Debug)]
pub struct Messages(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Vec<u8>>,
    is_writing: bool,
    lost: u64,
}

impl Messages {
    /// Starts the thread that writes to `output`. It lasts as long as the process.
    pub fn to(mut output: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let messages = Self(shared.clone());
        thread::Builder::new().name("messages".to_owned()).spawn(move || {
            loop {
                let message = shared.next();
                // There is nobody left to tell.
                let _ = output.write_all(&message).and_then(|()| output.flush());
            }
        })?;
        Ok(messages)
    }

    /// Waits until everything has been written, but not longer than this.
    pub fn flush_within(&self, limit: Duration) {
        let is_busy = |state: &mut State| state.is_writing || state.has_more();
        // Whichever way it ends, there is nothing else to do.
        drop(self.0.changed.wait_timeout_while(self.0.lock(), limit, is_busy));
    }
}

impl Write for Messages {
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock();
        if state.waiting.len() < MAX_MESSAGES {
            state.waiting.push_back(message.to_vec());
        } else {
            state.lost += 1;
        }
        drop(state);
        self.0.changed.notify_all();
        Ok(message.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    /// Waits for the next message to write.
    fn next(&self) -> Vec<u8> {
        let mut state = self.lock();
        state.is_writing = false;
        self.changed.notify_all();
        let mut state =
            self.changed.wait_while(state, |state| !state.has_more()).unwrap_or_else(PoisonError::into_inner);
        state.is_writing = true;
        state.take_next()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_more(&self) -> bool {
        !self.waiting.is_empty() || self.lost > 0
    }

    /// What was lost came after what waits.
    fn take_next(&mut self) -> Vec<u8> {
        self.waiting.pop_front().unwrap_or_else(|| {
            let lost = std::mem::take(&mut self.lost);
            let messages_are = if lost == 1 { "message is" } else { "messages are" };
            format!("{lost} {messages_are} lost: standard error takes them too slowly\n").into_bytes()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(20);

    /// Takes a message only when it is allowed to.
    struct Gate(Arc<Mutex<()>>, Sender<String>);

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _open = self.0.lock();
            // The test may have seen enough.
            let _ = self.1.send(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_who_stops_costs_messages_and_no_time() {
        let gate: Arc<Mutex<()>> = Arc::default();
        let (sender, seen) = channel();
        let mut messages = Messages::to(Gate(gate.clone(), sender)).unwrap();
        let closed = gate.lock().unwrap();
        // One more may be with the writer already.
        for number in 0..MAX_MESSAGES + 11 {
            messages.write_all(format!("{number}").as_bytes()).unwrap();
        }
        drop(closed);
        messages.flush_within(DEADLINE);
        let written: Vec<String> = seen.try_iter().collect();
        assert_eq!(written[..3], ["0", "1", "2"]);
        let lost = MAX_MESSAGES + 11 - (written.len() - 1);
        assert!(lost == 10 || lost == 11, "{lost}");
        assert!(written.last().unwrap().starts_with(&format!("{lost} messages are lost")), "{written:?}");
    }

    #[test]
    fn a_reader_who_stops_does_not_hold_up_the_end() {
        let gate: Arc<Mutex<()>> = Arc::default();
        let (sender, _seen) = channel();
        let mut messages = Messages::to(Gate(gate.clone(), sender)).unwrap();
        let _closed = gate.lock().unwrap();
        messages.write_all(b"the last words").unwrap();
        messages.flush_within(Duration::from_millis(1));
    }
}
