//! All that a running proxy consists of is started.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;
use tokio::sync::{mpsc, watch};

use super::door::Door;
use super::kept::{self, Kept};
use super::pressure::Pressure;
use super::{Process, files, state};
use crate::admin::command::Desk;
use crate::admin::edits::Edits;
use crate::admin::gate::Gate;
use crate::admin::http::{PortError, Within};
use crate::admin::log::{Logs, OpenError};
use crate::admin::service::{AdminError, Service};
use crate::admin::stats::{Facts, Statistics};
use crate::adopt;
use crate::check::Checks;
use crate::clock;
use crate::config::Config;
use crate::listen::{ListenError, Listeners};
use crate::upgrade::{Earlier, Inheritance, joint, knowledge};
use crate::worker::{self, Generation, Roll, Share, Stop};

/// Why there is no running proxy.
#[derive(Debug, Error)]
pub enum StartError {
    /// A log can't be written.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// An address can't be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The admin port can't be had.
    #[error(transparent)]
    Port(#[from] PortError),
    /// No thread for checks.
    #[error("can't start the checks")]
    Checks(#[source] io::Error),
    /// Nobody could command it.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// A core can't work.
    #[error("core {core} can't work, so drain-proxy does not start")]
    Worker {
        /// Which.
        core: usize,
        /// What the system said.
        source: io::Error,
    },
}

impl Process {
    /// Starts everything; `files` are where the configuration came from, and `inheritance` what another process had. Must
    /// be called on a runtime.
    pub fn start(files: Vec<PathBuf>, config: Config, inheritance: Inheritance) -> Result<Self, StartError> {
        files::raise_limit(&config);
        let cores = config.limits.threads.get();
        let logs = Logs::open(&config)?;
        let Inheritance { listeners, mut servers, rooms, joint: limits, earlier } = inheritance;
        if earlier != Earlier::Known {
            servers = state::read(&config);
        }
        let offered = listeners.bound().to_vec();
        let mut known = offered.clone();
        known.extend(adopt::adopted(&config, cores, &known)?);
        let beside = earlier == Earlier::Silent;
        let listeners = Listeners::open(&config, cores, &Listeners::inherited(known), beside)?;
        let left = listeners.without(&offered);
        drop(offered);
        let generation = Generation::resumed(&config, &logs, knowledge::resuming(&servers, clock::now()));
        knowledge::reopen(&generation, &rooms);
        joint::keep(generation.backends(), limits);
        let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let checks = Checks::start(generation.backends(), node.clone()).map_err(StartError::Checks)?;
        let facts = Facts { started: clock::now(), started_wall: clock::wall(), node, threads: cores };
        let statistics = Statistics::new(generation.clone(), facts);
        let gate = Arc::<Gate>::default();
        let is_sure = earlier != Earlier::Known;
        if is_sure {
            kept::set_again(&config.admin, &statistics, &gate);
        } else {
            // Whatever is ordered would be lost if the earlier process went on.
            gate.shut();
        }
        let is_heir = earlier != Earlier::None;
        let door = Door::open(&config.admin, is_heir, statistics.clone(), gate.clone())?;
        Within::show(&statistics, gate.clone(), door.standing());
        // Before anybody is served, so that who is can command it. Where the rest fails, a process to which this one was to
        // succeed (SIGUSR2) listens anew.
        let (to_edit, edits) = Edits::channel();
        let roll = Roll::default();
        let desk =
            Desk { statistics, gate: gate.clone(), edits: to_edit, roll: roll.clone(), sockets: Vec::new() };
        let admin = Service::start(&config.admin, desk, is_heir)?;
        let stop = watch::Sender::new(Stop::No);
        let (running, ended) = mpsc::channel(1);
        let mut workers = Vec::with_capacity(cores);
        for core in 0..cores {
            let share = Share { generation: generation.clone(), listeners: listeners.of_core(core, cores) };
            let (sender, shares) = mpsc::unbounded_channel();
            worker::spawn(core, share, (shares, roll.join()), stop.subscribe(), running.clone())
                .map_err(|source| StartError::Worker { core, source })?;
            workers.push(sender);
        }
        tracing::info!("drain-proxy {} is ready: {listeners}", env!("CARGO_PKG_VERSION"));
        let (deadline, earlier, successor) = (None, None, None);
        Ok(Self {
            files,
            config,
            cores,
            logs,
            gate,
            is_sure,
            edits,
            admin,
            listeners,
            left,
            generation,
            checks: Some(checks),
            workers,
            stop,
            ended,
            deadline,
            earlier,
            successor,
            door,
            pressure: Pressure::default(),
            kept: Kept::default(),
        })
    }
}
