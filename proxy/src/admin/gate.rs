//! Whether orders are taken: not by a process from which another takes over, which has been told how things stand and
//! would never hear of them; and not by that other one until the first has let go, for they would end with it if it failed.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is said to whoever orders something meanwhile.
pub const SHUT: &str = "An upgrade is under way, and nothing is changed: try again in a moment.\n";

/// Where all orders pass, whoever gives them. It is open at first.
#[derive(Debug, Default)]
pub struct Gate {
    is_shut: Mutex<bool>,
}

impl Gate {
    /// Carries the order out, unless the gate is shut; the order must not wait for anything.
    ///
    /// # Errors
    /// The gate is shut, and nothing has been done: [`SHUT`].
    pub fn pass<T>(&self, order: impl FnOnce() -> T) -> Result<T, &'static str> {
        let is_shut = self.lock();
        if *is_shut { Err(SHUT) } else { Ok(order()) }
    }

    /// From now on nothing is ordered, and all that was is done.
    pub fn shut(&self) {
        *self.lock() = true;
    }

    /// The other process does not take over, or has let go.
    pub fn open(&self) {
        *self.lock() = false;
    }

    /// Nothing is behind it that a panic could leave half done.
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_shut.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
