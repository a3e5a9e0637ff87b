//! A host with the real Apache of the distribution, guarded by our agent as the package installs it.

use std::{net::SocketAddr, process::Output};

use drain_agent::{
    control::api::{Outcome, Status},
    lifecycle::Phase,
};
use drain_tests::{Haproxy, PATIENCE, Place, Server, SystemdBox, client::Connection};

use crate::packages;

/// What the agent is called, and its unit is an instance of.
pub(crate) const AGENT: &str = "drain-agent@apache2.service";
/// The server's unit.
pub(crate) const APACHE: &str = "apache2.service";
/// A unit that no agent may touch.
pub(crate) const BYSTANDER: &str = "bystander.service";
/// Where the server listens, in the box's own network.
pub(crate) const SHOP: &str = "127.0.0.1:80";
/// Where the agent answers checks.
pub(crate) const HEALTH: &str = "127.0.0.1:8404";
/// Its control socket, inside.
const CONTROL: &str = "/run/drain-agent/apache2.sock";

/// The configuration: one line says what is restarted.
pub(crate) const CONFIG: &str = r#"
listen = "127.0.0.1:8404"
[server]
ports = [80]
ready = { url = "http://127.0.0.1/", interval = "200ms" }
[restart]
unit = "apache2.service"
[drain]
acknowledge = { limit = "5m" }
soft = { quiet = "1s", limit = "20s" }
hard = { limit = "2m" }
min_remaining = 0
"#;

/// One host.
pub(crate) struct Host {
    pub(crate) machine: SystemdBox,
}

impl Host {
    /// A box with the agent's package, of which nothing is started; `None` where no box can be booted.
    pub(crate) fn bare(place: &Place) -> Option<Self> {
        let machine = SystemdBox::on(place)?;
        packages::unpack(&machine, "drain-agent");
        Some(Self { machine })
    }

    /// Starts a unit that is no agent's business, and that root can restart; gives its run.
    pub(crate) fn bystander(&self) -> String {
        let file = format!("/etc/systemd/system/{BYSTANDER}");
        self.machine.write(&file, "[Service]\nExecStart=/bin/sleep infinity\n");
        self.machine.sh(&format!("systemctl daemon-reload && systemctl start {BYSTANDER}"));
        let run = self.machine.property(BYSTANDER, "InvocationID");
        self.machine.sh(&format!("systemctl restart {BYSTANDER}"));
        let now = self.machine.property(BYSTANDER, "InvocationID");
        assert_ne!(now, run, "root restarts it");
        now
    }

    /// Gives the agents root, as the drop-in that is shipped beside the units does.
    pub(crate) fn give_root(&self) {
        let text = include_str!("../../../systemd/drop-ins/root.conf");
        self.machine.write("/etc/systemd/system/drain-agent@.service.d/root.conf", text);
        self.machine.sh("systemctl daemon-reload");
    }

    /// The same with a running Apache and a running agent, whose configuration has `more` lines.
    pub(crate) fn guarded(place: &Place, more: &str) -> Option<Self> {
        let host = Self::bare(place)?;
        host.machine.write("/etc/drain-agent/apache2.toml", &format!("{CONFIG}{more}"));
        host.machine.sh(&format!("systemctl start {APACHE} {AGENT}"));
        host.wait_until("up", |status| status.phase == Phase::Up);
        Some(host)
    }

    /// A balancer in front of it and of another server, which never goes; it has seen that both are up.
    pub(crate) fn balancer(&self, set: impl FnOnce(Haproxy) -> Haproxy) -> Haproxy {
        self.machine.sh(
            "systemd-run -q --unit other --working-directory=/var/www/html python3 -m http.server 81 --bind 127.0.0.1",
        );
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let first = Server::new("s1", address(SHOP)).checked_at(address(HEALTH));
        let second = Server::new("s2", address("127.0.0.1:81")).unchecked();
        let balancer =
            set(Haproxy::new(self.machine.place(), "lb").server(first).server(second)).start_unchecked();
        balancer.wait_for_status("s1", "UP", PATIENCE);
        balancer
    }

    /// The agent's status.
    pub(crate) fn status(&self) -> Result<Status, String> {
        let socket = self.machine.outside(CONTROL);
        let mut connection = Connection::open_unix(&socket).map_err(|e| e.to_string())?;
        let answer = connection.fetch("GET", "/v1/status", &["Connection: close"], b"");
        let answer = answer.map_err(|e| e.to_string())?;
        serde_json::from_slice(&answer.body).map_err(|e| e.to_string())
    }

    /// Waits until the agent's status is as wanted, and gives it.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, is: impl Fn(&Status) -> bool) -> Status {
        self.machine.wait_for(what, || {
            let status = self.status()?;
            if is(&status) { Ok(status) } else { Err(format!("{status:#?}")) }
        })
    }

    /// Waits for the end of a drain after the one with this id, and gives its outcome and what it says.
    #[track_caller]
    pub(crate) fn wait_for_end(&self, after: u64) -> (Outcome, String) {
        let ended = |status: &Status| {
            let drain = status.drains.last().filter(|drain| drain.id > after && status.asked.is_none())?;
            Some((drain.outcome, drain.text.clone()))
        };
        let status = self.wait_until("the drain's end", |status| ended(status).is_some());
        ended(&status).expect("what was waited for")
    }

    /// Runs drainctl inside, as root.
    pub(crate) fn ctl(&self, words: &str) -> Output {
        self.machine.try_sh(&format!("drainctl -n apache2 {words}"))
    }

    /// What systemd calls the server's present run.
    pub(crate) fn run(&self) -> String {
        self.machine.property(APACHE, "InvocationID")
    }
}
