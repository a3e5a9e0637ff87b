//! What systemd does to a unit.

use std::fmt;

/// What systemd is asked to do to a unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    /// To start it.
    Start,
    /// To stop it.
    Stop,
    /// To stop it, if it runs, and start it.
    Restart,
    /// To restart it if it runs.
    TryRestart,
    /// To reload it, or restart it where it can't reload.
    ReloadOrRestart,
    /// The same if it runs.
    TryReloadOrRestart,
}

impl Verb {
    /// The manager's method that does it.
    pub(super) const fn method(self) -> &'static str {
        match self {
            Self::Start => "StartUnit",
            Self::Stop => "StopUnit",
            Self::Restart => "RestartUnit",
            Self::TryRestart => "TryRestartUnit",
            Self::ReloadOrRestart => "ReloadOrRestartUnit",
            Self::TryReloadOrRestart => "ReloadOrTryRestartUnit",
        }
    }
}

/// As systemctl has it.
impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::TryRestart => "try-restart",
            Self::ReloadOrRestart => "reload-or-restart",
            Self::TryReloadOrRestart => "try-reload-or-restart",
        })
    }
}
