//! The health port: one that nobody else on this host has or is to have.

use std::{net::SocketAddr, path::Path, time::Duration};

use drain_agent::{
    config::{Config, DIRECTORY},
    setup::{Candidate, Plan},
};

use crate::{guard::systemd::systemctl, verdict::Fault};

/// Where balancers ask unless something else is said.
const USUAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 8404);

/// So many ports are tried from the usual one on: as many agents as one host may have.
const TRIED: u16 = 100;

/// How long systemctl may take to list sockets.
const SYSTEMCTL: Duration = Duration::from_secs(30);

/// An address that is somebody's.
#[derive(Debug)]
pub(super) struct Claim {
    at: SocketAddr,
    /// Whose, for people.
    by: String,
}

impl Claim {
    /// Whether nobody else can listen at `address`.
    fn excludes(&self, address: SocketAddr) -> bool {
        let (ours, theirs) = (address.ip(), self.at.ip());
        address.port() == self.at.port()
            && (ours == theirs || ours.is_unspecified() || theirs.is_unspecified())
    }
}

/// What others on this host have, and what is configured for other agents, who may not run at the moment; `name` is the
/// agent that is set up.
pub(super) async fn claims(name: &str, servers: &[Candidate]) -> Vec<Claim> {
    let (own, own_socket) = (Plan::service_of(name), Plan::socket_of(name));
    let mut claims = Vec::new();
    for server in servers.iter().filter(|server| server.unit.as_deref() != Some(&own)) {
        let by = server.unit.as_ref().unwrap_or(&server.program);
        claims.extend(server.listens.iter().map(|at| Claim { at: *at, by: by.clone() }));
    }
    // Without systemd there is nobody who holds a port for somebody else.
    let sockets = systemctl(&["list-sockets", "--no-legend", "--full"], SYSTEMCTL).await.unwrap_or_default();
    claims.extend(held(&sockets).filter(|claim| claim.by != own_socket));
    claims.extend(configured(Path::new(DIRECTORY), name));
    claims
}

/// What systemd's list says: `ADDRESS UNIT ACTIVATES`.
fn held(list: &str) -> impl Iterator<Item = Claim> {
    list.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        Some(Claim { at: fields.next()?.parse().ok()?, by: fields.next()?.to_owned() })
    })
}

/// Where other agents are to listen, for whatever it is.
fn configured(directory: &Path, name: &str) -> Vec<Claim> {
    let others =
        Config::all_in(directory).filter(|(file, _)| file.file_stem().is_some_and(|stem| stem != name));
    let claims = others.flat_map(|(file, config)| {
        let claim = |at| Claim { at, by: file.display().to_string() };
        config.listens().chain(config.control.listen()).map(claim).collect::<Vec<_>>()
    });
    claims.collect()
}

/// The port that was wished for, or the first that is free from the usual one on.
pub(super) fn choose(wish: Option<SocketAddr>, claims: &[Claim]) -> Result<SocketAddr, Fault> {
    let whose = |address: SocketAddr| claims.iter().find(|claim| claim.excludes(address));
    let free = |ip| {
        let ports = (USUAL.port()..).take(usize::from(TRIED));
        ports.map(move |port| SocketAddr::new(ip, port)).find(|address| whose(*address).is_none())
    };
    match wish {
        None => free(USUAL.ip()).ok_or_else(|| {
            Fault::Usage(format!(
                "{TRIED} ports from {} on are somebody's; name one with --listen",
                USUAL.port()
            ))
        }),
        Some(wish) => match whose(wish) {
            None => Ok(wish),
            Some(Claim { at, by }) => {
                let other = free(wish.ip()).map(|free| format!(" {free} is free.")).unwrap_or_default();
                Err(Fault::Usage(format!(
                    "{at} belongs to {by} already; give the agent another port with --listen.{other}"
                )))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn claim(at: &str) -> Claim {
        Claim { at: at.parse().unwrap(), by: "drain-agent@apache2.socket".to_owned() }
    }

    #[test]
    fn a_second_agent_gets_a_port_of_its_own() {
        assert_eq!(choose(None, &[]).unwrap(), USUAL);
        let claims = [claim("0.0.0.0:80"), claim("10.0.0.11:8404"), claim("[::]:8405")];
        assert_eq!(choose(None, &claims).unwrap(), "0.0.0.0:8406".parse().unwrap());
        let loopback = "127.0.0.1:8404".parse().unwrap();
        assert_eq!(choose(Some(loopback), &claims).unwrap(), loopback, "of another address");
    }

    #[test]
    fn a_port_that_is_somebodys_is_refused_and_a_free_one_told() {
        let error = choose(Some(USUAL), &[claim("127.0.0.1:8404")]).unwrap_err().to_string();
        assert!(error.contains("belongs to drain-agent@apache2.socket"), "{error}");
        assert!(error.contains("0.0.0.0:8405 is free"), "{error}");
    }

    #[test]
    fn systemds_list_of_sockets_is_read() {
        let list = "/run/dbus/system_bus_socket dbus.socket dbus.service\n\
                    0.0.0.0:8404 drain-agent@apache2.socket drain-agent@apache2.service\n\
                    [::]:22 ssh.socket ssh.service\n";
        let held: Vec<_> = held(list).map(|claim| (claim.at.port(), claim.by)).collect();
        let expected = [(8404, "drain-agent@apache2.socket"), (22, "ssh.socket")]
            .map(|(port, by)| (port, by.to_owned()));
        assert_eq!(held, expected);
    }

    #[test]
    fn what_other_agents_are_told_counts_whether_they_run_or_not() {
        let directory = std::env::temp_dir().join(format!("drainctl-port-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let config = "listen = \"0.0.0.0:8404\"\n[server]\nports = [80]\n[restart]\nunit = \"a.service\"\n\
                      [agent_check]\nlisten = \"0.0.0.0:8405\"\n[metrics]\nlisten = \"127.0.0.1:9404\"\n";
        fs::write(directory.join("a.toml"), config).unwrap();
        fs::write(directory.join("b.toml"), "no configuration").unwrap();
        let of = |name| configured(&directory, name).iter().map(|claim| claim.at.port()).collect::<Vec<_>>();
        assert_eq!((of("a"), of("c")), (Vec::new(), vec![8404, 8405, 9404]));
        fs::remove_dir_all(&directory).unwrap();
    }
}
