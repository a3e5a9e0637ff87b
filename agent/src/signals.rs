//! Signals: absolute and idempotent.
//!
//! | signal | means |
//! |---|---|
//! | `SIGUSR1` | soft drain, then restart |
//! | `SIGUSR2` | hard drain, then restart |
//! | `SIGHUP` | reload the configuration |
//! | `SIGTERM`, `SIGINT` | stop; a second one ends the process at once |
//!
//! Signals that are pending together are delivered in the order of their numbers, not of their arrival, and repeats
//! are merged (up to five of one kind are kept). Hence each names a state to be reached; none may ever mean "the other
//! way round" or "the next one": USR2 followed by USR1 arrives as USR1 followed by USR2.

use std::{
    fmt, io,
    sync::{Arc, atomic::AtomicBool},
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2},
    flag,
    iterator::exfiltrator::{WithOrigin, origin::Origin},
};
use signal_hook_tokio::SignalsInfo;
use tokio_stream::StreamExt;

use crate::lifecycle;

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wish {
    /// Soft drain, then restart.
    Soft,
    /// Hard drain, then restart.
    Hard,
    /// Read the configuration again.
    Reload,
    /// End the agent.
    Stop,
}

/// A signal that has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signal {
    /// What it asks for.
    pub wish: Wish,
    /// `SIGUSR1` and the like.
    pub name: &'static str,
    /// Process that sent it; nothing where the kernel did (Ctrl-C).
    pub pid: Option<i32>,
    /// User that sent it.
    pub uid: Option<u32>,
}

impl Signal {
    fn from_origin(origin: &Origin) -> Option<Self> {
        let (wish, name) = match origin.signal {
            SIGUSR1 => (Wish::Soft, "SIGUSR1"),
            SIGUSR2 => (Wish::Hard, "SIGUSR2"),
            SIGHUP => (Wish::Reload, "SIGHUP"),
            SIGTERM => (Wish::Stop, "SIGTERM"),
            SIGINT => (Wish::Stop, "SIGINT"),
            _ => return None,
        };
        let sender = origin.process.as_ref();
        Some(Self { wish, name, pid: sender.map(|p| p.pid), uid: sender.map(|p| p.uid) })
    }

    /// Who asked, for the drain's record.
    pub fn origin(&self) -> lifecycle::Origin {
        lifecycle::Origin::Signal { signal: self.name.to_owned(), pid: self.pid, uid: self.uid }
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signals")
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        match (self.pid, self.uid) {
            (Some(pid), Some(uid)) => write!(f, " from pid {pid} uid {uid}"),
            _ => f.write_str(" from the kernel"),
        }
    }
}

/// The signals that come from now on.
pub struct Signals(SignalsInfo<WithOrigin>);

impl Signals {
    /// Takes the signals over. To be called before anything else is started: until then SIGUSR1 would end the process.
    /// Must be called inside the runtime.
    pub fn install() -> io::Result<Self> {
        let signals = SignalsInfo::<WithOrigin>::new([SIGUSR1, SIGUSR2, SIGHUP, SIGTERM, SIGINT])?;
        let stopping = Arc::new(AtomicBool::new(false));
        // The order is the point: for the first one the condition is still false when it is looked at. It is armed
        // for all before any is set, so that a SIGTERM and a SIGINT count together.
        for signal in [SIGTERM, SIGINT] {
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stopping))?;
        }
        for signal in [SIGTERM, SIGINT] {
            flag::register(signal, Arc::clone(&stopping))?;
        }
        Ok(Self(signals))
    }

    /// The next signal.
    pub async fn next(&mut self) -> Signal {
        while let Some(origin) = self.0.next().await {
            if let Some(signal) = Signal::from_origin(&origin) {
                return signal;
            }
        }
        // The stream ends only where it is closed, which nobody does.
        std::future::pending().await
    }
}
