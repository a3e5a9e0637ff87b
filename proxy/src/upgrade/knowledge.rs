//! What a process knows of its servers, as it is handed on.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::message::{FrontendRoom, Health, Known, Load, Name, Orders, Report, Rooms, Standing};
use crate::backend::{Administration, Asked, Backend, Elsewhere, Operation, Resumed, Server};
use crate::check::Machine;
use crate::config;
use crate::worker::{Generation, Room};

/// Users that are handed on at most, of all servers together: their list takes some 25 MiB then.
const MOST_USERS: usize = 1_000_000;

/// What is known of the servers of these backends.
pub fn of(backends: &[Arc<Backend>], now: Instant) -> Vec<Known> {
    let mut room = MOST_USERS;
    let known = |(backend, server): (&Arc<Backend>, &Arc<Server>)| Known {
        users: users(server, backend.settings().users_window, now, &mut room),
        ..without_users(backend, server, now)
    };
    servers(backends).map(known).collect()
}

/// What is known of this server, but for its users.
pub(super) fn without_users(backend: &Backend, server: &Server, now: Instant) -> Known {
    let health = server.settings().check.as_ref().zip(server.health());
    Known {
        name: name(backend.name(), server),
        standing: server.operation().into(),
        orders: Some(orders(server)),
        draining: server.is_draining(),
        health: health.map(|(check, steps)| Health { steps, rise: check.rise, fall: check.fall }),
        weights: Some([server.weight(), server.settings().weight]),
        slow_ms: server.slow_for(now).map(|elapsed| elapsed.as_millis() as u64),
        users: Vec::new(),
    }
}

fn orders(server: &Server) -> Orders {
    let Asked { administration, down } = server.asked();
    let (checks, administration) = (server.checks().into(), administration.into());
    let (ordered, paused) = (server.ordered().into(), server.forced().paused());
    let (disabled, maxconn) = (Some(server.settings().disabled), server.maxconn_asked());
    Orders { checks, administration, down, ordered, disabled, paused, maxconn }
}

/// Tells servers what another process knew of them: they go on from there, and nobody waits for a first check. A weight
/// that was changed at run time stays, unless the configuration says another one than before; what an agent has asked
/// stays as long as there is one. Where only the address is another, an operator's order stays, and nothing else.
pub fn resuming<'k>(known: &'k [Known], now: Instant) -> impl Fn(&config::Backend, &Server) + use<'k> {
    let named = |known: &'k Known| ((&*known.name.backend, &*known.name.server), known);
    let by_name: HashMap<(&str, &str), &Known> = known.iter().map(named).collect();
    let known: HashMap<&Name, &Known> = known.iter().map(|known| (&known.name, known)).collect();
    move |backend: &config::Backend, server: &Server| {
        let Some(known) = known.get(&name(&backend.name, server)) else {
            let moved = by_name.get(&(&*backend.name, server.name()));
            let stays = |known: &Known| {
                let Name { server, address, .. } = &known.name;
                backend.servers.iter().any(|other| *other.name == **server && other.address == *address)
            };
            if let Some(known) = moved.filter(|known| !stays(known)) {
                server.resume(Resumed {
                    checks: server.checks(),
                    draining: false,
                    weight: server.weight(),
                    asked: Asked::default(),
                    ordered: ordered(known.orders.unwrap_or_default(), server.settings()),
                    maxconn: None,
                    up_for: None,
                });
            }
            return;
        };
        for &(key, ago_s) in &known.users {
            server.users().recall(key, ago_s, now);
        }
        let weight = match known.weights {
            Some([weight, configured]) if configured == server.settings().weight => weight,
            _ => server.weight(),
        };
        let said = known.orders.map_or(known.standing, |orders| orders.checks);
        let checks = match (&server.settings().check, said) {
            (None, _) | (_, Standing::Unknown | Standing::Unchecked) => server.checks(),
            (Some(_), Standing::Up) => Operation::Up,
            (Some(_), Standing::Soft) => Operation::Soft,
            (Some(_), Standing::Down) => Operation::Down,
        };
        if let (Some(check), Some(Health { steps, rise, fall })) = (&server.settings().check, known.health) {
            let mut machine = Machine::resumed(rise, fall, checks, Some(steps));
            machine.adapt(check.rise, check.fall);
            server.note_health(machine.health());
        }
        let orders = known.orders.unwrap_or_default();
        let has_agent = server.settings().agent.is_some();
        let agents = Asked { administration: orders.administration.into(), down: orders.down };
        server.forced().pause(orders.paused);
        server.resume(Resumed {
            checks,
            draining: known.draining && checks != Operation::Unchecked,
            weight,
            asked: if has_agent { agents } else { Asked::default() },
            ordered: ordered(orders, server.settings()),
            maxconn: orders.maxconn,
            up_for: known.slow_ms.map(Duration::from_millis),
        });
    }
}

/// What an operator has ordered, unless the configuration has the server begin otherwise than before.
fn ordered(orders: Orders, settings: &config::Server) -> Administration {
    if orders.disabled.unwrap_or_default() == settings.disabled {
        orders.ordered.into()
    } else {
        Administration::configured(settings)
    }
}

/// How many connections are taken.
pub fn rooms(generation: &Generation) -> Rooms {
    let frontends = generation.frontends().iter().map(|frontend| FrontendRoom {
        name: frontend.settings.name.to_string(),
        connections: [frontend.limit(), frontend.settings.maxconn.get()],
        paused: frontend.is_paused(),
    });
    Rooms {
        process: Some([generation.limit(), generation.configured_limit()]),
        frontends: frontends.collect(),
    }
}

/// As many connections are taken as another process took, unless the configuration says something else than before. Must
/// be called on a runtime.
pub fn reopen(generation: &Generation, rooms: &Rooms) {
    let resize = |room: &Room, [now, before]: [usize; 2], configured: usize| {
        if before == configured && now != before {
            room.resize(now);
        }
    };
    if let Some(connections) = rooms.process {
        resize(generation.room(), connections, generation.configured_limit());
    }
    for frontend in generation.frontends() {
        let known = rooms.frontends.iter().find(|known| *known.name == *frontend.settings.name);
        let Some(known) = known else { continue };
        resize(frontend.room(), known.connections, frontend.settings.maxconn.get());
        frontend.room().pause(known.paused);
    }
}

/// What this process, and any before it that reports to it, still has of its servers; users as far as they were seen
/// within `since`.
pub fn report(backends: &[Arc<Backend>], since: Duration, now: Instant) -> Report {
    let mut room = MOST_USERS;
    let load = |(backend, server): (&Arc<Backend>, &Arc<Server>)| {
        let before = server.elsewhere();
        Load {
            name: name(backend.name(), server),
            in_flight: server.in_flight() + before.in_flight,
            idle: server.idle() + before.idle,
            queued: server.queued() + before.queued,
            users: users(server, since, now, &mut room),
        }
    };
    let has_something = |load: &Load| load.in_flight + load.idle + load.queued > 0 || !load.users.is_empty();
    Report { servers: servers(backends).map(load).filter(has_something).collect() }
}

/// Notes what another process still has.
pub fn note(backends: &[Arc<Backend>], report: &Report, now: Instant) {
    let loads: HashMap<&Name, &Load> = report.servers.iter().map(|load| (&load.name, load)).collect();
    for (backend, server) in servers(backends) {
        let load = if loads.is_empty() { None } else { loads.get(&name(backend.name(), server)) };
        server.note_elsewhere(load.map_or_else(Elsewhere::default, |load| Elsewhere {
            in_flight: load.in_flight,
            idle: load.idle,
            queued: load.queued,
        }));
        for &(key, ago_s) in load.iter().flat_map(|load| &load.users) {
            server.users().recall(key, ago_s, now);
        }
    }
    for backend in backends {
        // Of the servers that there are: what the other one has of those that are gone is nobody's any more.
        backend.count_elsewhere();
    }
}

pub(super) fn servers(backends: &[Arc<Backend>]) -> impl Iterator<Item = (&Arc<Backend>, &Arc<Server>)> {
    backends.iter().flat_map(|backend| backend.servers().iter().map(move |server| (backend, server)))
}

pub(super) fn name(backend: &str, server: &Server) -> Name {
    let address = server.settings().address;
    Name { backend: backend.to_owned(), server: server.name().to_owned(), address }
}

fn users(server: &Server, within: Duration, now: Instant, room: &mut usize) -> Vec<(u64, u32)> {
    let mut users = server.users().seen(within, now);
    // Where there is room for nobody any more, the last one stands for all: none would mean that nobody is there.
    if let Some(last) = (0..users.len()).min_by_key(|at| users[*at].1) {
        users.swap(0, last);
    }
    users.truncate((*room).max(1));
    *room = room.saturating_sub(users.len());
    users
}

#[cfg(test)]
mod tests;
