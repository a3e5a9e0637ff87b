//! What people are told of a backend's changes.

use std::sync::Arc;

use super::Backend;
use crate::{admin::log::Notices, config::Level};

impl Backend {
    /// From now on these are told of changes, too.
    pub fn tell(&self, notices: Notices) {
        self.notices.store(Arc::new(notices));
    }

    /// Tells of a change: on standard error, and to the syslogs of the frontends before the backend.
    pub fn announce(&self, level: Level, line: &str) {
        match level {
            Level::Emerg | Level::Alert | Level::Crit | Level::Err => tracing::error!("{line}"),
            Level::Warning => tracing::warn!("{line}"),
            Level::Notice | Level::Info => tracing::info!("{line}"),
            Level::Debug => tracing::debug!("{line}"),
        }
        self.notices.load().tell(level, line);
    }
}
