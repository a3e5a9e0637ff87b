//! What all workers share, by one configuration.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::admin::log::{Feeds, Logs};
use crate::backend::{Backend, Server};
use crate::config::{self, Config};
use crate::exchange::{Budget, OpenCounts};

/// A frontend as all workers share it.
#[derive(Clone, Debug)]
pub(super) struct Frontend {
    pub(super) settings: config::Frontend,
    pub(super) backend: Arc<Backend>,
    pub(super) open: OpenCounts,
    /// Connections that may still be accepted.
    pub(super) room: Arc<Semaphore>,
    pub(super) log: Feeds,
}

/// What all workers share, by one configuration.
#[derive(Debug)]
pub struct Generation {
    pub(super) limits: config::Limits,
    pub(super) backends: Vec<Arc<Backend>>,
    pub(super) frontends: Vec<Frontend>,
    /// Connections that may still be accepted by the whole process.
    pub(super) room: Arc<Semaphore>,
    /// What may be kept of requests.
    pub(super) budget: Arc<Budget>,
}

impl Generation {
    /// What the workers need for this configuration, whose logs these are.
    pub fn new(config: &Config, logs: &Logs) -> Arc<Self> {
        Self::resumed(config, logs, |_, _| {})
    }

    /// The same, but `resume` tells each server what another process knew of it.
    pub fn resumed(config: &Config, logs: &Logs, resume: impl Fn(&config::Backend, &Server)) -> Arc<Self> {
        let backend = |settings: &config::Backend| Backend::resumed(settings.clone(), &resume);
        let backends = config.backends.iter().map(backend).collect();
        let room = semaphore(config.limits.connections.get());
        let process = OpenCounts::default().process;
        let keep = |settings: &config::Frontend| {
            let open = OpenCounts { process: process.clone(), frontend: Arc::default() };
            (open, semaphore(settings.maxconn.get()))
        };
        Arc::new(Self::of(config, backends, (room, Budget::new(config.limits.replay)), logs, keep))
    }

    /// The same for a newer configuration. What keeps its name keeps its counts: frontends their connections, backends
    /// all that [`Backend::renewed`] keeps. Must be called on a runtime.
    pub fn renewed(&self, config: &Config, logs: &Logs) -> Arc<Self> {
        let known: HashMap<&str, _> = self.backends.iter().map(|backend| (backend.name(), backend)).collect();
        let backend = |settings: &config::Backend| match known.get(&*settings.name) {
            Some(backend) => backend.renewed(settings.clone()),
            None => Backend::new(settings.clone()),
        };
        let backends = config.backends.iter().map(backend).collect();
        let stays: HashSet<&str> = config.backends.iter().map(|backend| &*backend.name).collect();
        for gone in self.backends.iter().filter(|backend| !stays.contains(backend.name())) {
            gone.retire();
        }
        resize(&self.room, self.limits.connections.get(), config.limits.connections.get());
        let known: HashMap<&str, _> =
            self.frontends.iter().map(|frontend| (&*frontend.settings.name, frontend)).collect();
        let process = self.frontends.first().map_or_else(Arc::default, |first| first.open.process.clone());
        let keep = |settings: &config::Frontend| {
            if let Some(frontend) = known.get(&*settings.name) {
                resize(&frontend.room, frontend.settings.maxconn.get(), settings.maxconn.get());
                return (frontend.open.clone(), frontend.room.clone());
            }
            let open = OpenCounts { process: process.clone(), frontend: Arc::default() };
            (open, semaphore(settings.maxconn.get()))
        };
        self.budget.resize(self.limits.replay, config.limits.replay);
        Arc::new(Self::of(config, backends, (self.room.clone(), self.budget.clone()), logs, keep))
    }

    /// Its backends, in configuration order.
    pub fn backends(&self) -> &[Arc<Backend>] {
        &self.backends
    }

    /// The frontend of this name.
    pub(super) fn frontend(&self, name: &str) -> Option<&Frontend> {
        self.frontends.iter().find(|frontend| *frontend.settings.name == *name)
    }

    fn of(
        config: &Config,
        backends: Vec<Arc<Backend>>,
        (room, budget): (Arc<Semaphore>, Arc<Budget>),
        logs: &Logs,
        keep: impl Fn(&config::Frontend) -> (OpenCounts, Arc<Semaphore>),
    ) -> Self {
        for (backend, notices) in backends.iter().zip(logs.notices()) {
            backend.tell(notices);
        }
        let frontend = |(settings, log): (&config::Frontend, Feeds)| {
            let (open, room) = keep(settings);
            let backend = backends[settings.backend.0].clone();
            Frontend { settings: settings.clone(), backend, open, room, log }
        };
        let frontends = config.frontends.iter().zip(logs.feeds()).map(frontend).collect();
        Self { limits: config.limits, backends, frontends, room, budget }
    }
}

fn semaphore(permits: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)))
}

/// Gives a semaphore more or fewer permits. Those that are to go and are held are taken when they come back; nobody
/// else gets one until then.
fn resize(room: &Arc<Semaphore>, from: usize, to: usize) {
    let [from, to] = [from, to].map(|permits| permits.min(Semaphore::MAX_PERMITS));
    room.add_permits(to.saturating_sub(from));
    let mut fewer = from.saturating_sub(to);
    if fewer == 0 {
        return;
    }
    let room = room.clone();
    tokio::spawn(async move {
        while fewer > 0 {
            let step = u32::try_from(fewer).unwrap_or(u32::MAX);
            let Ok(permits) = room.acquire_many(step).await else { return };
            permits.forget();
            fewer -= step as usize;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_smaller_room_takes_nobody_until_enough_have_left() {
        let room = semaphore(3);
        let mut held: Vec<_> = (0..3).map(|_| room.clone().try_acquire_owned().unwrap()).collect();
        resize(&room, 3, 1);
        tokio::task::yield_now().await;
        held.pop();
        assert!(room.clone().try_acquire_owned().is_err());
        held.pop();
        tokio::task::yield_now().await;
        assert!(room.clone().try_acquire_owned().is_err());
        held.pop();
        let _only = room.clone().try_acquire_owned().unwrap();
        assert!(room.clone().try_acquire_owned().is_err());
        resize(&room, 1, 2);
        assert!(room.clone().try_acquire_owned().is_ok());
    }
}
