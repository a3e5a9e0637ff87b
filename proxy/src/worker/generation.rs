//! What all workers share, by one configuration.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock, Weak, atomic::Ordering};

use super::Room;
use crate::admin::log::{Feeds, Logs};
use crate::backend::{Backend, Server};
use crate::config::{self, AdminLevel, Config};
use crate::exchange::{Budget, OpenCounts, Pages};

/// A frontend as all workers share it.
#[derive(Clone, Debug)]
pub struct Frontend {
    /// What the configuration says of it.
    pub settings: config::Frontend,
    /// Where its requests go.
    pub backend: Arc<Backend>,
    /// What is open, and what was served.
    pub open: OpenCounts,
    /// Connections that may still be accepted.
    pub(super) room: Arc<Room>,
    pub(super) log: Feeds,
}

impl Frontend {
    /// Connections that it takes at once.
    pub fn limit(&self) -> usize {
        self.room.limit()
    }

    /// The room of its connections.
    pub fn room(&self) -> &Room {
        &self.room
    }

    /// Whether an operator has it take no new ones.
    pub fn is_paused(&self) -> bool {
        self.room.is_paused()
    }
}

/// What all workers share, by one configuration.
#[derive(Debug)]
pub struct Generation {
    pub(super) limits: config::Limits,
    pub(super) backends: Vec<Arc<Backend>>,
    pub(super) frontends: Vec<Frontend>,
    /// Both as HAProxy counts them.
    proxies: Vec<config::Numbered>,
    /// Connections that may still be accepted by the whole process.
    pub(super) room: Arc<Room>,
    /// What may be kept of requests.
    pub(super) budget: Arc<Budget>,
    /// What makes the statistics that clients ask for, which look at this themselves.
    pages: OnceLock<Weak<dyn Pages + Send + Sync>>,
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
        let room = Room::new(config.limits.connections.get());
        let process = OpenCounts::default().process;
        let keep = |settings: &config::Frontend| {
            let open = OpenCounts { process: process.clone(), ..OpenCounts::default() };
            (open, Room::new(settings.maxconn.get()))
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
        // What was set at run time stays, unless the configuration says something else than before.
        if config.limits.connections != self.limits.connections {
            self.room.resize(config.limits.connections.get());
        }
        let known: HashMap<&str, _> =
            self.frontends.iter().map(|frontend| (&*frontend.settings.name, frontend)).collect();
        let process = self.frontends.first().map_or_else(Arc::default, |first| first.open.process.clone());
        let keep = |settings: &config::Frontend| {
            if let Some(frontend) = known.get(&*settings.name) {
                if frontend.settings.maxconn != settings.maxconn {
                    frontend.room.resize(settings.maxconn.get());
                }
                return (frontend.open.clone(), frontend.room.clone());
            }
            let open = OpenCounts { process: process.clone(), ..OpenCounts::default() };
            (open, Room::new(settings.maxconn.get()))
        };
        self.budget.resize(self.limits.replay, config.limits.replay);
        Arc::new(Self::of(config, backends, (self.room.clone(), self.budget.clone()), logs, keep))
    }

    /// From now on these make the statistics that clients ask for.
    pub fn show(&self, pages: Weak<dyn Pages + Send + Sync>) {
        let _ = self.pages.set(pages);
    }

    pub(super) fn pages(&self) -> Option<Arc<dyn Pages + Send + Sync>> {
        self.pages.get()?.upgrade()
    }

    /// Its backends, in configuration order.
    pub fn backends(&self) -> &[Arc<Backend>] {
        &self.backends
    }

    /// Its frontends, in configuration order.
    pub fn frontends(&self) -> &[Frontend] {
        &self.frontends
    }

    /// Both as HAProxy counts them, in configuration order.
    pub fn proxies(&self) -> &[config::Numbered] {
        &self.proxies
    }

    /// Connections that the process takes at once.
    pub fn limit(&self) -> usize {
        self.room.limit()
    }

    /// The same, as the configuration has it.
    pub fn configured_limit(&self) -> usize {
        self.limits.connections.get()
    }

    /// The room of all connections.
    pub fn room(&self) -> &Room {
        &self.room
    }

    /// Client connections that are open, and how many may be.
    pub fn connections(&self) -> (u64, u64) {
        let open = self.frontends.first().map_or(0, |first| first.open.process.load(Ordering::Relaxed));
        (open.into(), self.limit() as u64)
    }

    /// The same of each frontend, by name, in configuration order.
    pub fn crowds(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        self.frontends.iter().map(|frontend| {
            let open = frontend.open.frontend.load(Ordering::Relaxed);
            (&*frontend.settings.name, open.into(), frontend.limit() as u64)
        })
    }

    /// The frontend of this name.
    pub(super) fn frontend(&self, name: &str) -> Option<&Frontend> {
        self.frontends.iter().find(|frontend| *frontend.settings.name == *name)
    }

    fn of(
        config: &Config,
        backends: Vec<Arc<Backend>>,
        (room, budget): (Arc<Room>, Arc<Budget>),
        logs: &Logs,
        keep: impl Fn(&config::Frontend) -> (OpenCounts, Arc<Room>),
    ) -> Self {
        for (backend, notices) in backends.iter().zip(logs.notices()) {
            backend.tell(notices);
            if config.admin.sockets.iter().any(|socket| socket.level == AdminLevel::Admin) {
                backend.expect_commands();
            }
        }
        let frontend = |(settings, log): (&config::Frontend, Feeds)| {
            let (open, room) = keep(settings);
            let backend = backends[settings.backend.0].clone();
            Frontend { settings: settings.clone(), backend, open, room, log }
        };
        let frontends = config.frontends.iter().zip(logs.feeds()).map(frontend).collect();
        let (limits, proxies, pages) = (config.limits, config.proxies.clone(), OnceLock::new());
        Self { limits, backends, frontends, proxies, room, budget, pages }
    }
}
