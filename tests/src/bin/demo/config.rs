//! The configuration files of the agents and the proxy, as the demo writes them.

use std::{fmt::Write as _, path::Path};

use crate::ledger::ShopId;

/// How patient the agents are. Everybody thinks less long than `soft_quiet` and longer, now and then, than
/// `hard_quiet`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Patience {
    /// Seconds without a request after which a soft drain goes on. The proxy forgets its users after as long.
    pub(crate) soft_quiet: u64,
    /// Seconds that a soft drain may last.
    pub(crate) soft_limit: u64,
    /// Seconds without a request after which a hard drain goes on.
    pub(crate) hard_quiet: u64,
}

/// For simulated shoppers.
pub(crate) const BRISK: Patience = Patience { soft_quiet: 5, soft_limit: 25, hard_quiet: 2 };
/// For people with a browser.
pub(crate) const HUMAN: Patience = Patience { soft_quiet: 20, soft_limit: 300, hard_quiet: 3 };

/// One shop as agents and the proxy see it.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) shop: ShopId,
    /// Where the shop listens.
    pub(crate) port: u16,
    /// Where its agent answers checks; `None` in the play without agents.
    pub(crate) agent_port: Option<u16>,
}

/// One agent's file; `command` restarts the shop.
pub(crate) fn agent(
    seat: &Seat,
    agent_port: u16,
    command: &[String],
    dir: &Path,
    patience: Patience,
) -> String {
    let name = seat.shop.name();
    let port = seat.port;
    let dir = dir.display();
    let Patience { soft_quiet, soft_limit, hard_quiet } = patience;
    format!(
        r#"listen = "127.0.0.1:{agent_port}"
state  = "{dir}/{name}.state.json"

[server]
name  = "{name}"
ports = [{port}]
ready = {{ url = "http://127.0.0.1:{port}/health", rise = 2, fall = 3, interval = "200ms", timeout = "2s", deadline = "20s" }}

[restart]
command = {command:?}
timeout = "10s"

[drain]
acknowledge = {{ limit = "15s", at_limit = "abort" }}
soft = {{ quiet = "{soft_quiet}s", limit = "{soft_limit}s" }}
hard = {{ quiet = "{hard_quiet}s", limit = "10s", at_limit = "restart" }}

[control]
socket = "{dir}/{name}.sock"
"#
    )
}

/// The proxy's file.
pub(crate) fn proxy(seats: &[Seat], port: u16, dir: &Path, patience: Patience) -> String {
    let dir = dir.display();
    let users_window = patience.soft_quiet;
    let mut text = format!(
        r#"[frontend.street]
bind = ["127.0.0.1:{port}"]
backend = "shops"
log = {{ format = "http", target = "{dir}/access.log" }}

[backend.shops]
balance = "roundrobin"
cookie  = {{ name = "SERVERID", mode = "insert", indirect = true, count_users = true }}
check   = {{ method = "GET", uri = "/health", soft_drain_on = 404, inter = "500ms", fastinter = "100ms", fall = 2, rise = 2 }}
users_window = "{users_window}s"
retries = 3
redispatch = true
timeout = {{ connect = "2s", server = "30s", queue = "5s", check = "1s" }}
"#
    );
    for Seat { shop, port, agent_port } in seats {
        let name = shop.name();
        let _ = write!(
            text,
            "\n[[backend.shops.server]]\nname = \"{name}\"\naddress = \"127.0.0.1:{port}\"\ncookie = \"s{}\"\n",
            shop.number()
        );
        if let Some(agent_port) = agent_port {
            let _ = writeln!(text, "check = {{ address = \"127.0.0.1:{agent_port}\" }}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::shopper::LONGEST_THOUGHT;

    fn seats(agent_port: Option<u16>) -> Vec<Seat> {
        ShopId::all().map(|shop| Seat { shop, port: 8000 + u16::from(shop.number()), agent_port }).to_vec()
    }

    #[test]
    fn a_soft_drain_waits_for_the_longest_thought_and_a_hard_one_would_not() {
        assert!(Duration::from_secs(BRISK.soft_quiet) > LONGEST_THOUGHT);
        assert!(Duration::from_secs(BRISK.hard_quiet) < LONGEST_THOUGHT);
    }

    #[test]
    fn checks_go_to_the_agents_where_there_are_any() {
        let dir = Path::new("/tmp/x");
        assert_eq!(proxy(&seats(Some(9000)), 80, dir, BRISK).matches("127.0.0.1:9000").count(), 3);
        assert!(!proxy(&seats(None), 80, dir, BRISK).contains("check = { address"));
    }

    #[test]
    fn the_restart_command_is_a_list_of_quoted_words() {
        let command = ["/a b/demo".to_owned(), "reopen".to_owned()];
        let text = agent(&seats(None)[0], 9000, &command, Path::new("/tmp/x"), BRISK);
        assert!(text.contains(r#"command = ["/a b/demo", "reopen"]"#), "{text}");
    }
}
