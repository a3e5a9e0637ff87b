//! The configuration is read again, or changed by an operator's order.
//!
//! A reload is all or nothing: what may fail (the file, log targets, addresses) comes first and leaves everything as it
//! was; the rest can't fail.

use thiserror::Error;

use super::door::Change;
use super::{Difference, Process, files};
use crate::admin::edits::{Edit, NOBODY};
use crate::admin::gate::SHUT;
use crate::admin::http::PortError;
use crate::admin::log::{Logs, OpenError};
use crate::admin::service::AdminError;
use crate::config::{Config, LoadError};
use crate::listen::{ListenError, Listeners};
use crate::worker::{Generation, Share, Stop};

/// Why a configuration that was read again does not hold.
#[derive(Debug, Error)]
enum ReloadError {
    #[error("{}", said(.0))]
    Load(#[from] LoadError),
    #[error(transparent)]
    Log(#[from] OpenError),
    #[error("{}", .0.with_source())]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error(transparent)]
    Port(#[from] PortError),
}

impl Process {
    /// Reads the configuration again and works by it from now on. A bad one is reported and changes nothing.
    pub(super) fn reload(&mut self) {
        if self.successor.is_some() && *self.stop.borrow() == Stop::No {
            // It may have read the file before, or not yet.
            tracing::error!(
                "SIGHUP is not obeyed: another process is taking over; send it again when it has"
            );
            return;
        }
        if self.is_ending() {
            tracing::info!(
                "SIGHUP: log files are opened anew; the configuration is not read by a proxy that ends"
            );
            return self.logs.reopen();
        }
        match self.try_reload() {
            Ok(difference) => tracing::info!("SIGHUP: {difference}; log files are opened anew"),
            Err(error) => {
                tracing::error!(
                    "SIGHUP: nothing is changed, because the new configuration can't be used: {error}"
                );
            }
        }
        self.logs.reopen();
    }

    fn try_reload(&mut self) -> Result<Difference, ReloadError> {
        let (config, messages) = Config::load_all(&self.files)?;
        if !messages.sorted().is_empty() {
            tracing::warn!("{}", messages.render(std::process::id()));
        }
        let difference = Difference::between(&self.config, &config);
        // A password may be another in the same file.
        let door = self.door.change(&config.admin)?;
        if config == self.config {
            self.door.take(door);
            return Ok(difference);
        }
        self.work_by(config, door, |_| {})?;
        Ok(difference)
    }

    /// Makes a change that an operator has ordered.
    pub(super) fn edit(&mut self, edit: Edit) {
        if self.successor.is_some() {
            return edit.refuse(SHUT);
        }
        if self.is_ending() {
            return edit.refuse(NOBODY);
        }
        let before = self.config.clone();
        edit.make(&before, |config, made| {
            let difference = Difference::between(&before, &config);
            match self.work_by(config, Change::None, made.prepare) {
                Ok(()) => {
                    tracing::info!("by an operator's order: {difference}");
                    made.said
                }
                Err(error) => format!("{error}\n"),
            }
        });
    }

    /// Works by another configuration from now on. `prepare`: what is done with its servers before anybody sees them.
    fn work_by(
        &mut self,
        config: Config,
        door: Change,
        prepare: impl FnOnce(&Generation),
    ) -> Result<(), ReloadError> {
        let logs = Logs::open_beside(&config, &self.logs)?;
        let listeners = Listeners::open(&config, self.cores, &self.listeners, false)?;
        self.admin.follow(&config.admin)?;
        // Nothing fails from here on.
        if config.limits.connections != self.config.limits.connections {
            files::raise_limit(&config);
        }
        if config.limits.threads.get() != self.cores {
            tracing::warn!(
                "limits.threads = {} takes an upgrade (SIGUSR2) or a restart; {} threads work on",
                config.limits.threads,
                self.cores
            );
        }
        self.generation = self.generation.renewed(&config, &logs);
        prepare(&self.generation);
        self.admin.statistics().follow(self.generation.clone());
        if let Some(checks) = &self.checks {
            checks.follow(self.generation.backends());
        }
        for (core, worker) in self.workers.iter().enumerate() {
            let listeners = listeners.of_core(core, self.cores);
            // A worker that has ended has said why.
            let _ = worker.send(Share { generation: self.generation.clone(), listeners });
        }
        self.logs.make_way_for(logs);
        self.listeners = listeners;
        self.door.take(door);
        self.config = config;
        Ok(())
    }
}

/// With its places, as `drain-proxy check` says it.
fn said(error: &LoadError) -> String {
    match error {
        LoadError::Invalid(invalid) => invalid.render(false),
        LoadError::Unreadable { .. }
        | LoadError::Empty { .. }
        | LoadError::Several
        | LoadError::Haproxy(_) => error.to_string(),
    }
}
