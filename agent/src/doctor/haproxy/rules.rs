//! What is looked for in the backends that matter.

use std::{collections::BTreeSet, time::Duration};

use super::{
    super::Finding,
    ABOUT,
    backend::Backend,
    file::{Kind, lineage, sections},
    server_line::Server,
};

/// What is known of the agent for which the file is read.
#[derive(Clone, PartialEq, Debug)]
pub struct Wanted<'a> {
    /// The ports on which health checks are answered.
    pub health_ports: &'a [u16],
    /// The ports on which HAProxy's agent protocol is spoken.
    pub spoken_ports: &'a [u16],
    /// The server's own.
    pub server_ports: &'a [u16],
    /// What balancers call this server, where they have asked: `BACKEND/SERVER`.
    pub names: &'a [String],
    /// How long balancers have to acknowledge.
    pub acknowledge: Duration,
}

/// What in `text` would spoil a drain; `file` is what places are called by.
pub fn examine(file: &str, text: &str, wanted: &Wanted<'_>) -> Vec<Finding> {
    let sections = sections(text);
    let mut findings = Vec::new();
    let backends = sections.iter().enumerate().filter(|(_, section)| section.kind == Kind::Backend);
    let backends = backends.map(|(index, section)| Backend::new(file, section, lineage(&sections, index)));
    let concerned = concerned(backends.collect(), wanted);
    let names: Vec<String> = concerned
        .iter()
        .flat_map(|(backend, servers)| servers.iter().map(|server| named(backend, &server.name)))
        .collect();
    for (backend, servers) in &concerned {
        let before = findings.len();
        // What checks by HTTP need says nothing of servers that are asked in other words, or elsewhere.
        let by_http =
            servers.iter().any(|server| server.tracks.is_none() && (server.check || !server.agent_check));
        findings.extend(backend.options(by_http));
        findings.extend(servers.iter().flat_map(|server| of_server(backend, server, wanted, &names)));
        if findings.len() == before {
            let section = backend.section;
            let text = format!("backend {} does what a drain needs", section.name);
            findings.push(Finding::ok(ABOUT, text).at(format!("{file}:{}", section.number)));
        }
    }
    if concerned.is_empty() {
        let ports = list(wanted.health_ports);
        findings.push(
            Finding::failure(
                ABOUT,
                format!(
                    "no server of this file is on port {}, or checked on port {ports}",
                    list(wanted.server_ports)
                ),
                format!("add `check port {ports}` to the server's line"),
            )
            .at(file.to_owned()),
        );
    }
    findings
}

/// The backends with the agent's servers. Another backend may lead users to the same server, under another name and
/// without a check: whatever has the address of one of them is it.
fn concerned<'a>(backends: Vec<Backend<'a>>, wanted: &Wanted<'_>) -> Vec<(Backend<'a>, Vec<Server>)> {
    let of = |backend: Backend<'a>| {
        let servers: Vec<Server> = backend.servers().collect();
        (backend, servers)
    };
    let mut all: Vec<_> = backends.into_iter().map(of).collect();
    let mut ours = BTreeSet::new();
    for (backend, servers) in &all {
        let concerned = servers.iter().filter(|server| wanted.concerns(&backend.section.name, server));
        ours.extend(concerned.map(|server| server.address.clone()));
    }
    for (_, servers) in &mut all {
        servers.retain(|server| ours.contains(&server.address));
    }
    all.retain(|(_, servers)| !servers.is_empty());
    all
}

/// `BACKEND/SERVER`, of a name that may lack the backend.
fn named(backend: &Backend<'_>, server: &str) -> String {
    if server.contains('/') { server.to_owned() } else { format!("{}/{server}", backend.section.name) }
}

impl Wanted<'_> {
    /// Whether a server may be the agent's: by the name that its balancer has told, by the port of its checks, or by
    /// its own.
    fn concerns(&self, backend: &str, server: &Server) -> bool {
        let name = format!("{backend}/{}", server.name);
        let asks_here = server.asks().is_some_and(|port| self.health_ports.contains(&port))
            || server.agent_port.is_some_and(|port| self.spoken_ports.contains(&port));
        let is_here =
            self.names.is_empty() && server.port.is_some_and(|port| self.server_ports.contains(&port));
        self.names.contains(&name) || asks_here || is_here
    }
}

/// What is said of one server; `ours` are all servers of which something is said.
fn of_server(backend: &Backend<'_>, server: &Server, wanted: &Wanted<'_>, ours: &[String]) -> Vec<Finding> {
    let name = format!("server {}/{}", backend.section.name, server.name);
    let here = || backend.place(server.number);
    let ports = list(wanted.health_ports);
    let mut findings = Vec::new();
    if let Some(line) = server.shuts_down {
        findings.push(
            Finding::failure(
                ABOUT,
                format!("{name} has its requests killed when it is marked down, which 500 does"),
                "take `on-marked-down shutdown-sessions` out",
            )
            .at(backend.place(line)),
        );
    }
    if let Some(tracked) = server.tracks.as_ref().map(|tracked| named(backend, tracked)) {
        if !ours.contains(&tracked) {
            findings.push(
                Finding::failure(
                    ABOUT,
                    format!("{name} goes and comes with {tracked}, which is another server"),
                    format!("add `check port {ports}` instead of `track`"),
                )
                .at(here()),
            );
        }
        return findings;
    }
    if !server.check && server.agent_check {
        findings.extend(agent_check(server, &name, wanted).map(|finding| finding.at(here())));
        return findings;
    }
    if !server.check {
        findings.push(
            Finding::failure(ABOUT, format!("{name} is not checked"), format!("add `check port {ports}`"))
                .at(here()),
        );
        return findings;
    }
    match server.asks() {
        Some(port) if !wanted.health_ports.contains(&port) => findings.push(
            Finding::failure(
                ABOUT,
                format!("{name} is checked on port {port}, and the agent answers on {ports}"),
                format!("write `check port {ports}`"),
            )
            .at(here()),
        ),
        _ => {}
    }
    if server.checks_by_h2() {
        findings.push(
            Finding::failure(
                ABOUT,
                format!("{name} is checked over HTTP/2, which the agent does not speak"),
                "add `check-proto h1`",
            )
            .at(here()),
        );
    }
    let within = server.acknowledges_within();
    if within >= wanted.acknowledge {
        findings.push(
            Finding::failure(
                ABOUT,
                format!(
                    "{name} takes {within:?} to be taken out, and a drain is withdrawn after {:?}",
                    wanted.acknowledge
                ),
                "check more often (`inter 500 fastinter 100`), or give drain.acknowledge.limit more",
            )
            .at(here()),
        );
    }
    findings
}

/// What is said of a server that is asked by `agent-check` alone.
fn agent_check(server: &Server, name: &str, wanted: &Wanted<'_>) -> Option<Finding> {
    let ports = list(wanted.spoken_ports);
    if wanted.spoken_ports.is_empty() {
        return Some(Finding::failure(
            ABOUT,
            format!("{name} is asked by `agent-check` alone, which the agent does not speak"),
            "set agent_check.listen, or add `check port` and the agent's port",
        ));
    }
    if !server.agent_port.is_some_and(|port| wanted.spoken_ports.contains(&port)) {
        let found = server.agent_port.map_or_else(|| "no port".to_owned(), |port| format!("port {port}"));
        return Some(Finding::failure(
            ABOUT,
            format!("{name} has its agent-check on {found}, and the agent speaks on {ports}"),
            format!("write `agent-check agent-port {ports}`"),
        ));
    }
    let within = server.is_told_within();
    (within >= wanted.acknowledge).then(|| {
        Finding::failure(
            ABOUT,
            format!(
                "{name} is asked every {within:?}, and a drain is withdrawn after {:?}",
                wanted.acknowledge
            ),
            "ask more often (`agent-inter 1s`), or give drain.acknowledge.limit more",
        )
    })
}

fn list(ports: &[u16]) -> String {
    ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::{super::super::Level, *};

    const GOOD: &str = "\
defaults
    mode http
    option redispatch
    timeout check 2s
backend shop
    option httpchk
    http-check disable-on-404
    http-check send-state
    default-server inter 500 fastinter 100 fall 2 rise 2
    server web1 10.0.0.11:80 cookie w1 check port 8404
    server web2 10.0.0.12:80 cookie w2 check port 8404
";

    fn wanted() -> Wanted<'static> {
        let acknowledge = Duration::from_mins(1);
        Wanted { health_ports: &[8404], spoken_ports: &[8405], server_ports: &[80], names: &[], acknowledge }
    }

    /// Level and place of everything but what is well.
    fn bad(text: &str) -> Vec<(Level, String)> {
        let findings = examine("h.cfg", text, &wanted()).into_iter();
        let bad = findings.filter(|finding| finding.level != Level::Ok);
        bad.map(|finding| {
            assert!(finding.cure.is_some(), "{finding:?}");
            (finding.level, finding.place.unwrap())
        })
        .collect()
    }

    #[test]
    fn the_readmes_backend_is_well() {
        let findings = examine("h.cfg", GOOD, &wanted());
        assert_eq!((findings.len(), findings[0].level), (1, Level::Ok), "{findings:?}");
        assert_eq!(findings[0].place.as_deref(), Some("h.cfg:5"));
    }

    #[test]
    fn each_thing_that_spoils_a_drain_is_found_in_its_line() {
        let with = |line: &str| format!("{GOOD}    {line}\n");
        let without = |words: &str| GOOD.replace(words, "");
        let failure = |line: usize| vec![(Level::Failure, format!("h.cfg:{line}"))];
        let warning = |line: usize| vec![(Level::Warning, format!("h.cfg:{line}"))];
        assert_eq!(bad(&with("option persist")), failure(12));
        assert_eq!(bad(&without("http-check disable-on-404")), failure(5));
        assert_eq!(bad(&without("option httpchk")), failure(5));
        assert_eq!(bad(&without("http-check send-state")), warning(5));
        assert_eq!(bad(&without("option redispatch")), warning(5));
        assert_eq!(bad(&without("timeout check 2s")), warning(5));
        assert_eq!(bad(&GOOD.replace("check 2s", "check 100ms")), warning(4));
        assert_eq!(bad(&with("force-persist if { src 10.0.0.0/8 }")), warning(12));
        assert_eq!(bad(&GOOD.replace("cookie w1 check port 8404", "cookie w1 check")), failure(10));
        assert_eq!(bad(&GOOD.replace("cookie w1 check port 8404", "cookie w1")), failure(10));
        assert_eq!(bad(&GOOD.replace("inter 500 fastinter 100", "inter 30s")).len(), 2, "both servers");
        assert_eq!(bad(&GOOD.replace("cookie w1", "proto h2")), failure(10));
        assert_eq!(bad(&GOOD.replace("cookie w1", "proto h2 check-proto h1")), []);
        let shuts = GOOD.replace("rise 2", "on-marked-down shutdown-sessions");
        assert_eq!(bad(&shuts), [failure(9), failure(9)].concat());
    }

    #[test]
    fn a_server_with_an_agent_check_alone_needs_no_other() {
        let text = "backend shop\n option redispatch\n server web1 10.0.0.11:80 agent-check agent-port 8405 agent-inter 1s\n";
        assert_eq!(bad(text), []);
        let failure = [(Level::Failure, "h.cfg:3".to_owned())];
        assert_eq!(bad(&text.replace("8405", "8406")), failure, "another port");
        assert_eq!(bad(&text.replace("agent-inter 1s", "agent-inter 2m")), failure, "too rarely");
        let silent = Wanted { spoken_ports: &[], ..wanted() };
        let found = examine("h.cfg", text, &silent);
        assert_eq!(found[0].level, Level::Failure, "the agent does not speak it");
        let shuts = text.replace("1s", "1s on-marked-down shutdown-sessions");
        assert_eq!(bad(&shuts), failure, "what kills requests kills them here, too");
    }

    #[test]
    fn what_is_taken_back_does_not_hold() {
        assert_eq!(bad(&format!("{GOOD}    option persist\n    no option persist\n")), []);
        assert_eq!(bad(&format!("{GOOD}    no option redispatch\n")).len(), 1);
        let inherited = GOOD.replace("    mode http\n", "    mode http\n    option persist\n");
        assert_eq!(bad(&inherited), [(Level::Failure, "h.cfg:3".to_owned())]);
    }

    #[test]
    fn other_backends_are_none_of_our_business() {
        let other = "backend other\n    option persist\n    server db 10.0.0.1:3306 check\n";
        assert_eq!(bad(&format!("{GOOD}{other}")), []);
        assert_eq!(
            bad(other),
            [(Level::Failure, "h.cfg".to_owned())],
            "and where there is none of ours, that is"
        );
    }

    #[test]
    fn a_name_that_the_balancer_has_told_says_which_server_it_is() {
        let text = GOOD.replace("web2 10.0.0.12:80 cookie w2 check port 8404", "web2 10.0.0.12:80 check");
        let names = ["shop/web1".to_owned()];
        let found = examine("h.cfg", &text, &Wanted { names: &names, ..wanted() });
        assert_eq!(found.len(), 1, "web2 is another host's: {found:?}");
    }

    #[test]
    fn another_backend_with_the_same_server_matters_whatever_it_calls_it() {
        let names = ["shop/web1".to_owned()];
        let found = |line: &str| {
            let text = format!("{GOOD}backend api\n    option redispatch\n    {line}\n");
            let found = examine("h.cfg", &text, &Wanted { names: &names, ..wanted() });
            let bad = found.into_iter().filter(|finding| finding.level != Level::Ok);
            bad.map(|finding| (finding.text, finding.place.unwrap())).collect::<Vec<_>>()
        };
        let unchecked = found("server a 10.0.0.11:80");
        let not_checked = ("server api/a is not checked".to_owned(), "h.cfg:14".to_owned());
        assert!(unchecked.contains(&not_checked), "{unchecked:?}");
        assert_eq!(found("server a 10.0.0.13:80"), [], "another host's");
        assert_eq!(found("server a 10.0.0.11:81"), [], "another server of the host");
        assert_eq!(found("server a 10.0.0.11:80 track shop/web1"), []);
        assert_eq!(found("server a 10.0.0.11:80 track shop/web9").len(), 1);
        assert_eq!(found("server a 10.0.0.11:80 track b").len(), 1, "in its own backend there is none");
    }
}
