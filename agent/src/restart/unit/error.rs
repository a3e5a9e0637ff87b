//! Why a unit was not restarted or stopped.

use std::time::Duration;

use thiserror::Error;

use super::{
    super::{IdentityError, Output},
    line::TOLD_WITHIN,
};
use crate::systemd::{bus::BusError, verb::Verb};

/// Why a unit was not restarted or stopped.
#[derive(Debug, Error)]
pub enum UnitError {
    /// systemd can't be asked, or says no.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// It is silent.
    #[error(
        "systemd does not answer within {TOLD_WITHIN:?}; see that dbus.service and systemd itself do not hang"
    )]
    Silent,
    /// The unit's processes could not be looked at.
    #[error(transparent)]
    Processes(#[from] IdentityError),
    /// There is no such unit.
    #[error(
        "expected the unit {unit}, but systemd says that it is {loaded}; correct restart.unit (`systemctl list-units \
         --type=service` has the names), or install what it belongs to"
    )]
    NotLoaded {
        /// The unit.
        unit: String,
        /// How it is.
        loaded: String,
    },
    /// The job has not been done.
    #[error("expected systemd to {verb} {unit}, found the job {result}{}", said(.output))]
    Job {
        /// What it was to do.
        verb: Verb,
        /// The unit.
        unit: String,
        /// What has become of it, and why.
        result: String,
        /// The unit's last lines in the journal.
        output: Output,
    },
    /// It has not ended in time.
    #[error("expected systemd to {verb} {unit} within {limit:?}, so the job was cancelled{}", said(.output))]
    TimedOut {
        /// What it was to do.
        verb: Verb,
        /// The unit.
        unit: String,
        /// `restart.timeout`.
        limit: Duration,
        /// The unit's last lines in the journal.
        output: Output,
    },
    /// The job is done, but the unit does not run anew.
    #[error("expected {unit} to run anew after its restart, found it {found}{}", said(.output))]
    NotReplaced {
        /// The unit.
        unit: String,
        /// How it is instead.
        found: String,
        /// Its last lines in the journal.
        output: Output,
    },
    /// It was to be stopped.
    #[error("expected {unit} to be stopped, found it {found}{}", said(.output))]
    NotStopped {
        /// The unit.
        unit: String,
        /// How it is instead.
        found: String,
        /// Its last lines in the journal.
        output: Output,
    },
}

impl UnitError {
    /// The unit's last lines in the journal, where they were asked for.
    pub(in crate::restart) const fn output(&self) -> Option<&Output> {
        match self {
            Self::Job { output, .. }
            | Self::TimedOut { output, .. }
            | Self::NotReplaced { output, .. }
            | Self::NotStopped { output, .. } => Some(output),
            Self::Bus(_) | Self::Silent | Self::Processes(_) | Self::NotLoaded { .. } => None,
        }
    }
}

fn said(output: &Output) -> String {
    if output.is_empty() { String::new() } else { format!("; the journal has of it: {output}") }
}
