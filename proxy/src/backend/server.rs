//! One upstream server: what it is, what its checks say, and what it holds.
//!
//! Everything here is shared by all cores. What changes is an atomic; who must act on a change watches
//! [`Server::idle_orders`].

mod connections;
mod forced;
mod handover;
mod history;

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
pub use forced::Forced;
pub use handover::{Elsewhere, Resumed};
pub(super) use history::Chronicle;
pub use history::{Checked, History};

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
    /// The configuration's until it is changed.
    weight: AtomicU16,
    limits: Limits,
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
    /// The `maxconn` that is asked for it, 0 being none; or [`AS_CONFIGURED`].
    maxconn: AtomicU32,
    /// How far it has come since it came up, where it comes slowly.
    warmth: Warmth,
    /// Its last verdict carried the marker that says it drains on purpose.
    draining: AtomicBool,
    /// Of its check machine; [`UNKNOWN_HEALTH`]: no check has come back.
    health: AtomicU32,
    counters: Counters,
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
    /// Rung for each connection that closes, for those who wait under `maxconn`.
    closed: Notify,
}

impl Server {
    pub(super) fn new(index: usize, settings: config::Server, users: Users, around: &Surroundings) -> Self {
        let operation = if settings.check.is_some() { Operation::Starting } else { Operation::Unchecked };
        let state = Arc::new(State {
            standing: AtomicU8::new(Standing::of(operation).packed()),
            maxconn: AtomicU32::new(AS_CONFIGURED),
            warmth: Warmth::default(),
            draining: AtomicBool::new(false),
            health: AtomicU32::new(UNKNOWN_HEALTH),
            counters: Counters::default(),
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
        });
        let weight = settings.weight;
        Self::of(index, settings, weight, around, state)
    }

    /// The same server in a newer configuration. A weight that was changed at run time stays, unless the configuration
    /// says another one than before.
    pub(super) fn renewed(&self, index: usize, settings: config::Server, around: &Surroundings) -> Self {
        let stays = settings.weight == self.settings.weight;
        let weight = if stays { self.weight() } else { settings.weight };
        Self::of(index, settings, weight, around, self.state.clone())
    }

    fn of(
        index: usize,
        settings: config::Server,
        weight: u16,
        around: &Surroundings,
        state: Arc<State>,
    ) -> Self {
        let limits =
            Limits { maxconn: settings.maxconn, minconn: settings.minconn, fullconn: around.fullconn };
        let lineage = around.lineage.clone();
        let (weight, bound_waiting) = (AtomicU16::new(weight), AtomicU32::new(0));
        Self { settings, index, weight, limits, bound_waiting, lineage, state }
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
        self.weight.load(Ordering::Relaxed)
    }

    pub(super) fn set_weight(&self, weight: u16) {
        self.weight.store(weight, Ordering::Relaxed);
    }

    /// The `maxconn` that is asked for it at run time, 0 being none; `None`: nobody asks.
    pub fn maxconn_asked(&self) -> Option<u32> {
        Some(self.state.maxconn.load(Ordering::Relaxed)).filter(|&most| most != AS_CONFIGURED)
    }

    pub(super) fn set_maxconn(&self, most: Option<u32>) {
        let most = most.map_or(AS_CONFIGURED, |most| most.min(AS_CONFIGURED - 1));
        self.state.maxconn.store(most, Ordering::SeqCst);
        // Who waits for a connection looks again.
        self.state.closed.notify_waiters();
    }

    /// How many requests it may have at once, by its configuration or by what is asked for it.
    fn limits(&self) -> Limits {
        match self.maxconn_asked() {
            None => self.limits,
            Some(most) => self.limits.with_maxconn(NonZeroU32::new(most)),
        }
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

    /// What it is to its users.
    pub fn operation(&self) -> Operation {
        self.standing().operation()
    }

    /// What its checks say.
    pub fn checks(&self) -> Operation {
        self.standing().checks
    }

    /// What its agent asks for it.
    pub fn asked(&self) -> Asked {
        self.standing().asked
    }

    /// What an operator orders for it.
    pub fn ordered(&self) -> Administration {
        self.standing().ordered
    }

    /// What becomes of its users by either of them.
    pub fn administration(&self) -> Administration {
        self.standing().administration()
    }

    fn standing(&self) -> Standing {
        Standing::unpacked(self.state.standing.load(Ordering::Acquire))
    }

    /// Whether it has said, by the marker of its last answer, that it goes on purpose.
    pub fn is_draining(&self) -> bool {
        self.state.draining.load(Ordering::Acquire)
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

    /// Requests that wait for this very server.
    pub fn queued(&self) -> u32 {
        self.bound_waiting.load(Ordering::Relaxed)
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

    /// Notes what its agent has answered.
    pub fn note_agent(&self, checked: Checked) {
        self.state.chronicle.agent_answered(checked);
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

    /// Takes a slot if one is free. `newcomers` are requests that nothing counts yet.
    pub(super) fn try_take(&self, newcomers: u32) -> bool {
        let is_taken = add_within(&self.state.counters.in_flight, self.limit(newcomers));
        if is_taken {
            // On the cache line that was just written.
            self.most_in_flight().note(self.in_flight());
        }
        is_taken
    }

    /// Whether a newcomer would get a slot now, as far as anybody can tell without taking it.
    pub(super) fn has_room(&self) -> bool {
        self.limit(1).is_none_or(|limit| self.in_flight() < limit) && self.queued() == 0
    }

    /// What `leastconn` goes by (HAProxy's `fwlc_queue_by_weight`): an idle server counts nothing, whatever its weight.
    pub(super) fn load(&self) -> u32 {
        let requests = self.in_flight() + self.queued();
        if requests == 0 { 0 } else { requests + 1 }
    }

    /// Whether its limit on requests in flight changes with time or load, or has fallen below what is in flight.
    pub(super) fn has_changing_limit(&self) -> bool {
        let limits = self.limits();
        limits.maxconn.is_some()
            && (limits.follow_load()
                || !self.state.warmth.is_full()
                || self.limit(0).is_some_and(|limit| self.in_flight() > limit))
    }

    fn limit(&self, newcomers: u32) -> Option<u32> {
        let limits = self.limits();
        limits.maxconn?;
        let load = if limits.follow_load() { self.lineage.load() + newcomers } else { 0 };
        limits.at(load, self.state.warmth.percent())
    }

    pub(super) fn count_request(&self) {
        self.state.counters.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn give_back(&self) {
        self.state.counters.in_flight.fetch_sub(1, Ordering::SeqCst);
    }

    pub(super) fn waiting(&self) -> &AtomicU32 {
        &self.bound_waiting
    }

    /// Stores what the checks say; gives back what it was before.
    pub(super) fn set_operation(&self, operation: Operation, draining: bool) -> Operation {
        self.state.draining.store(draining, Ordering::Release);
        self.change_standing(|standing| Standing { checks: operation, ..standing })
    }

    /// Stores what its agent asks for it; gives back what it was before.
    pub(super) fn set_asked(&self, asked: Asked) -> Operation {
        self.change_standing(|standing| Standing { asked, ..standing })
    }

    /// Stores what an operator orders for it; gives back what it was before.
    pub(super) fn set_ordered(&self, ordered: Administration) -> Operation {
        self.change_standing(|standing| {
            let administration = if ordered == Administration::Maintenance {
                standing.asked.administration
            } else {
                Administration::Ready
            };
            Standing { ordered, asked: Asked { administration, ..standing.asked }, ..standing }
        })
    }

    fn change_standing(&self, change: impl Fn(Standing) -> Standing) -> Operation {
        let changed = |bits: u8| change(Standing::unpacked(bits));
        let standing = &self.state.standing;
        let (Ok(before) | Err(before)) =
            standing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |bits| Some(changed(bits).packed()));
        let (now, before) = (changed(before).operation(), Standing::unpacked(before).operation());
        if before != now {
            self.state.chronicle.turned(now == Operation::Down);
        }
        if !now.takes_new_users() && before != now {
            self.lineage.order(IdleOrder { server: self.identity(), all: true });
        }
        before
    }
}

/// Adds one where the result stays within the limit, if there is one.
fn add_within(counter: &AtomicU32, limit: Option<u32>) -> bool {
    let Some(limit) = limit else {
        // Cores that add at the same time don't make each other try again.
        counter.fetch_add(1, Ordering::SeqCst);
        return true;
    };
    counter
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| (count < limit).then(|| count + 1))
        .is_ok()
}
