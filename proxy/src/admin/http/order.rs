//! What is ordered for a server over HTTP, and its being carried out.

use std::{fmt, sync::Arc};

use crate::{
    admin::{
        gate::Gate,
        stats::{self, Proxy},
    },
    backend::{Administration, Asked, Backend, Operation, Server},
    check,
    worker::Generation,
};

/// What is ordered for a server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Order {
    /// `set server … state`
    State(Administration),
    /// The same, where it is in the first state, or in any other.
    Change(Option<Administration>, Administration),
    /// `enable health`, `disable health`
    Checks(bool),
    /// `set server … health`
    Health(Operation),
    /// `enable agent`, `disable agent`
    Agent(bool),
    /// `set server … agent`: whether it is down.
    AgentSays { down: bool },
    /// `shutdown sessions server`
    ShutDown,
}

impl fmt::Display for Order {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::State(Administration::Ready) | Self::Change(_, Administration::Ready) => "up",
            Self::State(Administration::Drain) | Self::Change(_, Administration::Drain) => "soft",
            Self::State(Administration::Maintenance) | Self::Change(_, Administration::Maintenance) => "hard",
            Self::Checks(true) => "checked",
            Self::Checks(false) => "unchecked",
            Self::Health(Operation::Down) | Self::AgentSays { down: true } => "down until its next check",
            Self::Health(Operation::Soft) => "soft until its next check",
            Self::Health(_) | Self::AgentSays { down: false } => "up until its next check",
            Self::Agent(true) => "spoken for by its agent",
            Self::Agent(false) => "left alone by its agent",
            Self::ShutDown => "rid of its requests",
        })
    }
}

/// A server, and the backend that it is of.
pub(super) struct Named {
    backend: Arc<Backend>,
    index: usize,
}

impl Named {
    fn server(&self) -> &Arc<Server> {
        &self.backend.servers()[self.index]
    }
}

/// The backend of this name, or of HAProxy's number behind `#`.
pub(super) fn find_backend(generation: &Generation, backend: &str) -> Result<Arc<Backend>, String> {
    let is_meant = |proxy: &Proxy<'_>| match backend.strip_prefix('#') {
        Some(number) => number.parse() == Ok(proxy.number),
        None => proxy.name == backend,
    };
    let proxies = stats::proxies(generation);
    let found = proxies.iter().filter(|proxy| is_meant(proxy)).find_map(|proxy| proxy.backend);
    found.cloned().ok_or_else(|| format!("there is no backend {backend}\n"))
}

/// The server of this name.
pub(super) fn find(generation: &Generation, backend: &str, server: &str) -> Result<Named, String> {
    let backend = find_backend(generation, backend)?;
    let index = backend.servers().iter().position(|known| known.name() == server);
    let index = index.ok_or_else(|| format!("there is no server {server} in {}\n", backend.name()))?;
    Ok(Named { backend, index })
}

/// Does it as the runtime commands do, with their log lines; gives whether there was anything to do.
pub(super) fn carry_out(gate: &Gate, named: &Named, order: Order) -> Result<bool, String> {
    let (backend, server) = (&named.backend, named.server());
    let (settings, forced) = (server.settings(), server.forced());
    let applies = match order {
        Order::State(_) | Order::Health(_) | Order::ShutDown => true,
        Order::Change(from, to) => {
            let now = server.ordered();
            from.map_or(now != to, |from| now == from)
        }
        Order::Checks(_) => settings.check.is_some(),
        Order::Agent(_) => settings.agent.is_some(),
        Order::AgentSays { .. } => settings.agent.is_some() && !forced.is_unasked(),
    };
    if !applies {
        return Ok(false);
    }
    tracing::info!("by HTTP: {}/{} is ordered to be {order}", backend.name(), server.name());
    let carry_out = || match order {
        Order::State(to) | Order::Change(_, to) => check::order(backend, server, to),
        Order::Checks(is_checked) => forced.pause_checks(!is_checked),
        Order::Health(Operation::Up) if settings.check.is_none() => {
            check::force(backend, server, Operation::Unchecked);
        }
        Order::Health(operation) => check::force(backend, server, operation),
        Order::Agent(is_asked) => forced.pause_agent(!is_asked),
        Order::AgentSays { down } => check::ask(backend, server, Asked { down, ..server.asked() }),
        Order::ShutDown => server.shut_down_sessions(b'K'),
    };
    gate.pass(carry_out).map(|()| true).map_err(str::to_owned)
}
