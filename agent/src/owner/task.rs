//! The task itself.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time,
};
use tracing::{info, warn};

use super::{
    Inlets, Outlets, Outside,
    alone::Alone,
    errands::{Errands, Report},
    hearing::{CHECKS_AT_ONCE, STALL},
    journal,
    records::{Lasts, Records},
    sources::Readings,
};
use crate::{
    agent_check::Ledger,
    balancers::{Table, Unheard},
    clock::Moment,
    config::Config,
    control::{Ask, api},
    lifecycle::{
        Course, Event, Machine, Options, Origin, Phase, Refusal, Request, Said, Stage, Verdict, View,
    },
    metrics::Counters,
    report::Reports,
    restart::Identity,
    signals::{Signal, Wish},
    state,
    systemd::watchdog::Pulse,
    traffic::{Reading, sources::Sources},
};

/// The one writer of everything that concerns the life cycle.
pub struct Owner<O> {
    pub(super) config: Config,
    pub(super) outside: Arc<O>,
    pub(super) inlets: Inlets,
    pub(super) outlets: Outlets,
    pub(super) core: Core,
    pub(super) sources: Sources,
    pub(super) records: Records,
    pub(super) history: Reports,
    pub(super) counters: Counters,
    /// The configuration, for who only reads it.
    pub(super) shown_config: watch::Sender<Arc<Config>>,
    /// Reports that are being written.
    pub(super) filing: JoinSet<()>,
    pub(super) errands: Errands,
    pub(super) readings: Readings,
    /// When the agent began.
    pub(super) started: Moment,
    /// When the owner last heard what there was to hear.
    pub(super) heard: Moment,
    /// The generation of the answer that was published last.
    pub(super) generation: u64,
    /// What is announced has changed, so that the next answer is another even if it reads the same.
    pub(super) renew: bool,
    /// Whether this server is alone in being out.
    pub(super) alone: Alone,
    /// Beats each time that the owner gets round to something, twice a second at least.
    pub(super) pulse: Pulse,
    /// Who wants the status to show a fresh look.
    pub(super) curious: Vec<oneshot::Sender<()>>,
    /// What the last probe has found that could ask, for people.
    pub(super) found: String,
    /// Why the last probe could not ask the server; `None` where it could.
    pub(super) unasked: Option<String>,
    /// What the probes had shown when the agent last ran.
    pub(super) last_known: Verdict,
    /// Of which drain it was said that whoever asked for it has gone.
    pub(super) caller_gone: Option<u64>,
    /// Who was told `drain` in the agent protocol.
    pub(super) ledger: Ledger,
    /// Balancers that are expected and of which it was said that nobody hears them.
    pub(super) unheard: Vec<Unheard>,
    /// Said as long as it holds: how this agent began.
    pub(super) standing_warning: Option<String>,
    /// The server's processes, looked up before the moment that counts.
    pub(super) identity: Option<(Moment, Identity)>,
    /// The end of what the restart has written.
    pub(super) output: Option<String>,
    /// When the status was last brought up to date.
    pub(super) status_published: Moment,
    /// It is not up to date.
    pub(super) status_stale: bool,
    /// When those who watch were last woken.
    pub(super) watchers_woken: Moment,
    pub(super) report: mpsc::Sender<Report>,
    pub(super) reports: mpsc::Receiver<Report>,
}

/// What a refused request leaves as it was, together.
#[derive(Clone, Debug)]
pub(super) struct Core {
    pub(super) machine: Machine,
    /// Shared with what was before a step, until it changes.
    pub(super) table: Arc<Table>,
    pub(super) drains: Arc<VecDeque<api::Drain>>,
    /// The restart that is under way.
    pub(super) restart: Option<state::Restart>,
    /// What is shown, and since when (seconds since 1970).
    pub(super) since: Option<(Phase, u64)>,
}

/// After so long without a verdict the last one known holds: the health endpoint lets checks wait for 300 ms.
pub(super) const VERDICT: Duration = Duration::from_millis(250);
/// How often the status is brought up to date while nothing happens but checks.
const STATUS: Duration = Duration::from_millis(500);
/// The same while a drain is announced and somebody follows what is in flight.
const STATUS_OUT: Duration = Duration::from_millis(200);
/// How often the state file is written for the sake of the table alone.
pub(super) const TABLE: Duration = Duration::from_secs(5);
/// How long the state, and then reports, may take to be written at the agent's end: some kilobytes each.
const FILED: Duration = Duration::from_secs(1);

impl<O: Outside> Owner<O> {
    /// Runs until it is told to stop. What was asked stays written down, for the next agent.
    pub async fn run(mut self) {
        let mut checks = Vec::with_capacity(CHECKS_AT_ONCE);
        loop {
            self.pulse.beat();
            self.start_tasks();
            let (wake, awaits_checks) = (self.wake(), self.awaits_checks());
            let (awaits_ends, is_writing) = (self.awaits_ends(), self.records.is_writing());
            tokio::select! {
                biased;
                Some(signal) = self.inlets.signals.recv() => {
                    if signal.wish == Wish::Stop {
                        info!("{signal}");
                        break;
                    }
                    self.signalled(&signal).await;
                }
                Some(report) = self.reports.recv() => self.reported(report).await,
                Some(ask) = self.inlets.asks.recv() => self.asked_for(ask).await,
                Some(looked) = self.inlets.looks.recv() => {
                    self.curious.retain(|waiting| !waiting.is_closed());
                    self.curious.push(looked);
                }
                1.. = self.inlets.checks.recv_many(&mut checks, CHECKS_AT_ONCE), if awaits_checks => {
                    self.checked(&mut checks);
                    self.see().await;
                }
                Ok(()) = self.inlets.faults.changed() => self.status_stale = true,
                () = self.outside.ended(), if awaits_ends => {
                    self.errands.heard_end = Some(self.outside.now());
                }
                result = self.records.written(), if is_writing => self.note_written(result),
                () = time::sleep(wake) => self.see().await,
            }
            self.keep_up().await;
        }
        self.stop().await;
    }

    async fn signalled(&mut self, signal: &Signal) {
        let request = match signal.wish {
            Wish::Soft => Request::Soft(Options::default()),
            Wish::Hard => Request::Hard(Options::default()),
            Wish::Reload => return self.reload(signal).await,
            Wish::Stop => return,
        };
        // Nobody waits for an answer but the log.
        let _ = self.ask(request, signal.origin()).await;
    }

    async fn asked_for(&mut self, ask: Ask) {
        let reply = match self.ask(ask.request, ask.origin).await {
            Ok(Said::Accepted { drain, text }) => api::Reply::Accepted { drain, text },
            Ok(Said::Already { drain, text }) => api::Reply::Already { drain, text },
            Err(refusal) => {
                api::Reply::Refused { name: refusal.name().to_owned(), text: refusal.to_string() }
            }
        };
        // Whoever asked may have gone; what was asked holds.
        let _ = ask.reply.send(reply);
    }

    async fn ask(&mut self, request: Request, origin: Origin) -> Result<Said, Refusal> {
        let unix = self.outside.unix();
        journal::asked(&request, &origin);
        let before = self.core.machine.course().stage();
        if before == Stage::Up && matches!(request, Request::Soft(_) | Request::Hard(_)) {
            self.take_lock();
        }
        // He may have gone a moment ago, and what is asked now depends on it.
        self.look_for_caller(self.outside.now());
        let ran = if let Request::Return(ran) = &request { ran.clone() } else { None };
        let said = self.step(Event::Asked { request, origin, unix }).await;
        if let (Some(ran), Ok(Some(Said::Accepted { drain: Some(drain), .. }))) = (ran, &said) {
            self.account_for_run(*drain, &ran, self.outside.now());
        }
        let said = said.map(|said| said.unwrap_or(Said::Already { drain: None, text: String::new() }));
        self.keep_lock(self.outside.now());
        journal::said(&said, self.core.machine.course().stage() != before);
        said
    }

    /// Whether the end of a connection is to bring the next look forward: nothing but a request in flight keeps the
    /// restart from being due.
    fn awaits_ends(&self) -> bool {
        let machine = &self.core.machine;
        let waits = machine.course().stage() == Stage::Hard && !machine.reached();
        let is_busy = |(_, reading): &(Moment, Result<Reading, String>)| {
            reading.as_ref().is_ok_and(|reading| reading.in_flight() > 0)
        };
        let busy = self.sources.sockets().is_some_and(is_busy);
        waits && busy && !self.errands.looking && self.errands.heard_end.is_none()
    }

    /// What the time brings, whatever else keeps the owner busy.
    async fn keep_up(&mut self) {
        if self.outside.now().since(self.heard) >= STALL / 2 {
            self.see().await;
        }
        let now = self.outside.now();
        self.keep_lock(now);
        self.look_for_caller(now);
        if self.core.machine.server() == Verdict::Unknown && now >= self.started + VERDICT {
            let _ = self.step(Event::NoVerdict { last: self.last_known }).await;
        }
        if self.records.stale && !self.records.is_writing() && now >= self.records.written_at + TABLE {
            Arc::make_mut(&mut self.core.table).tidy(now);
            self.begin_to_write(Lasts::OverBoots);
        }
        if self.status_stale && now >= self.status_due() {
            self.publish_status(now);
        }
        self.file_whole(now);
    }

    /// When a status that is not up to date is brought up to date.
    pub(super) fn status_due(&self) -> Moment {
        let announced = self.core.machine.announcement().is_some();
        self.status_published + if announced { STATUS_OUT } else { STATUS }
    }

    async fn stop(&mut self) {
        // A disk that hangs must not keep the next agent waiting: the course stands there already.
        if time::timeout(FILED, self.write()).await.is_err() {
            warn!("the state is not written at the end: its disk hangs");
        }
        let filed = async { while self.filing.join_next().await.is_some() {} };
        if time::timeout(FILED, filed).await.is_err() {
            warn!("a report is not written: its disk hangs");
        }
        while let Ok(ask) = self.inlets.asks.try_recv() {
            let refusal = Refusal::Stopping;
            let _ = ask
                .reply
                .send(api::Reply::Refused { name: refusal.name().into(), text: refusal.to_string() });
        }
        let Some(drain) = self.core.machine.course().drain() else { return info!("stops") };
        info!(drain = drain.id, "stops; the drain goes on with the next agent");
    }

    /// Tells the machine what is seen.
    pub(super) async fn see(&mut self) {
        self.hear();
        let now = self.outside.now();
        let view = self.view(now);
        self.account_for_balancers(now);
        self.look_for_expected(now);
        let _ = self.take(now, Event::Seen(view)).await;
    }

    /// Tells the machine what is seen, and then of an event.
    pub(super) async fn step(&mut self, event: Event) -> Result<Option<Said>, Refusal> {
        self.see().await;
        self.take(self.outside.now(), event).await
    }

    pub(super) async fn take(&mut self, now: Moment, event: Event) -> Result<Option<Said>, Refusal> {
        let before = self.core.clone();
        let effects = self.core.machine.step(now, event.clone())?;
        self.carry_out(before, effects, Some(event)).await
    }

    pub(super) fn view(&self, now: Moment) -> View {
        View {
            acknowledged: self.core.table.acknowledged(now),
            remaining: self.core.table.remaining(self.config.drain.min_remaining, now),
            traffic: self.sources.traffic(self.all_zero(now)),
            jitter: self.outside.jitter(),
            others_out: self.alone.others_out.clone(),
            caller_gone: self.caller_gone().is_some(),
            unix: self.outside.unix(),
        }
    }

    /// When a look may find the quiet that ends the present phase: nobody waits for it before the acknowledgement.
    pub(super) fn due(&self, now: Moment) -> Option<Moment> {
        let machine = &self.core.machine;
        let (Course::Soft(out) | Course::Hard(out)) = machine.course() else { return None };
        self.sources.due(machine.needed_quiet()?, out.acknowledged?, self.all_zero(now))
    }

    /// Whether every balancer has reported that it has no session here, and that is enough for hard.
    fn all_zero(&self, now: Moment) -> bool {
        let hard = self.core.machine.course().stage() == Stage::Hard;
        hard && self.config.drain.hard.quiet_is_default && self.core.table.sessions(now).all_zero
    }
}
