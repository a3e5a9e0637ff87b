//! What an operator says of a server's health, and whether it is checked at all.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::Operation;

/// For the checker of one server, from an operator.
#[derive(Debug, Default)]
pub struct Forced {
    health: Mutex<Option<Operation>>,
    /// It is checked again.
    again: AtomicBool,
    bell: Notify,
    /// It is not checked; its agent is not asked.
    paused: [AtomicBool; 2],
}

/// What a checker is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Told {
    /// Health is this, until a check says otherwise.
    Health(Operation),
    /// Nobody has looked for a while: what was found before is old.
    Look,
}

impl Forced {
    /// Health is this, until a check says otherwise.
    pub fn set_health(&self, operation: Operation) {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = Some(operation);
        self.bell.notify_one();
    }

    /// It was not checked until now, and is again.
    pub fn look_again(&self) {
        self.again.store(true, Ordering::Release);
        self.bell.notify_one();
    }

    /// Waits for the next word. To be called by the server's checker only.
    pub async fn told(&self) -> Told {
        loop {
            let health = self.health.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(health) = health {
                return Told::Health(health);
            }
            if self.again.swap(false, Ordering::Acquire) {
                return Told::Look;
            }
            // Rung since, or from now on: a permit is kept.
            self.bell.notified().await;
        }
    }

    /// It is not checked.
    pub fn is_unchecked(&self) -> bool {
        self.paused[0].load(Ordering::Relaxed)
    }

    /// Its agent is not asked.
    pub fn is_unasked(&self) -> bool {
        self.paused[1].load(Ordering::Relaxed)
    }

    /// Has it checked or not.
    pub fn pause_checks(&self, paused: bool) {
        let was = self.paused[0].swap(paused, Ordering::Relaxed);
        if was && !paused {
            self.look_again();
        }
    }

    /// Has its agent asked or not.
    pub fn pause_agent(&self, paused: bool) {
        self.paused[1].store(paused, Ordering::Relaxed);
    }

    /// Both, to be handed on.
    pub fn paused(&self) -> [bool; 2] {
        [self.is_unchecked(), self.is_unasked()]
    }

    /// Both, as they were handed on.
    pub fn pause(&self, [checks, agent]: [bool; 2]) {
        self.pause_checks(checks);
        self.pause_agent(agent);
    }
}
