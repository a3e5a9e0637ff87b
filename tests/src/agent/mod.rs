//! Our agent, as a process of its own beside a server.

mod settings;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::Duration,
};

use drain_agent::{
    control::api::{Drain, Outcome, Status},
    lifecycle::Phase,
};
use rustix::process::Signal;

use self::settings::Settings;
use crate::{
    PATIENCE,
    apache::{self, Apache},
    child::{Child, output},
    client::{Connection, Response},
    place::{self, Place, holds},
    port,
};

/// One agent. When dropped it is stopped; the test fails if it had died or logged an error.
#[derive(Debug)]
pub struct Agent {
    /// First, because it must have ended when the place goes.
    child: Option<Child>,
    place: Place,
    name: String,
    dir: PathBuf,
    listen: SocketAddr,
    socket: PathBuf,
    settings: Settings,
}

impl Agent {
    /// An agent beside this Apache, not yet running. Its times are short: a soft drain needs a second of
    /// quiet, a hard one what the balancers' headers show.
    pub fn beside(apache: &Apache) -> Self {
        let restart = vec![apache.restart_command().display().to_string()];
        let pid = apache.restart_command().with_file_name("httpd.pid");
        let stop = format!("kill $(cat {})", pid.display());
        let ready = format!("http://{}{}", apache.address(), apache::HEALTH);
        let mut agent =
            Self::guarding(apache.place(), &format!("agent-{}", apache.name()), apache.address().port())
                .restarting_by(restart)
                .ready_at(Some(ready));
        agent.settings.stop = Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), stop]);
        agent
    }

    /// An agent for whatever listens on this port, which can't restart it and knows it by its port.
    pub fn guarding(place: &Place, name: &str, port: u16) -> Self {
        Self::guarding_doors(place, name, format!("ports = [{port}]"))
    }

    /// An agent for a server that listens as these lines of `[server]` say.
    pub fn guarding_doors(place: &Place, name: &str, doors: String) -> Self {
        Self {
            place: place.clone(),
            name: name.to_owned(),
            dir: place.subdir(name),
            listen: port::free(),
            socket: place.public().join(format!("{name}.sock")),
            settings: Settings::of(doors),
            child: None,
        }
    }

    /// Starts it and waits until it answers checks and its control socket.
    #[must_use]
    pub fn start(mut self) -> Self {
        self.start_again();
        self
    }

    /// Starts it again after a crash, with the state that it left.
    pub fn start_again(&mut self) {
        let config = self.dir.join("agent.toml");
        fs::write(&config, self.config()).expect("write the agent's configuration");
        let mut command = self.place.command(place::built("drain-agent"));
        command.arg("--config").arg(&config);
        self.child = Some(Child::start(&self.place, &self.dir, "agent", command, is_error));
        self.place.wait_for(&format!("{} to be there", self.name), PATIENCE, || {
            self.try_status()?;
            self.check().map(drop)
        });
    }

    /// Its process.
    pub fn child(&mut self) -> &mut Child {
        self.child.as_mut().expect("this agent was started")
    }

    /// Asks for a drain and a restart as people do: SIGUSR1 (soft), SIGUSR2 (hard).
    pub fn signal(&self, signal: Signal) {
        self.child.as_ref().expect("this agent was started").signal(signal);
    }

    /// Kills it, as a crash would, and starts it again.
    pub fn crash_and_start_again(&mut self) {
        self.child().crash();
        self.child = None;
        self.start_again();
    }

    /// Where it answers health checks.
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// Asks for the server's health as a person with curl would: a visitor, no balancer.
    pub fn check(&self) -> Result<Response, String> {
        let mut connection = Connection::open(self.listen).map_err(|e| e.to_string())?;
        connection.fetch("GET", "/", &[], b"").map_err(|e| e.to_string())
    }

    /// The status on its control socket.
    #[track_caller]
    pub fn status(&self) -> Status {
        self.try_status().unwrap_or_else(|e| self.place.fail(&format!("{}: {e}", self.name)))
    }

    /// The status, or why there is none.
    pub fn try_status(&self) -> Result<Status, String> {
        let mut connection = Connection::open_unix(&self.socket).map_err(|e| e.to_string())?;
        let answer = connection.fetch("GET", "/v1/status", &["Connection: close"], b"");
        let answer = answer.map_err(|e| e.to_string())?;
        serde_json::from_slice(&answer.body)
            .map_err(|e| format!("{e} in {}", String::from_utf8_lossy(&answer.body)))
    }

    /// Where its server stands.
    #[track_caller]
    pub fn phase(&self) -> Phase {
        self.status().phase
    }

    /// Waits until its status is as wanted, and gives it.
    #[track_caller]
    pub fn wait_until(&self, what: &str, within: Duration, is: impl Fn(&Status) -> bool) -> Status {
        self.place.wait_for(&format!("{}: {what}", self.name), within, || {
            let status = self.try_status()?;
            if is(&status) { Ok(status) } else { Err(format!("{status:#?}")) }
        })
    }

    /// Waits until its server stands there.
    #[track_caller]
    pub fn wait_for_phase(&self, phase: Phase, within: Duration) -> Status {
        self.wait_until(&format!("{phase:?}"), within, |status| status.phase == phase)
    }

    /// Waits until so many balancers have been recognised.
    #[track_caller]
    pub fn wait_for_balancers(&self, count: usize, within: Duration) {
        self.wait_until(&format!("{count} balancers"), within, |s| s.balancers.len() == count);
    }

    /// The id of the last drain that has ended; 0 where none has.
    #[track_caller]
    pub fn last_ended(&self) -> u64 {
        self.status().drains.last().map_or(0, |drain| drain.id)
    }

    /// Waits until a drain with a higher id than `after` has ended and none is under way, and gives it.
    #[track_caller]
    pub fn wait_for_end(&self, after: u64, within: Duration) -> Drain {
        let ended = |s: &Status| s.drains.last().filter(|drain| drain.id > after).cloned();
        let status = self.wait_until("a drain's end", within, |s| s.asked.is_none() && ended(s).is_some());
        ended(&status).expect("what was waited for")
    }

    /// Waits for the end of a drain as [`wait_for_end`](Self::wait_for_end), which must be a success.
    #[track_caller]
    pub fn wait_for_success(&self, after: u64, within: Duration) {
        let drain = self.wait_for_end(after, within);
        self.place
            .check(drain.outcome == Outcome::Done, &format!("{} did not succeed: {drain:#?}", self.name));
    }

    /// Runs `drainctl` against it, to its end.
    pub fn ctl(&self, words: &[&str]) -> Output {
        output(self.ctl_command(words))
    }

    /// `drainctl` against it, not yet running.
    pub fn ctl_command(&self, words: &[&str]) -> Command {
        let mut command = self.place.command(place::built("drainctl"));
        command.arg("--socket").arg(&self.socket).args(words);
        command
    }

    /// Starts `drainctl` against it, which goes on in a thread until it ends.
    pub fn ctl_in_background(&self, words: &[&str]) -> thread::JoinHandle<Output> {
        let command = self.ctl_command(words);
        thread::spawn(move || output(command))
    }

    /// The file that holds its drain.
    pub fn state_file(&self) -> PathBuf {
        self.dir.join("state.json")
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// Whether a line of the agent's log reports an error. That a drain has failed is what its test looks at itself.
fn is_error(line: &str) -> bool {
    (line.contains(" ERROR ") && !line.contains("the drain has ended:")) || line.contains("panicked at")
}

/// Whether the agent's log has a line with this text: what people would look for.
pub fn logged(agent: &mut Agent, text: &str) -> Result<(), String> {
    let log = agent.child().log_text();
    holds(log.contains(text), || format!("no {text:?} in its log"))
}
