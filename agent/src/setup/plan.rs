//! What an agent is to be told, and what it takes beside.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::config;

/// All that an agent for one server needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// What the agent is called: its file, its unit's instance, `drainctl -n`.
    pub name: String,
    /// Where balancers ask.
    pub listen: SocketAddr,
    /// Where the server listens.
    pub ports: Vec<u16>,
    /// Where it can be asked on this host, by its first port.
    pub at: SocketAddr,
    /// The server's unit.
    pub unit: String,
    /// The page that says that it is ready; `None`: a connection.
    pub ready: Option<String>,
    /// The group that may drain; `None`: only root.
    pub group: Option<String>,
}

impl Plan {
    /// Where its configuration belongs.
    pub fn path(&self) -> PathBuf {
        Path::new(config::DIRECTORY).join(format!("{}.toml", self.name))
    }

    /// Where it is asked and told.
    pub fn control_socket(&self) -> PathBuf {
        config::socket_of(&self.name)
    }

    /// The unit of the agent `name`.
    pub fn service_of(name: &str) -> String {
        format!("drain-agent@{name}.service")
    }

    /// The unit that holds the health port of the agent `name`.
    pub fn socket_of(name: &str) -> String {
        format!("drain-agent@{name}.socket")
    }

    /// Its unit.
    pub fn agent_unit(&self) -> String {
        Self::service_of(&self.name)
    }

    /// The unit that holds its health port.
    pub fn socket_unit(&self) -> String {
        Self::socket_of(&self.name)
    }

    /// Where the port of that unit is written.
    pub fn drop_in_path(&self) -> PathBuf {
        Path::new("/etc/systemd/system").join(format!("{}.d", self.socket_unit())).join("port.conf")
    }

    /// The drop-in with the port.
    pub fn drop_in(&self) -> String {
        format!(
            "# Written by `drainctl setup`: the same as `listen` in {}.\n[Socket]\nListenStream=\nListenStream={}\n",
            self.path().display(),
            self.listen
        )
    }

    /// The configuration.
    pub fn toml(&self) -> String {
        let Self { listen, ports, unit, at, .. } = self;
        let mut text = format!(
            "# Written by `drainctl setup`. /usr/share/doc/drain-agent/examples/apache2.toml has every key with its \
             default;\n# `drain-agent check FILE` says what is wrong.\n\
             # Where the balancers ask: 200 is up, 404 soft drain, 500 hard drain.\n\
             listen = \"{listen}\"\n\n[server]\nports = {ports:?}\n"
        );
        // Written to a string, which can't fail.
        let _ = match &self.ready {
            Some(url) => writeln!(
                text,
                "# 2xx only when the server can serve users: the restart is over then.\nready = {{ url = {url:?} }}"
            ),
            None => writeln!(
                text,
                "# A page that answers 2xx when it can serve users is better than a connection: {{ url = \"http://{at}/health\" }}\n\
                 ready = {{ tcp = \"{at}\" }}",
            ),
        };
        let _ = write!(text, "\n[restart]\nunit = {unit:?}\n");
        if let Some(group) = &self.group {
            let _ = write!(
                text,
                "\n[control]\n# Its members may drain and restart; others may only look.\ngroup = {group:?}\n"
            );
        }
        text
    }

    /// What the backend's part of haproxy.cfg needs; `host` is how balancers reach this one.
    pub fn haproxy(&self, host: &str) -> String {
        let port = self.at.port();
        format!(
            "    option httpchk\n    \
                 http-check disable-on-404\n    \
                 http-check send-state\n    \
                 option redispatch\n    \
                 timeout check 2s\n    \
                 default-server inter 500 fastinter 100 fall 2 rise 2\n    \
                 server {host} {host}:{port} check port {health}\n",
            health = self.listen.port(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{By, Config, Probe};

    fn plan() -> Plan {
        Plan {
            name: "apache2".to_owned(),
            listen: "0.0.0.0:8404".parse().unwrap(),
            ports: vec![80, 443],
            at: "127.0.0.1:80".parse().unwrap(),
            unit: "apache2.service".to_owned(),
            ready: Some("http://127.0.0.1:80/health".to_owned()),
            group: Some("www-data".to_owned()),
        }
    }

    fn read(plan: &Plan) -> Config {
        let text = plan.toml();
        Config::parse("written", &text, Some(&plan.name)).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    #[test]
    fn what_is_written_is_a_valid_configuration_and_says_what_was_planned() {
        let config = read(&plan());
        assert_eq!(config.listen, [plan().listen]);
        assert_eq!(config.server.ports.iter().map(|port| port.get()).collect::<Vec<_>>(), [80, 443]);
        assert!(matches!(&config.server.ready.probe, Probe::Http { url, .. } if url.path() == "/health"));
        assert_eq!(config.control.group.as_deref(), Some("www-data"));
        assert!(matches!(&config.restart.by, By::Unit { unit, .. } if **unit == *"apache2.service"));
    }

    #[test]
    fn the_socket_unit_holds_the_port_of_the_configuration() {
        let plan = Plan { listen: "[::]:9000".parse().unwrap(), ..plan() };
        assert!(
            plan.drop_in().ends_with("\n[Socket]\nListenStream=\nListenStream=[::]:9000\n"),
            "{}",
            plan.drop_in()
        );
        let path = plan.drop_in_path();
        assert_eq!(path, Path::new("/etc/systemd/system/drain-agent@apache2.socket.d/port.conf"));
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let at = "10.0.0.11:80".parse().unwrap();
        let config = read(&Plan { ready: None, group: None, at, ..plan() });
        assert_eq!(config.server.ready.probe, Probe::Tcp(at), "asked where it listens");
        assert_eq!(config.control.group, None);
    }

    #[test]
    fn the_lines_for_haproxy_are_what_the_doctor_wants() {
        use std::time::Duration;

        use crate::doctor::{
            Level,
            haproxy::{Wanted, examine},
        };

        let lines = format!("backend shop\n{}", plan().haproxy("web1"));
        let wanted = Wanted {
            health_ports: &[8404],
            spoken_ports: &[],
            server_ports: &[80, 443],
            names: &["shop/web1".to_owned()],
            acknowledge: Duration::from_mins(1),
        };
        let found = examine(&[("haproxy.cfg".to_owned(), lines.clone())], &wanted);
        let bad: Vec<_> = found.iter().filter(|finding| finding.level != Level::Ok).collect();
        assert!(bad.is_empty(), "{bad:#?}\n{lines}");
    }
}
