//! The agent is killed in each phase and started again: it carries on where it was, with one restart in all.

use drain_agent::{control::api::Outcome, lifecycle::Phase};
use drain_tests::{Agent, Haproxy, Load, PATIENCE, Place, load::Running, place::holds};
use rustix::process::Signal;

use crate::farm::{self, DRAINED_WITHIN, Farm};

/// A server with its balancer and users, whose agent is about to be killed.
struct Scene {
    load: Running,
    balancer: Haproxy,
    farm: Farm,
    place: Place,
}

impl Scene {
    fn new(name: &str, set: impl Fn(Agent) -> Agent) -> Self {
        let place = Place::new(name);
        let farm = Farm::new(&place, 2, set);
        let balancer = farm.behind_haproxy("lb", |lb| lb);
        let load = Load::on(balancer.address()).start();
        farm::let_run(&place, &load, 50);
        Self { load, balancer, farm, place }
    }

    /// Waits for this phase, kills the agent in it and starts it again: the first health check must be answered
    /// as the last one before, and it must be in one of these phases.
    #[track_caller]
    fn crash_in(&mut self, phase: Phase, then: &[Phase]) {
        let agent = &mut self.farm.agents[0];
        agent.wait_for_phase(phase, DRAINED_WITHIN);
        let before = agent.check().expect("an answer").status;
        agent.crash_and_start_again();
        let after = agent.check().expect("an answer").status;
        self.place.check(after == before, &format!("{before} before the crash, {after} after it"));
        agent.wait_until(&format!("one of {then:?}"), PATIENCE, |s| then.contains(&s.phase));
    }

    /// The drain ends well, after exactly one restart, and no user has noticed any of it.
    fn ends_well(self) {
        // The last one goes first: a balancer that outlived the agents would complain.
        let Self { place, farm, balancer, load } = self;
        let agent = &farm.agents[0];
        let status = agent.wait_until("up, with nothing asked", DRAINED_WITHIN, |s| {
            s.phase == Phase::Up && s.asked.is_none()
        });
        let restarts = farm.apaches[0].restarts();
        place.check(restarts.len() == 1, &format!("restarts: {restarts:?}\n{status:#?}"));
        let drain = status.drains.last().expect("a drain");
        assert_eq!(drain.outcome, Outcome::Done, "{drain:#?}");
        balancer.wait_for_status("s1", "UP", PATIENCE);
        farm::let_run(&place, &load, 50);
        load.finish().assert_nobody_hurt(&place, farm.orders());
    }
}

#[test]
fn killed_while_up_it_is_up_again() {
    let mut scene = Scene::new("killed_up", |agent| agent);
    scene.crash_in(Phase::Up, &[Phase::Up]);
    scene.balancer.wait_for_status("s1", "UP", PATIENCE);
    farm::let_run(&scene.place, &scene.load, 50);
    assert_eq!(scene.farm.apaches[0].restarts().len(), 0, "nobody asked for a restart");
    scene.load.finish().assert_nobody_hurt(&scene.place, scene.farm.orders());
}

#[test]
fn killed_in_soft_it_is_soft_again() {
    let mut scene = Scene::new("killed_soft", |agent| agent.soft("6s", "2m"));
    scene.farm.agents[0].signal(Signal::USR1);
    scene.crash_in(Phase::Soft, &[Phase::Soft]);
    scene.ends_well();
}

#[test]
fn killed_in_hard_it_is_hard_again() {
    let mut scene = Scene::new("killed_hard", |agent| agent.hard_quiet("6s"));
    scene.farm.agents[0].signal(Signal::USR2);
    scene.crash_in(Phase::Hard, &[Phase::Hard]);
    scene.ends_well();
}

/// It dies between its decision and the command's start, or just after: whichever, there is one restart.
#[test]
fn killed_as_the_restart_begins_it_restarts_once() {
    let mut scene = Scene::new("killed_beginning", |agent| agent);
    scene.farm.apaches[0].hold();
    scene.farm.agents[0].signal(Signal::USR2);
    scene.crash_in(Phase::Restarting, &[Phase::Restarting, Phase::Warming]);
    scene.farm.apaches[0].release();
    scene.ends_well();
}

/// The restart's command outlives the agent: it must neither be run again nor be taken for failed.
#[test]
fn killed_in_the_restart_it_does_not_restart_twice() {
    let mut scene = Scene::new("killed_restarting", |agent| agent);
    scene.farm.apaches[0].hold();
    scene.farm.agents[0].signal(Signal::USR2);
    let state = scene.farm.agents[0].state_file();
    scene.place.wait_for("the command's process in the state file", DRAINED_WITHIN, || {
        let text = std::fs::read_to_string(&state).unwrap_or_default();
        holds(text.contains(r#""command":{"pid""#), || text)
    });
    scene.crash_in(Phase::Restarting, &[Phase::Restarting, Phase::Warming]);
    scene.farm.apaches[0].release();
    scene.ends_well();
}

/// The command has ended, and the server that was to go is still there: so it looks as if nothing had happened.
#[test]
fn killed_between_the_command_and_its_proof_it_does_not_restart_twice() {
    let mut scene = Scene::new("killed_unproved", |agent| {
        let script = format!("echo restarted >>'{}'", agent.dir().join("restarts").display());
        agent.restarting_by(["/bin/sh", "-c", &script].map(str::to_owned).to_vec()).restart_timeout("20s")
    });
    scene.farm.agents[0].signal(Signal::USR2);
    let state = scene.farm.agents[0].state_file();
    scene.place.wait_for("the command's end in the state file", DRAINED_WITHIN, || {
        let text = std::fs::read_to_string(&state).unwrap_or_default();
        holds(text.contains(r#""has_ended":true"#), || text)
    });
    scene.crash_in(Phase::Restarting, &[Phase::Restarting, Phase::Failed]);
    scene.farm.agents[0].wait_for_phase(Phase::Failed, DRAINED_WITHIN);
    let restarts = std::fs::read_to_string(scene.farm.agents[0].dir().join("restarts")).unwrap_or_default();
    assert_eq!(restarts, "restarted\n", "it was restarted once");
    farm::let_run(&scene.place, &scene.load, 50);
    scene.load.finish().assert_nobody_hurt(&scene.place, scene.farm.orders());
}

#[test]
fn killed_while_the_server_warms_it_waits_for_readiness() {
    let mut scene = Scene::new("killed_warming", |agent| agent.ready_deadline("60s"));
    scene.farm.apaches[0].restart_unready();
    scene.farm.agents[0].signal(Signal::USR2);
    scene.crash_in(Phase::Warming, &[Phase::Warming]);
    scene.farm.apaches[0].show_health();
    scene.ends_well();
}

#[test]
fn killed_after_a_failed_restart_it_stays_out() {
    let mut scene = Scene::new("killed_failed", |agent| agent);
    scene.farm.apaches[0].break_restarts("no\n");
    scene.farm.agents[0].signal(Signal::USR2);
    scene.crash_in(Phase::Failed, &[Phase::Failed]);
    assert_eq!(scene.farm.agents[0].check().expect("an answer").status, 500);
    farm::let_run(&scene.place, &scene.load, 50);
    scene.load.finish().assert_nobody_hurt(&scene.place, scene.farm.orders());
}
