//! What is looked for in the backends that matter.

use std::{collections::BTreeSet, time::Duration};

use super::{
    super::Finding,
    ABOUT,
    backend::Backend,
    file::{Kind, Section, lineage, sections},
    server_line::Server,
    track::{Tracks, names},
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

/// What in these files would spoil a drain. Each is what its places are called by, and its text.
pub fn examine(files: &[(String, String)], wanted: &Wanted<'_>) -> Vec<Finding> {
    let read: Vec<(&str, Vec<Section>)> =
        files.iter().map(|(file, text)| (file.as_str(), sections(text))).collect();
    let all: Vec<(Backend<'_>, Vec<Server>)> =
        read.iter().flat_map(|(file, sections)| backends(file, sections)).collect();
    let there = names(&all);
    let concerned = concerned(all, wanted);
    let tracks = Tracks { ours: names(&concerned), there };
    let mut findings = Vec::new();
    for (file, _) in &read {
        let of_file = concerned.iter().filter(|(backend, _)| backend.file == *file);
        let before = findings.len();
        findings.extend(of_file.flat_map(|(backend, servers)| of_backend(backend, servers, wanted, &tracks)));
        if findings.len() == before {
            findings.push(none_in(file, wanted));
        }
    }
    findings
}

/// The backends of a file with their servers.
fn backends<'a>(file: &'a str, sections: &'a [Section]) -> impl Iterator<Item = (Backend<'a>, Vec<Server>)> {
    let backends = sections.iter().enumerate().filter(|(_, section)| section.kind == Kind::Backend);
    backends.map(move |(index, section)| {
        let backend = Backend::new(file, section, lineage(sections, index));
        let servers = backend.servers().collect();
        (backend, servers)
    })
}

/// What is said of a backend; never nothing.
fn of_backend(
    backend: &Backend<'_>,
    servers: &[Server],
    wanted: &Wanted<'_>,
    tracks: &Tracks,
) -> Vec<Finding> {
    // What checks by HTTP need says nothing of servers that are asked in other words, or elsewhere.
    let by_http =
        servers.iter().any(|server| server.tracks.is_none() && (server.check || !server.agent_check));
    let mut findings = backend.options(by_http);
    findings.extend(servers.iter().flat_map(|server| of_server(backend, server, wanted, tracks)));
    if findings.is_empty() {
        let section = backend.section;
        let text = format!("backend {} does what a drain needs", section.name);
        findings.push(Finding::ok(ABOUT, text).at(backend.place(section.number)));
    }
    findings
}

/// A file without any of the agent's servers.
fn none_in(file: &str, wanted: &Wanted<'_>) -> Finding {
    let ports = list(wanted.health_ports);
    Finding::failure(
        ABOUT,
        format!(
            "no server of this file is on port {}, or checked on port {ports}",
            list(wanted.server_ports)
        ),
        format!("add `check port {ports}` to the server's line"),
    )
    .at(file.to_owned())
}

/// The backends with the agent's servers. Another backend may lead users to the same server, under another name and
/// without a check: whatever has the address of one of them is it.
fn concerned<'a>(
    mut all: Vec<(Backend<'a>, Vec<Server>)>,
    wanted: &Wanted<'_>,
) -> Vec<(Backend<'a>, Vec<Server>)> {
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

/// What is said of one server.
fn of_server(backend: &Backend<'_>, server: &Server, wanted: &Wanted<'_>, tracks: &Tracks) -> Vec<Finding> {
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
    if let Some(tracked) = &server.tracks {
        findings.extend(tracks.follows(backend, tracked, &name, &ports).map(|finding| finding.at(here())));
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

    fn examine(text: &str, wanted: &Wanted<'_>) -> Vec<Finding> {
        super::examine(&[("h.cfg".to_owned(), text.to_owned())], wanted)
    }

    /// Level and place of everything but what is well.
    fn bad(text: &str) -> Vec<(Level, String)> {
        bad_in(&[("h.cfg", text)])
    }

    /// The same of several files.
    fn bad_in(files: &[(&str, &str)]) -> Vec<(Level, String)> {
        let files: Vec<_> =
            files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
        let findings = super::examine(&files, &wanted()).into_iter();
        let bad = findings.filter(|finding| finding.level != Level::Ok);
        bad.map(|finding| {
            assert!(finding.cure.is_some(), "{finding:?}");
            (finding.level, finding.place.unwrap())
        })
        .collect()
    }

    #[test]
    fn the_readmes_backend_is_well() {
        let findings = examine(GOOD, &wanted());
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
        let found = examine(text, &silent);
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
        let found = examine(&text, &Wanted { names: &names, ..wanted() });
        assert_eq!(found.len(), 1, "web2 is another host's: {found:?}");
    }

    #[test]
    fn another_backend_with_the_same_server_matters_whatever_it_calls_it() {
        let names = ["shop/web1".to_owned()];
        let found = |line: &str| {
            let text = format!("{GOOD}backend api\n    option redispatch\n    {line}\n");
            let found = examine(&text, &Wanted { names: &names, ..wanted() });
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

    #[test]
    fn what_a_server_tracks_is_looked_at_in_all_files() {
        let api = "backend api\n    option redispatch\n    server a 10.0.0.11:80 track shop/web1\n";
        let of_api = |level| vec![(level, "api.cfg:3".to_owned())];
        assert_eq!(bad_in(&[("api.cfg", api)]), of_api(Level::Warning), "nothing is known of it");
        assert_eq!(bad_in(&[("api.cfg", api), ("shop.cfg", GOOD)]), []);
        let elsewhere = GOOD.replace("cookie w1 check port 8404", "cookie w1 check port 8409");
        let at_its_line = [(Level::Failure, "shop.cfg:10".to_owned())];
        assert_eq!(bad_in(&[("api.cfg", api), ("shop.cfg", &elsewhere)]), at_its_line);
        let another = GOOD.replace("web1 10.0.0.11:80 cookie w1 check port 8404", "web1 10.0.0.13:81 check");
        assert_eq!(bad_in(&[("api.cfg", api), ("shop.cfg", &another)]), of_api(Level::Failure));
    }
}
