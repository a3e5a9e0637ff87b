//! How a machine goes on after the agent's own restart.

use serde::{Deserialize, Serialize};

use super::{
    Course, Drain, Effects, Follow, Level, Machine, Origin, Outcome, Rules, Server, Transition, Verdict,
    course::{Back, Out, WarmUp},
    machine::nothing_seen,
};
use crate::clock::Moment;

/// What of a machine outlives the agent's process.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Saved {
    /// What was asked and how far it had been carried out.
    pub course: Course,
    /// What the probes had shown last.
    pub server: Verdict,
    /// The id of the next drain.
    pub next_id: u64,
}

/// What has become of the server that was to be replaced when the agent was interrupted in a restart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Replaced {
    /// It is the same process as before, and no restart is under way: the restart has not happened.
    Not,
    /// It is another process, or none, or nobody can tell.
    Perhaps,
    /// The restart is still under way, or only its proof is missing; its end will be reported.
    UnderWay,
}

impl Machine {
    /// What must be written down.
    pub fn saved(&self) -> Saved {
        Saved { course: self.course.clone(), server: self.server.verdict(), next_id: self.next_id }
    }

    /// Goes on from `saved`, which was written since the host's last start (`same_boot`) or before.
    ///
    /// | saved | same boot | the host was restarted |
    /// |---|---|---|
    /// | up, failed | as it was | as it was |
    /// | waiting, soft, hard, that hold | as it was | the same, announced now |
    /// | waiting, soft, hard, that restart | as it was; its limits go on running, but that of an acknowledgement begins anew | warming: the server was restarted with the host |
    /// | waiting, soft, hard, restarting, that stop | as with a restart; perhaps stopped: held in hard | held in hard: nobody has asked for the server to run |
    /// | restarting, not replaced | restarts now | – |
    /// | restarting, under way or without its proof | waits for its end, however long the agent was away | – |
    /// | restarting, perhaps replaced | warming | warming |
    /// | warming | as it was, begun anew | begun anew |
    pub fn restored(
        rules: Rules,
        saved: Saved,
        now: Moment,
        same_boot: bool,
        replaced: Replaced,
    ) -> (Self, Effects) {
        let known = if same_boot { saved.server } else { Verdict::Unknown };
        let mut machine = Self {
            rules,
            course: saved.course,
            server: Server::known(known),
            view: nothing_seen(),
            seen: now,
            next_id: saved.next_id.max(1),
        };
        let mut effects = Effects::default();
        if same_boot {
            machine.go_on(now, replaced, &mut effects);
        } else {
            machine.go_on_after_boot(now, &mut effects);
        }
        (machine, effects)
    }

    /// Begins in hold with the answer of soft, because what was asked before can't be known.
    pub fn held(rules: Rules, now: Moment, unix: u64, why: String) -> (Self, Effects) {
        let mut machine = Self::new(rules);
        // Ids of the lost file must not be given twice: seconds since 1970 lie above them.
        machine.next_id = unix.max(1) + 1;
        let drain = Drain {
            id: unix.max(1),
            level: Level::Soft,
            follow: Follow::HoldSoft,
            origin: Origin::Agent,
            reason: Some(why.clone()),
            unguarded: true,
            asked: now,
            asked_unix: unix,
            give_up: now,
            restart_took: None,
            until_unix: None,
            stopped: false,
            command: None,
        };
        // Nobody has to acknowledge what nobody asked for: it holds until somebody decides.
        machine.course = Course::Soft(Out::held(drain, now, why.clone()));
        let mut effects = Effects { warnings: vec![why.clone()], ..Effects::default() };
        effects.transitions.push(Transition {
            from: super::Stage::Up,
            to: super::Stage::Soft,
            why,
            drain: None,
        });
        (machine, effects)
    }

    fn go_on(&mut self, now: Moment, replaced: Replaced, effects: &mut Effects) {
        match &self.course {
            // Nothing was at work; the next try comes as it was to.
            Course::Restarting(Back { retry: Some(_), .. }) => {}
            Course::Restarting(back) => {
                let back = back.clone();
                match replaced {
                    Replaced::Perhaps if back.drain.follow == Follow::Stop => {
                        self.stopped(now, back, effects);
                    }
                    Replaced::Not => {
                        effects.restart = Some(back.drain.id);
                        let why = "the agent was interrupted before the restart had happened".to_owned();
                        self.course = Course::Restarting(Back { since: now, why, ..back });
                    }
                    // It has a limit of its own, which counts from its beginning. This one is for the report, and nobody
                    // could report while the agent was away.
                    Replaced::UnderWay => self.course = Course::Restarting(Back { since: now, ..back }),
                    Replaced::Perhaps => {
                        if let Follow::Run(name) = &back.drain.follow {
                            effects.warnings.push(format!(
                                "the agent was interrupted, so that nobody knows how the command {name} has ended; it is not run again"
                            ));
                        }
                        self.warm(now, back, "the agent was interrupted in the restart".into(), effects);
                    }
                }
            }
            Course::Warming(back) => self.begin_warming_anew(now, back.clone()),
            _ => {}
        }
        if let Course::Soft(out) | Course::Hard(out) = &mut self.course
            && out.acknowledged.is_none()
        {
            // While the agent was away nobody could ask, so that nobody could acknowledge.
            out.announced = now;
        }
    }

    fn go_on_after_boot(&mut self, now: Moment, effects: &mut Effects) {
        match self.course.clone() {
            Course::Up | Course::Failed { .. } => {}
            Course::Waiting { drain, .. }
            | Course::Soft(Out { drain, .. })
            | Course::Hard(Out { drain, .. })
                if drain.follow.acts() =>
            {
                let drain = rebased(drain, now);
                self.back_after_boot(now, Back::new(drain, now, String::new()), effects);
            }
            Course::Waiting { drain, why, .. } => {
                let drain = Drain { give_up: now + self.rules.acknowledge.limit, ..rebased(drain, now) };
                self.course = Course::Waiting { drain, retry: now, why };
            }
            Course::Soft(out) => self.course = Course::Soft(announced_anew(out, now)),
            Course::Hard(out) => self.course = Course::Hard(announced_anew(out, now)),
            Course::Restarting(back) => {
                let next = back.next.map(|next| rebased(next, now));
                let back = Back { drain: rebased(back.drain, now), next, retry: None, ..back };
                self.back_after_boot(now, back, effects);
            }
            Course::Warming(back) => {
                let next = back.next.map(|next| rebased(next, now));
                self.begin_warming_anew(now, Back { drain: rebased(back.drain, now), next, ..back });
            }
        }
    }

    /// The server was restarted with the host; one that was to be stopped stays out.
    fn back_after_boot(&mut self, now: Moment, back: Back, effects: &mut Effects) {
        let why = "the host was restarted, and the server with it";
        if back.drain.follow != Follow::Stop {
            return self.warm(now, back, why.into(), effects);
        }
        if let Some(next) = &back.next {
            let text = "the host was restarted during the stop that it was to follow; ask again".to_owned();
            effects.warnings.push(format!("drain {} is given up: {text}", next.id));
            effects.ended.push(next.ended(Outcome::Withdrawn, text));
        }
        effects
            .warnings
            .push("the host was restarted when the server was to be stopped: it is held out".into());
        let drain = Drain { level: Level::Hard, follow: Follow::Hold, ..back.drain };
        let id = Some(drain.id);
        self.enter(Course::Hard(Out::held(drain, now, why.into())), id, why.into(), effects);
    }

    /// The server gets its whole time again: while the agent was away nobody could see whether it was ready.
    fn begin_warming_anew(&mut self, now: Moment, back: Back) {
        self.server.replaced(now);
        self.course = Course::Warming(Back { since: now, warm_up: WarmUp::Due, ..back });
    }
}

/// Moments of another boot mean nothing.
fn rebased(drain: Drain, now: Moment) -> Drain {
    Drain { asked: now, give_up: now, restart_took: None, ..drain }
}

/// Whether a hold was acknowledged before the host's restart means nothing, and it is not given up for that now: it
/// was asked to last.
fn announced_anew(out: Out, now: Moment) -> Out {
    let acknowledged = out.acknowledged.map(|_| now);
    Out { drain: rebased(out.drain, now), announced: now, acknowledged, ..out }
}
