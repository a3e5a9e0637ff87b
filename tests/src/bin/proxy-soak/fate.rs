//! What happens to the servers, and when: drawn from the seed.
//!
//! A cycle of seventy seconds has three parts, of which the proxy can be held to more and more:
//!
//! | | what happens | what may be |
//! |---|---|---|
//! | storm | death, stalls, drains, failures in single requests, seldom the death of all | requests fail, none in silence or twice |
//! | drains | soft and hard drains, connections closed when idle | nobody fails; users of hard ones move |
//! | calm | connections closed when idle | nobody fails, nobody moves |
//!
//! Reloads happen always. One server at least is never in trouble but when all die.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use drain_tests::clock;
use fastrand::Rng;

use crate::{balancer::Balancer, server::Server};

const STORM: Duration = Duration::from_secs(30);
const DRAINS: Duration = Duration::from_secs(18);
const CALM: Duration = Duration::from_secs(22);
/// Between two draws.
const DRAWS_MS: std::ops::Range<u64> = 100..600;
/// Of so many draws one is a reload.
const RELOAD_ONE_IN: u32 = 25;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Storm,
    Drains,
    Calm,
}

impl Phase {
    fn at(time: Duration) -> Self {
        let cycle = STORM + DRAINS + CALM;
        let within = Duration::from_millis((time.as_millis() % cycle.as_millis()) as u64);
        if within < STORM {
            Self::Storm
        } else if within < STORM + DRAINS {
            Self::Drains
        } else {
            Self::Calm
        }
    }
}

/// What happens to one server at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Soft,
    Hard,
    Die { reset: bool },
    Stall,
    Leave,
    Recover,
    Join,
}

/// How often what happened.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Events {
    pub(crate) soft: u64,
    pub(crate) hard: u64,
    pub(crate) stalls: u64,
    pub(crate) outages: u64,
    pub(crate) reloads: u64,
    pub(crate) leaves: u64,
}

/// What decides.
#[derive(Debug)]
pub(crate) struct Fate {
    servers: Vec<Arc<Server>>,
    random: Rng,
    due: Vec<(Instant, usize, Step)>,
    events: Events,
}

impl Fate {
    pub(crate) fn new(servers: &[Arc<Server>], random: Rng) -> Self {
        Self { servers: servers.to_vec(), random, due: Vec::new(), events: Events::default() }
    }

    /// Lets things happen until it is over; then every server is well.
    pub(crate) fn run(mut self, balancer: &mut Balancer, over: &AtomicBool) -> io::Result<Events> {
        let start = clock::now();
        while !over.load(Ordering::Relaxed) {
            let phase = Phase::at(start.elapsed());
            for server in &self.servers {
                server.set_faulty(phase == Phase::Storm);
            }
            self.draw(phase, balancer)?;
            let next = clock::now() + Duration::from_millis(self.random.u64(DRAWS_MS));
            while clock::now() < next {
                self.step(balancer)?;
                clock::pause(Duration::from_millis(10));
            }
        }
        for server in &self.servers {
            server.set_faulty(false);
        }
        // Whatever was begun is ended now.
        for (_, index, step) in std::mem::take(&mut self.due) {
            if matches!(step, Step::Recover | Step::Join) {
                self.take(index, step, balancer)?;
            }
        }
        Ok(self.events)
    }

    fn draw(&mut self, phase: Phase, balancer: &mut Balancer) -> io::Result<()> {
        for server in &self.servers {
            let some = self.random.u32(1..6);
            server.close_idle(|| self.random.u32(..10) < some);
        }
        if self.random.u32(..RELOAD_ONE_IN) == 0 {
            balancer.reload(&mut self.random)?;
            self.events.reloads += 1;
        }
        if phase == Phase::Calm || self.random.bool() {
            return Ok(());
        }
        if phase == Phase::Storm && self.random.u32(..25) == 0 {
            return self.outage(balancer);
        }
        let well: Vec<usize> = (0..self.servers.len()).filter(|&index| self.is_well(index)).collect();
        if well.len() < 2 {
            return Ok(());
        }
        let index = well[self.random.usize(..well.len())];
        let plan = self.plan(phase, index == self.servers.len() - 1);
        let mut at = clock::now();
        for (after, step) in plan {
            at += Duration::from_millis(after);
            self.due.push((at, index, step));
        }
        Ok(())
    }

    /// Steps, each so many milliseconds after the one before.
    fn plan(&mut self, phase: Phase, may_leave: bool) -> Vec<(u64, Step)> {
        let random = &mut self.random;
        let reset = random.bool();
        let die = Step::Die { reset };
        match random.u32(..if phase == Phase::Storm { 13 } else { 4 }) {
            0 => vec![(0, Step::Soft), (random.u64(2_000..6_000), Step::Recover)],
            1 => vec![(0, Step::Hard), (random.u64(1_000..4_000), Step::Recover)],
            2 if may_leave => vec![(0, Step::Leave), (random.u64(1_000..5_000), Step::Join)],
            2 | 3 => {
                let soft = random.u64(1_000..3_000);
                vec![(0, Step::Soft), (soft, Step::Hard), (random.u64(1_000..3_000), Step::Recover)]
            }
            4 => {
                let soft = random.u64(500..2_000);
                vec![(0, Step::Soft), (soft, Step::Hard), (2_000, die), (1_000, Step::Recover)]
            }
            5 | 6 => vec![(0, die), (random.u64(1..100), Step::Recover)],
            7..=9 => vec![(0, die), (random.u64(300..5_000), Step::Recover)],
            _ => vec![(0, Step::Stall), (random.u64(200..7_000), Step::Recover)],
        }
    }

    /// All die at once, those in trouble included.
    fn outage(&mut self, balancer: &mut Balancer) -> io::Result<()> {
        self.events.outages += 1;
        let back = clock::now() + Duration::from_millis(self.random.u64(200..3_000));
        for index in 0..self.servers.len() {
            self.due.retain(|(_, of, step)| *of != index || *step == Step::Join);
            let reset = self.random.bool();
            self.take(index, Step::Die { reset }, balancer)?;
            self.due.push((back, index, Step::Recover));
        }
        Ok(())
    }

    /// Whether nothing happens to this one, and all that happened is over.
    fn is_well(&self, index: usize) -> bool {
        self.servers[index].history().is_well() && self.due.iter().all(|(_, of, _)| *of != index)
    }

    /// Does what is due.
    fn step(&mut self, balancer: &mut Balancer) -> io::Result<()> {
        let now = clock::now();
        while let Some(place) = self.due.iter().position(|(at, ..)| *at <= now) {
            let (_, index, step) = self.due.remove(place);
            self.take(index, step, balancer)?;
        }
        Ok(())
    }

    fn take(&mut self, index: usize, step: Step, balancer: &mut Balancer) -> io::Result<()> {
        let server = &self.servers[index];
        match step {
            Step::Soft => {
                self.events.soft += 1;
                server.drain_softly();
            }
            Step::Hard => {
                self.events.hard += 1;
                server.drain_hard();
            }
            Step::Die { reset } => server.die(reset),
            Step::Stall => {
                self.events.stalls += 1;
                server.stall();
            }
            Step::Leave => {
                self.events.leaves += 1;
                server.leave();
                balancer.without_last(true)?;
            }
            Step::Join => {
                balancer.without_last(false)?;
                server.recover()?;
            }
            Step::Recover => server.recover()?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_ends_calmly() {
        let phases = [0, 29, 30, 47, 48, 69, 70].map(|second| Phase::at(Duration::from_secs(second)));
        let (storm, drains, calm) = (Phase::Storm, Phase::Drains, Phase::Calm);
        assert_eq!(phases, [storm, storm, drains, drains, calm, calm, storm]);
    }

    #[test]
    fn the_same_seed_draws_the_same_plans() {
        let plans = || {
            let mut fate = Fate::new(&[], Rng::with_seed(7));
            (0..50).map(|_| fate.plan(Phase::Storm, true)).collect::<Vec<_>>()
        };
        assert_eq!(plans(), plans());
        let ends = |plan: &Vec<(u64, Step)>| matches!(plan.last(), Some((_, Step::Recover | Step::Join)));
        assert!(plans().iter().all(ends));
    }
}
