//! One upstream server: what it is, what its checks say, and what it holds.
//!
//! Everything here is shared by all cores. What changes is an atomic; who must act on a change watches
//! [`Server::idle_orders`].

mod connections;
mod forced;
mod handover;
mod history;
mod joint;
mod slots;
mod standing;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::asked::{Administration, Asked, Standing};
use super::limit::Limits;
use super::lineage::Lineage;
use super::observed::{Errors, Observed};
use super::operation::Operation;
use super::slowstart::Warmth;
use super::users::Users;
use crate::config;
use crate::served::{Peak, Served};

pub use connections::{IdleOrder, OpenConnection};
pub use forced::{Forced, Told};
pub use handover::{Elsewhere, Resumed};
pub(super) use history::Chronicle;
pub use history::{Checked, History};
pub use joint::JointLimit;

/// Numbers that every request of every core changes, on a cache line of their own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Counters {
    in_flight: AtomicU32,
    open: AtomicU32,
    idle: AtomicU32,
    requests: AtomicU64,
}

/// More than any machine's.
const UNKNOWN_HEALTH: u32 = u32::MAX;

/// Nobody asks for another `maxconn` than the configuration's; more than any server takes.
const AS_CONFIGURED: u32 = u32::MAX;

/// Nobody has set another weight than the configuration's; more than any server has.
const CONFIGURED_WEIGHT: u16 = u16::MAX;

/// What a server belongs to.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    pub(super) lineage: Arc<Lineage>,
    /// The backend's `fullconn`.
    pub(super) fullconn: NonZeroU32,
}

/// An upstream server, as one configuration describes it.
#[derive(Debug)]
pub struct Server {
    settings: config::Server,
    index: usize,
    limits: Limits,
    /// Requests of this configuration that wait for it.
    bound_waiting: AtomicU32,
    lineage: Arc<Lineage>,
    state: Arc<State>,
}

/// What lasts from one configuration to the next, while backend, name and address stay the same: so that the limits
/// hold over requests that began under different configurations.
#[derive(Debug)]
struct State {
    /// [`Standing`], packed.
    standing: AtomicU8,
    /// The weight that was set at run time; or [`CONFIGURED_WEIGHT`].
    weight: AtomicU16,
    /// The `maxconn` that is asked for it, 0 being none; or [`AS_CONFIGURED`].
    maxconn: AtomicU32,
    /// How far it has come since it came up, where it comes slowly.
    warmth: Warmth,
    /// Its last verdict carried the marker that says it drains on purpose.
    draining: AtomicBool,
    /// Of its check machine; [`UNKNOWN_HEALTH`]: no check has come back.
    health: AtomicU32,
    counters: Counters,
    /// Requests of all configurations that wait for it.
    queued: AtomicU32,
    elsewhere: [AtomicU32; 3],
    users: Users,
    /// What it has served.
    served: Served,
    /// The most requests that it has had in flight, and that have waited for it, at once.
    peaks: [Peak; 2],
    chronicle: Chronicle,
    /// What an operator says of its health.
    forced: Forced,
    /// Idle connections that requests are waiting to have closed.
    claims: AtomicU32,
    errors: Errors,
    /// How often its sessions were ended, and why last: HAProxy's letter for the log.
    shutdowns: watch::Sender<(u64, u8)>,
    /// Rung for each connection that closes, while somebody waits for it.
    closed: Notify,
    /// Who waits for that.
    waiting: AtomicU32,
    /// What another process keeps to, too.
    joint: joint::Joint,
}

impl Server {
    pub(super) fn new(index: usize, settings: config::Server, users: Users, around: &Surroundings) -> Self {
        let operation = if settings.check.is_some() { Operation::Starting } else { Operation::Unchecked };
        let standing = Standing { ordered: Administration::configured(&settings), ..Standing::of(operation) };
        let state = Arc::new(State {
            standing: AtomicU8::new(standing.packed()),
            weight: AtomicU16::new(CONFIGURED_WEIGHT),
            maxconn: AtomicU32::new(AS_CONFIGURED),
            warmth: Warmth::default(),
            draining: AtomicBool::new(false),
            health: AtomicU32::new(UNKNOWN_HEALTH),
            counters: Counters::default(),
            queued: AtomicU32::new(0),
            elsewhere: Default::default(),
            users,
            served: Served::default(),
            peaks: Default::default(),
            chronicle: Chronicle::default(),
            forced: Forced::default(),
            claims: AtomicU32::new(0),
            errors: Errors::default(),
            shutdowns: watch::Sender::new((0, 0)),
            closed: Notify::new(),
            waiting: AtomicU32::new(0),
            joint: joint::Joint::default(),
        });
        Self::of(index, settings, around, state)
    }

    /// The same server in a newer configuration. A weight that was changed at run time stays, unless the configuration
    /// says another one than before.
    pub(super) fn renewed(&self, index: usize, settings: config::Server, around: &Surroundings) -> Self {
        if settings.weight != self.settings.weight {
            self.state.weight.store(CONFIGURED_WEIGHT, Ordering::SeqCst);
        }
        Self::of(index, settings, around, self.state.clone())
    }

    fn of(index: usize, settings: config::Server, around: &Surroundings, state: Arc<State>) -> Self {
        let limits =
            Limits { maxconn: settings.maxconn, minconn: settings.minconn, fullconn: around.fullconn };
        let lineage = around.lineage.clone();
        Self { settings, index, limits, bound_waiting: AtomicU32::new(0), lineage, state }
    }

    /// What makes it the same server in another configuration of its backend: name and address.
    pub(super) fn key(&self) -> (&str, SocketAddr) {
        (&self.settings.name, self.settings.address)
    }

    /// Equal for the same server in different configurations, as long as either is there.
    pub fn identity(&self) -> usize {
        Arc::as_ptr(&self.state).addr()
    }

    /// Whether the two are the same server, by whatever configuration.
    pub fn is(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }

    /// Its place in its backend, in configuration order.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// What the persistence cookie says for it.
    pub fn cookie(&self) -> Option<&str> {
        self.settings.cookie.as_deref()
    }

    /// What the configuration says of it.
    pub fn settings(&self) -> &config::Server {
        &self.settings
    }

    /// Its share at present, 0 to [`config::Server::MAX_WEIGHT`]; a slow start is not taken off.
    pub fn weight(&self) -> u16 {
        match self.state.weight.load(Ordering::Relaxed) {
            CONFIGURED_WEIGHT => self.settings.weight,
            weight => weight,
        }
    }

    pub(super) fn set_weight(&self, weight: u16) {
        self.state.weight.store(weight, Ordering::SeqCst);
    }

    /// How far it has come since it came up.
    pub(super) fn warmth(&self) -> &Warmth {
        &self.state.warmth
    }

    /// How long ago its slow start began, while it lasts.
    pub fn slow_for(&self, now: Instant) -> Option<Duration> {
        self.state.warmth.began().map(|began| now.duration_since(began))
    }

    /// How far its slow start has come, in per cent; `None`: it is not in one.
    pub fn throttle(&self, now: Instant) -> Option<u32> {
        self.state.warmth.throttle(self.settings.slowstart, now)
    }

    /// The health of its check machine after the last check.
    pub fn health(&self) -> Option<u32> {
        Some(self.state.health.load(Ordering::Relaxed)).filter(|&health| health != UNKNOWN_HEALTH)
    }

    /// Notes the health of its check machine.
    pub fn note_health(&self, health: u32) {
        self.state.health.store(health, Ordering::Relaxed);
    }

    /// Requests whose response is not finished.
    pub fn in_flight(&self) -> u32 {
        self.state.counters.in_flight.load(Ordering::Relaxed)
    }

    /// Connections that are open with no request in flight, over all cores.
    pub fn idle(&self) -> u32 {
        self.state.counters.idle.load(Ordering::Relaxed)
    }

    /// Connections, in flight and idle, over all cores.
    pub fn open(&self) -> u32 {
        self.state.counters.open.load(Ordering::Relaxed)
    }

    /// Requests that wait for this very server, under whatever configuration they began.
    pub fn queued(&self) -> u32 {
        self.state.queued.load(Ordering::Relaxed)
    }

    /// Requests that it was given since the start.
    pub fn requests(&self) -> u64 {
        self.state.counters.requests.load(Ordering::Relaxed)
    }

    /// What it has served, to be told of each request.
    pub fn served(&self) -> &Served {
        &self.state.served
    }

    /// The most requests that it has had in flight at once, by all configurations.
    pub fn most_in_flight(&self) -> &Peak {
        &self.state.peaks[0]
    }

    /// The most requests that have waited for it at once.
    pub fn most_queued(&self) -> &Peak {
        &self.state.peaks[1]
    }

    /// What has become of it so far.
    pub fn history(&self) -> History {
        self.state.chronicle.so_far()
    }

    /// Notes how a check ended; `observed`: it stands for too many errors of users.
    pub fn note_check(&self, checked: Checked, observed: bool) {
        self.state.chronicle.checked(checked, observed);
    }

    /// Notes what its agent has answered; `spoke`: something that could be obeyed.
    pub fn note_agent(&self, checked: Checked, spoke: bool) {
        self.state.chronicle.agent_asked(checked, spoke);
    }

    /// Begins to count its checks anew.
    pub fn clear_history(&self) {
        self.state.chronicle.clear();
    }

    /// What an operator says of its health, for its checker.
    pub fn forced(&self) -> &Forced {
        &self.state.forced
    }

    /// The distinct holders of its cookie, to be told of each request.
    pub fn users(&self) -> &Users {
        &self.state.users
    }

    /// Notes what a request has found of it, where that is looked at.
    pub fn observe(&self, observed: Observed) {
        if let Some(settings) = self.settings.passive.observe {
            self.state.errors.note(observed, settings);
        }
    }

    /// What users found of it, for its checker.
    pub fn errors(&self) -> &Errors {
        &self.state.errors
    }

    /// Ends the sessions that follow [`Server::shutdowns`]; the letter says why: `D` as it went down, `U` as another
    /// came up.
    pub fn shut_down_sessions(&self, letter: u8) {
        self.state.shutdowns.send_modify(|shutdown| *shutdown = (shutdown.0 + 1, letter));
    }

    /// Changes when the sessions of this server are to end; the letter for the log stands behind the count.
    pub fn shutdowns(&self) -> watch::Receiver<(u64, u8)> {
        self.state.shutdowns.subscribe()
    }
}
