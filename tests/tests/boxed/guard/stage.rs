//! A box with Debian's own Apache, an agent beside it and a guard on its unit.

use std::{
    io::Read as _,
    process::{Child, Command, Stdio},
    time::Duration,
};

use drain_tests::{Haproxy, Nginx, Place, Server, SystemdBox, place::holds};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::host::Host;

/// Where the agent answers, in the box's network.
pub(crate) const HEALTH: &str = "127.0.0.1:8404";

/// For a drain that ends only when it is told to: nobody is ever quiet for so long.
pub(crate) const NEVER_QUIET: &str = "hard = { quiet = \"10m\", limit = \"10m\" }";

/// For a drain that ends when nobody is left, however slow the machine is.
pub(crate) const PATIENT: &str = "acknowledge = { limit = \"10m\" }\nhard = { limit = \"10m\" }";

/// The box, and what is in it.
pub(crate) struct Stage {
    pub(crate) machine: SystemdBox,
}

impl Stage {
    /// Apache and its agent run, and are guarded; `drain` is what the configuration's `[drain]` says. Nothing where this
    /// machine can't boot a box.
    pub(crate) fn guarded(place: &Place, drain: &str) -> Option<Self> {
        let stage = Self::unguarded(place, drain)?;
        stage.machine.sh("drainctl guard apache2");
        stage.machine.wait_for_property("apache2-drain.service", "ActiveState", "active");
        Some(stage)
    }

    /// The same without the guard.
    pub(crate) fn unguarded(place: &Place, drain: &str) -> Option<Self> {
        let Host { machine } = Host::bare(place)?;
        machine.write(
            "/etc/drain-agent/apache2.toml",
            &format!(
                "listen = \"{HEALTH}\"\n[server]\nports = [80]\nready = {{ url = \"http://127.0.0.1/\" }}\n\
                 [restart]\nunit = \"apache2.service\"\n[drain]\n{drain}\n"
            ),
        );
        machine.sh("systemctl start apache2 drain-agent@apache2");
        let stage = Self { machine };
        stage.wait_for_phase("up");
        Some(stage)
    }

    /// What the agent says of itself.
    pub(crate) fn status(&self) -> Option<Value> {
        let out = self.machine.try_sh("drainctl --json status");
        out.status.success().then(|| serde_json::from_slice(&out.stdout).ok()).flatten()
    }

    pub(crate) fn wait_for_phase(&self, phase: &str) {
        self.machine.wait_for(&format!("the agent in {phase}"), || {
            let status = self.status();
            let is = status.as_ref().is_some_and(|status| status["phase"] == phase);
            holds(is, || status.map_or("no agent".to_owned(), |status| status.to_string()))
        });
    }

    /// Waits until the guard's journal has this text.
    pub(crate) fn wait_for_word(&self, text: &str) {
        self.machine.wait_for(&format!("{text:?} in the guard's journal"), || {
            let journal = self.machine.journal("apache2-drain.service");
            holds(journal.contains(text), || journal)
        });
    }

    /// Which start of the unit this is.
    pub(crate) fn invocation(&self) -> String {
        self.machine.property("apache2.service", "InvocationID")
    }
}

/// An HAProxy before the box's Apache and another server, and users who load both. Both run outside of the box, in its
/// network, and so outlive it.
pub(crate) struct Crowd {
    pub(crate) balancer: Haproxy,
    _other: Nginx,
    users: Child,
}

impl Crowd {
    pub(crate) fn before(stage: &Stage) -> Self {
        let place = stage.machine.place();
        let other = Nginx::new(place, "other").start();
        let of = |address: &str| address.parse().expect("an address");
        let balancer = Haproxy::new(place, "lb")
            .line("option redispatch")
            // An overloaded machine must not make a server look dead.
            .server(Server::new("web", of("127.0.0.1:80")).checked_at(of(HEALTH)))
            .server(Server::new("other", other.address()))
            .start();
        let url = format!("http://{}/", balancer.address());
        let mut users = place.command("ab");
        // Until it is told to end: so many requests that it never comes there. Both servers' pages differ in length.
        users.args(["-l", "-k", "-q", "-c", "2", "-n", "50000000", &url]);
        let users = users.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start ab");
        Self { balancer, _other: other, users }
    }

    /// Ends the load, and fails the test if any request did.
    pub(crate) fn assert_nobody_hurt(&mut self, place: &Place) {
        let pid = Pid::from_raw(self.users.id().cast_signed()).expect("a process's number is not 0");
        // It may have ended by itself, by an error that its output tells.
        let _ended = kill_process(pid, Signal::INT);
        let (mut said, mut errors) = (String::new(), String::new());
        self.users.stdout.take().expect("is piped").read_to_string(&mut said).expect("read what ab says");
        self.users.stderr.take().expect("is piped").read_to_string(&mut errors).expect("read ab's errors");
        let _ = self.users.wait();
        let number = |name: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().parse::<u64>().ok()
        };
        let (complete, failed) = (number("Complete requests:"), number("Failed requests:"));
        let is_well = complete.is_some_and(|complete| complete > 0)
            && failed == Some(0)
            && number("Non-2xx responses:").is_none();
        place.check(is_well, &format!("expected that no request fails:\n{said}{errors}"));
    }

    pub(crate) fn wait_for(&self, status: &str) {
        self.balancer.wait_for_status("web", status, Duration::from_mins(1));
    }
}

/// A command that a test does not wait for: it runs in the box until it ends by itself.
pub(crate) fn in_background(machine: &SystemdBox, text: &str) -> Child {
    let mut command: Command = machine.command("bash");
    command.args(["-c", text]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("start a command in the box")
}
