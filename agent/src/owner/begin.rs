//! How an owner begins: where the state file ends.

use std::sync::Arc;

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tracing::{error, info};

use super::{
    Inlets, Outlets, Outside, Owner,
    alone::Alone,
    errands::{Errands, REPORTS, Report},
    records::Records,
    sources::Readings,
    task::Core,
};
use crate::{
    agent_check::{Debts, Ledger},
    balancers::Table,
    clock::Moment,
    config::Config,
    control::api,
    health::Answer,
    lifecycle::{Effects, Level, Machine, Phase, Replaced, Verdict},
    metrics::Counters,
    report::{History, Reports},
    state::{self, Found},
    systemd::watchdog::Pulse,
    traffic::sources::Sources,
};

impl<O: Outside> Owner<O> {
    /// An owner that goes on where the state file ends; what it sees is counted in `counters`. The outlets hold its answer
    /// and status when this returns.
    pub async fn begin(
        config: Config,
        outside: O,
        inlets: Inlets,
        counters: Counters,
    ) -> (Self, watch::Receiver<Option<Answer>>, watch::Receiver<Arc<api::Status>>) {
        let now = outside.now();
        let unix = outside.unix();
        let boot = state::boot_id();
        let records = Records::new(state::File::at(&config.state), boot.clone(), now);
        let found = records.read().await;
        let table = Table::new(config.balancers.clone(), config.drain.fall.get(), now);
        let history = Reports::new(History::at(&config.report.history));
        let mut core = Core {
            machine: Machine::new((&config).into()),
            table: Arc::new(table),
            drains: Arc::default(),
            restart: None,
            since: None,
        };
        let mut effects = Effects::default();
        let mut last_known = Verdict::Unknown;
        let mut standing_warning = None;
        let mut replaced = Replaced::Perhaps;
        let mut debts = Debts::default();
        match found {
            Found::Nothing => {}
            Found::State(mut state) => {
                let same_boot = state.boot == boot;
                if let Some(restart) = state.restart.as_mut().filter(|_| same_boot) {
                    replaced = outside.left_behind(restart).await;
                }
                debts = state.owed(same_boot, unix);
                last_known = state.machine.server;
                core.drains = Arc::new(state.drains.into());
                history.recorder().resume(state.reports, same_boot, now, unix);
                core.restart = state.restart.filter(|_| same_boot);
                core.since = state.shown;
                core.table =
                    Arc::new(Arc::unwrap_or_clone(core.table).restored(state.balancers, same_boot, 1));
                let restored = Machine::restored((&config).into(), state.machine, now, same_boot, replaced);
                (core.machine, effects) = restored;
                let announced = core.machine.announcement().map(|announcement| announcement.level);
                if core.table.announced() != announced {
                    // The host's restart was the server's too, and has ended what was announced.
                    Arc::make_mut(&mut core.table).announce(announced, 1, now);
                }
                goes_on(&core.machine);
            }
            Found::Unreadable(why) => {
                let why = format!(
                    "what was asked before is unknown, so the server takes no new users until `drainctl up`: {why}"
                );
                (core.machine, effects) = Machine::held((&config).into(), now, unix, why.clone());
                Arc::make_mut(&mut core.table).announce(Some(Level::Soft), 1, now);
                error!("{why}");
                standing_warning = Some(why);
                debts = Debts::unknown();
            }
        }
        let (report, reports) = mpsc::channel(REPORTS);
        let (answer, answers) = watch::channel(None);
        let (status, statuses) = watch::channel(Arc::new(first_status(&config)));
        let (shown_config, _) = watch::channel(Arc::new(config.clone()));
        let mut owner = Self {
            sources: Sources::of(&config),
            config,
            outside: Arc::new(outside),
            inlets,
            outlets: Outlets { answer, status },
            core,
            records,
            history,
            counters,
            shown_config,
            filing: JoinSet::new(),
            errands: Errands::new(now),
            readings: Readings::default(),
            started: now,
            heard: now,
            generation: 0,
            renew: false,
            alone: Alone::default(),
            pulse: Pulse::default(),
            curious: Vec::new(),
            found: "not probed yet".into(),
            unasked: None,
            last_known,
            caller_gone: None,
            ledger: Ledger::new(debts),
            unheard: Vec::new(),
            standing_warning,
            identity: None,
            output: None,
            status_published: now,
            status_stale: true,
            watchers_woken: now,
            report,
            reports,
        };
        owner.resume(effects, replaced).await;
        (owner, answers, statuses)
    }

    /// Carries on what an earlier agent has left.
    async fn resume(&mut self, effects: Effects, replaced: Replaced) {
        if let Some(restart) = self.core.restart.clone().filter(|_| replaced == Replaced::UnderWay) {
            let (outside, report) = (Arc::clone(&self.outside), self.report.clone());
            tokio::spawn(async move {
                let drain = restart.drain;
                let restarted = outside.await_left_behind(restart).await;
                let _ = report.send(Report::Restarted { drain, restarted }).await;
            });
        }
        let now = self.outside.now();
        self.account_for_ended(now);
        // One that an agent died over before it had written its report down.
        self.follow(&mut self.history.recorder(), now);
        let before = self.core.clone();
        // There is nobody to be refused.
        let _ = self.carry_out(before, effects, None).await;
        // Where nothing has changed, what was shown before is still to be shown again.
        self.publish_status(self.outside.now());
    }
}

/// Writes down that a drain outlives the agent.
fn goes_on(machine: &Machine) {
    let course = machine.course();
    if let Some(drain) = course.drain() {
        let (stage, asked_by) = (course.stage(), drain.origin.to_string());
        info!(drain = drain.id, asked_by, "goes on in {stage} after a restart of the agent");
    }
}

fn first_status(config: &Config) -> api::Status {
    api::Status {
        server: config.server.name.to_string(),
        phase: Phase::Down,
        answer: config.answers.hard,
        reason: "no verdict yet".into(),
        since_unix: 0,
        generation: 0,
        asked: None,
        limit: None,
        acknowledged: api::Acknowledged::default(),
        balancers: Vec::new(),
        absent: Vec::new(),
        traffic: api::Traffic::default(),
        readiness: api::Readiness::default(),
        drains: Vec::new(),
        warnings: Vec::new(),
        agent: api::Agent {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: 0.0,
        },
        taken: Moment::default(),
    }
}
