//! The admin port of the running proxy, and what is told there while the proxy is about to finish.

use std::sync::Arc;

use tokio::{sync::watch, time::Instant};

use super::farewell::Farewell;
use crate::{
    admin::{
        gate::Gate,
        http::{Announced, Opened, Port, PortError, Standing, Subject},
        stats::Statistics,
    },
    clock,
    config::{Admin, Leave},
};

/// The admin port, if there is one, and what balancers above are told.
#[derive(Debug)]
pub(super) struct Door {
    statistics: Arc<Statistics>,
    gate: Arc<Gate>,
    port: Option<Port>,
    announced: watch::Sender<Announced>,
    farewell: Option<Farewell>,
    began: Instant,
}

/// What a new configuration makes of the port.
pub(super) enum Change {
    /// It stays as it is.
    None,
    /// There is none any more.
    Closed,
    /// This one takes its place.
    Opened(Opened),
}

impl Door {
    /// Opens the port that the configuration asks for. `beside`: an earlier process has it.
    pub(super) fn open(
        admin: &Admin,
        beside: bool,
        statistics: Arc<Statistics>,
        gate: Arc<Gate>,
    ) -> Result<Self, PortError> {
        let announced = watch::Sender::new(Announced::up(clock::wall()));
        let mut door = Self { statistics, gate, port: None, announced, farewell: None, began: clock::now() };
        if let Some(settings) = &admin.port {
            door.serve(Opened::open(settings, beside)?)?;
        }
        Ok(door)
    }

    /// What balancers above are told.
    pub(super) fn standing(&self) -> watch::Receiver<Announced> {
        self.announced.subscribe()
    }

    /// What another configuration would make of it. Nothing has changed where that fails.
    pub(super) fn change(&self, admin: &Admin) -> Result<Change, PortError> {
        match (&admin.port, &self.port) {
            (None, None) => Ok(Change::None),
            (None, Some(_)) => Ok(Change::Closed),
            (Some(settings), Some(port)) if port.is_by(settings)? => Ok(Change::None),
            (Some(settings), port) => Opened::open(settings, port.is_some()).map(Change::Opened),
        }
    }

    /// Makes it so.
    pub(super) fn take(&mut self, change: Change) {
        match change {
            Change::None => {}
            Change::Closed => self.close(),
            Change::Opened(opened) => {
                if let Err(error) = self.serve(opened) {
                    // Only want of threads fails it; then the old one stays.
                    tracing::error!("{error}");
                }
            }
        }
    }

    /// Another process answers there now.
    pub(super) fn close(&mut self) {
        self.port = None;
    }

    /// The proxy is to finish. Whether balancers above are told first, while it still accepts.
    pub(super) fn say_farewell(&mut self, leave: Leave) -> bool {
        // Without a port nobody hears it.
        self.farewell = self.port.as_ref().and_then(|_| Farewell::begin(leave, clock::now()));
        self.tell();
        self.farewell.is_some()
    }

    /// Until when it is told what is told now; `None`: the proxy isn't about to finish.
    pub(super) fn until(&self) -> Option<Instant> {
        self.farewell.map(|farewell| farewell.until())
    }

    /// Goes on to what comes next. Whether the proxy still accepts.
    pub(super) fn step(&mut self) -> bool {
        self.farewell = self.farewell.and_then(|farewell| farewell.next(clock::now()));
        self.tell();
        self.farewell.is_some()
    }

    /// It ends now.
    pub(super) fn end(&mut self) {
        self.farewell = None;
        self.tell();
    }

    /// Tells what is so: without a farewell, nobody is taken any more.
    fn tell(&self) {
        let standing = self.farewell.map_or(Standing::Hard, |farewell| farewell.standing());
        let has_changed = self.announced.send_if_modified(|announced| {
            let is_new = announced.standing != standing;
            if is_new {
                *announced = Announced { standing, reason: "it is to finish", since: clock::wall() };
            }
            is_new
        });
        if has_changed && self.port.is_some() {
            tracing::info!("balancers above are told: {standing}");
        }
    }

    fn serve(&mut self, opened: Opened) -> Result<(), PortError> {
        let subject = Subject {
            statistics: self.statistics.clone(),
            gate: self.gate.clone(),
            standing: self.announced.subscribe(),
            began: self.began,
        };
        self.port = Some(opened.serve(subject)?);
        Ok(())
    }
}
