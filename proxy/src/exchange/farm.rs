//! What rules may ask of the proxy around them, as a core knows it.

use std::{
    num::NonZeroU32,
    sync::{Arc, atomic::Ordering},
    time::SystemTime,
};

use super::Core;
use crate::{
    backend::{Backend, Operation},
    clock,
    rules::{Farm, Members, Occupancy},
};

impl Farm for Core {
    fn backend(&self, name: &str) -> Option<Members> {
        let backend = self.backend_named(name)?;
        let usable = backend.usable();
        let usable = if usable.active > 0 { usable.active } else { usable.backup };
        Some(Members {
            usable: u32::try_from(usable).unwrap_or(u32::MAX),
            in_flight: backend.in_flight(),
            queued: backend.queued_in_all(),
            free: free(backend),
        })
    }

    fn server(&self, backend: &str, server: &str) -> Option<Occupancy> {
        let mut servers = self.backend_named(backend)?.servers().iter();
        let server = servers.find(|known| known.name() == server)?;
        let is_up = server.operation() != Operation::Down;
        Some(Occupancy { is_up, in_flight: server.in_flight(), queued: server.queued() })
    }

    fn connections(&self) -> u32 {
        self.open.frontend.load(Ordering::Relaxed)
    }

    fn now(&self) -> SystemTime {
        clock::wall()
    }
}

impl Core {
    fn backend_named(&self, name: &str) -> Option<&Arc<Backend>> {
        let own = std::iter::once(&self.backend);
        let mut backends = own.chain(self.all.get().into_iter().flat_map(|all| all.iter()));
        backends.find(|backend| backend.name() == name)
    }
}

/// What the servers that are not down could take at once and keep waiting; `None`: one of them takes any number.
fn free(backend: &Backend) -> Option<u32> {
    let mut free = 0_u32;
    for server in backend.servers().iter().filter(|server| server.operation() != Operation::Down) {
        let settings = server.settings();
        let maxconn = server.maxconn_asked().or_else(|| settings.maxconn.map(NonZeroU32::get));
        let maxconn = maxconn.filter(|most| *most > 0)?;
        free = free
            .saturating_add(maxconn.saturating_sub(server.in_flight()))
            .saturating_add(settings.maxqueue?.get().saturating_sub(server.queued()));
    }
    Some(free)
}
