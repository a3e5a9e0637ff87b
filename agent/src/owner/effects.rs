//! Carrying out what the machine says.

use std::sync::Arc;

use tracing::error;

use super::{Outside, Owner, errands::IDENTITY_AGE, hearing::STALL, journal, records::Lasts, task::Core};
use crate::{
    clock::Moment,
    control::api,
    health::Answer,
    lifecycle::{Effects, Event, Level, Phase, Refusal, Said, Stage, Then},
    metrics::Failed,
    restart::Mark,
    state::{self, State},
};

impl<O: Outside> Owner<O> {
    /// Carries out what the machine says: first the state file, then the answer, then everything else. `before` is what
    /// was before the event that has caused it.
    pub(super) async fn carry_out(
        &mut self,
        before: Core,
        mut effects: Effects,
        cause: Option<Event>,
    ) -> Result<Option<Said>, Refusal> {
        let now = self.outside.now();
        let is_request = matches!(cause, Some(Event::Asked { .. }));
        self.announce(&before, now);
        if let Some(drain) = effects.restart
            && let Err(why) = self.prepare_restart(drain, now).await
        {
            if is_request {
                self.restore(before, now);
                return Err(Refusal::ServerUnknown(why));
            }
            return self.withdraw(before, now, drain, why, cause).await;
        }
        if !self.core.machine.course().is_replacing() {
            self.core.restart = None;
        }
        self.remember(&effects);
        self.note_phase();
        // After a crash of the host a hard drain with its restart to come and one with its restart under way go on alike:
        // the server was restarted with the host. So nobody waits for the directory's sync, which comes with the
        // command's pid.
        let begins = effects.restart.is_some() && before.machine.course().stage() == Stage::Hard;
        let lasts = if begins { Lasts::ThisBoot } else { Lasts::OverBoots };
        if self.records.lack(self.core.machine.course(), now)
            && let Err(why) = self.write_now(lasts).await
        {
            if is_request && drains(self.core.machine.course().stage()) {
                self.restore(before, now);
                return Err(Refusal::StateUnwritable(why));
            }
            if let Some(drain) = effects.restart {
                let why = format!("the restart can't be written down: {why}");
                return self.withdraw(before, now, drain, why, cause).await;
            }
        }
        let drain = self.core.machine.course().drain().or(before.machine.course().drain()).cloned();
        let reached = |core: &Core| (core.machine.reached(), core.machine.limit_passed().is_some());
        let changed = !effects.transitions.is_empty()
            || effects.acknowledged
            || !effects.ended.is_empty()
            || reached(&before) != reached(&self.core);
        if let Some(drain) = drain.as_ref().filter(|_| self.begins(&before, &effects)) {
            // Before anybody acts on it, here or where it is waited for.
            self.note_left(drain.id, effects.cuts).await;
        }
        self.publish_answer();
        if changed || effects.said.is_some() {
            self.publish_status(now);
        }
        journal::write(&effects, drain.as_ref());
        self.account_for(&effects, now);
        if effects.restart.is_some() {
            self.start_restart();
        }
        if let Some(drain) = effects.warm_up {
            self.start_warm_up(drain);
        }
        Ok(effects.said.take())
    }

    /// Everything is as it was at `since`, but for what was heard meanwhile, which is lost.
    fn restore(&mut self, before: Core, since: Moment) {
        self.core = before;
        if self.core.machine.announcement().is_none() {
            self.ledger.settle();
        }
        let now = self.outside.now();
        if now.since(since) >= STALL / 2 {
            Arc::make_mut(&mut self.core.table).missed(now);
        }
    }

    /// The restart for `drain` can't be done, so the drain is given up. Where it is one that was to follow another, that
    /// one goes on as if nothing had been asked meanwhile: its event is taken once more.
    async fn withdraw(
        &mut self,
        before: Core,
        since: Moment,
        drain: u64,
        why: String,
        cause: Option<Event>,
    ) -> Result<Option<Said>, Refusal> {
        error!(drain, "the drain is given up: {why}");
        self.restore(before, since);
        let course = self.core.machine.course();
        let follows = course.next().is_some_and(|next| next.id == drain);
        let event = match course.stage() {
            Stage::Restarting if !follows => Event::RestartEnded { result: Err(why), took: None },
            _ => Event::GivenUp { why },
        };
        let said = Box::pin(self.take(self.outside.now(), event)).await;
        match cause.filter(|_| follows) {
            Some(cause) => Box::pin(self.take(self.outside.now(), cause)).await,
            None => said,
        }
    }

    /// Tells the table and the looks what is announced from the next answer on.
    fn announce(&mut self, before: &Core, now: Moment) {
        let (was, is) = (before.machine.announcement(), self.core.machine.announcement());
        if was == is {
            return;
        }
        let level = is.map(|announcement| announcement.level);
        match level {
            // One that asks by HTTP may ask in the agent protocol, too.
            Some(Level::Soft) if self.config.agent_check.is_some() => {
                self.ledger.announce(self.core.table.sources());
            }
            Some(_) => {}
            None => self.ledger.settle(),
        }
        Arc::make_mut(&mut self.core.table).announce(level, self.generation + 1, now);
        self.renew = true;
        if was.is_none() {
            self.sources.begin_anew();
            self.errands.looked = None;
            self.readings.due();
            self.identity = None;
        }
    }

    /// Notes what is to be replaced, before the restart.
    async fn prepare_restart(&mut self, drain: u64, now: Moment) -> Result<(), String> {
        let known = self.identity.take().filter(|(at, _)| now.since(*at) < IDENTITY_AGE);
        let before = if let Some((_, identity)) = known {
            identity
        } else {
            let outside = Arc::clone(&self.outside);
            self.hearing(Box::pin(async move { outside.identity().await })).await?
        };
        let follow = self.core.machine.course().drain().and_then(|drain| drain.follow.then());
        let then = follow.unwrap_or(Then::Restart);
        let mark = Mark::new(&self.config.server.name, drain, &self.records.boot, now);
        self.core.restart =
            Some(state::Restart { drain, then, began: now, before, mark, command: None, has_ended: false });
        Ok(())
    }

    fn remember(&mut self, effects: &Effects) {
        for ended in &effects.ended {
            let drains = Arc::make_mut(&mut self.core.drains);
            if drains.len() == api::DRAINS {
                drains.pop_front();
            }
            drains.push_back(api::Drain {
                id: ended.id,
                outcome: ended.outcome,
                text: ended.text.clone(),
                ended_unix: self.outside.unix(),
                then: ended.then.clone(),
                restart_seconds: ended.restart_took.map(|took| took.as_secs_f64()),
                output: ended.restart_took.and_then(|_| self.output.take()),
                users_back_seconds: None,
            });
            self.standing_warning = None;
        }
    }

    /// Notes since when the present phase is shown.
    fn note_phase(&mut self) {
        let Some((phase, _)) = self.shown() else { return };
        if self.core.since.is_none_or(|(shown, _)| shown != phase) {
            self.core.since = Some((phase, self.outside.unix()));
        }
    }

    fn publish_answer(&mut self) {
        let Some((phase, reason)) = self.shown() else { return };
        self.counters.shows(phase, self.outside.now());
        let since_unix = self.core.since.map_or(0, |(_, since)| since);
        let status = phase.status(self.config.answers);
        let same = self.outlets.answer.borrow().as_ref().is_some_and(|answer| {
            answer.phase == phase && answer.reason == reason && answer.status == status
        });
        if same && !self.renew {
            return;
        }
        self.renew = false;
        self.generation += 1;
        self.status_stale = true;
        let generation = self.generation;
        self.outlets.answer.send_replace(Some(Answer { status, phase, reason, since_unix, generation }));
    }

    /// Writes the state down. Where that fails, the records tell of it and try again.
    pub(super) async fn write(&mut self) {
        let _ = self.write_now(Lasts::OverBoots).await;
    }

    /// Writes the state down. What is on its way goes first, so that nothing older comes after.
    async fn write_now(&mut self, lasts: Lasts) -> Result<(), String> {
        // Whether that could be written says nothing of this.
        let _ = self.await_written().await;
        self.begin_to_write(lasts);
        self.await_written().await
    }

    async fn await_written(&mut self) -> Result<(), String> {
        let Some(written) = self.records.take_written() else { return Ok(()) };
        let result = self.hearing(written).await;
        self.note_written(result.clone());
        result
    }

    /// Notes how the writing of the state has ended.
    pub(super) fn note_written(&mut self, result: Result<(), String>) {
        if result.is_err() {
            self.counters.failed(Failed::State);
        }
        self.records.note(result);
    }

    /// Whether `drain` may be said in the agent protocol until the state is written the next time: it is announced, or
    /// what is announced instead has not become the answer yet.
    pub(super) fn says_drain(&self) -> bool {
        let announced = self.core.machine.announcement().map(|announcement| announcement.level);
        let is_said =
            || self.outlets.answer.borrow().as_ref().is_some_and(|answer| answer.phase == Phase::Soft);
        self.config.agent_check.is_some() && (announced == Some(Level::Soft) || is_said())
    }

    /// Begins to write the state down.
    pub(super) fn begin_to_write(&mut self, lasts: Lasts) {
        let now = self.outside.now();
        let state = State {
            machine: self.core.machine.saved(),
            shown: self.core.since,
            balancers: self.core.table.saved(),
            restart: self.core.restart.clone(),
            drains: self.core.drains.iter().cloned().collect(),
            reports: self.history.recorder().saved(),
            debts: Some(self.ledger.taken_down(self.says_drain())),
            ..State::new(self.records.boot.clone())
        };
        self.records.begin(state, lasts, now);
    }
}

/// Whether forgetting this stage would forget a drain. What leads back to up is never refused.
fn drains(stage: Stage) -> bool {
    matches!(stage, Stage::Waiting | Stage::Soft | Stage::Hard | Stage::Restarting)
}
