//! Nothing is silently different: what the table calls supported has an effect wherever it may stand, or a message says
//! that it has none.

use super::*;
use crate::config::haproxy::{
    bind,
    directives::{self, Does, Known, Treatment},
    keyword,
};

/// An argument for each directive, other than what the configuration below says.
const ARGUMENTS: &[(&str, &str)] = &[
    ("acl", "x path /"),
    ("balance", "leastconn"),
    ("bind", "127.0.0.1:82"),
    ("capture cookie", "A len 5"),
    ("capture request header", "Host len 5"),
    ("capture response header", "Host len 5"),
    ("cookie", "C insert"),
    ("declare capture", "request len 5"),
    ("default-server", "weight 7"),
    ("default_backend", "other"),
    ("dynamic-cookie-key", "k"),
    ("errorfile", "503 /dev/null"),
    ("errorfiles", "e"),
    ("errorloc", "503 http://sorry.example/"),
    ("errorloc302", "503 http://sorry.example/"),
    ("errorloc303", "503 http://sorry.example/"),
    ("force-persist", "if { path /x }"),
    ("http-error", "status 503 errorfile /dev/null"),
    ("ignore-persist", "unless { path /x }"),
    ("fullconn", "7"),
    ("hard-stop-after", "7s"),
    ("hash-type", "consistent"),
    ("http-after-response", "del-header X"),
    ("http-check expect", "status 200"),
    ("http-check send", "uri /x"),
    ("http-request", "deny if { path /x }"),
    ("http-response", "del-header X"),
    ("http-reuse", "never"),
    ("id", "7"),
    ("load-server-state-from-file", "local"),
    ("log", "127.0.0.2 local1"),
    ("log-format", "%ci"),
    ("log-send-hostname", "x"),
    ("log-tag", "x"),
    ("maxconn", "7"),
    ("monitor fail", "if { path /x }"),
    ("monitor-uri", "/m"),
    ("nbthread", "2"),
    ("option httpchk", "/x"),
    ("option httplog", "clf"),
    ("option redispatch", "2"),
    ("redirect", "location /"),
    ("retries", "7"),
    ("retry-on", "empty-response"),
    ("server", "t 127.0.0.1:83"),
    ("server-template", "t 2 127.0.0.1:83"),
    ("server-state-base", "/s"),
    ("server-state-file", "/s/all"),
    ("server-state-file-name", "/s/own"),
    ("stats", "enable"),
    ("stats socket", "/run/b.sock"),
    ("stats timeout", "7s"),
    ("tune.bufsize", "32768"),
    ("tune.maxrewrite", "512"),
    ("unique-id-format", "%ci"),
    ("unique-id-header", "X-ID"),
    ("use_backend", "other if { path /x }"),
];

/// What asks for what is so anyway, or is obeyed when lines are read.
const WITHOUT_EFFECT: [&str; 6] = ["enabled", "mode", "presetenv", "setenv", "unsetenv", "tcp-check"];

/// A configuration with this line in a section of this letter, or with none.
fn with(line: &str, section: char) -> (String, String) {
    let at = |letter| if letter == section { line } else { "" };
    let text = format!(
        "http-errors e\n errorfile 503 /dev/null\nglobal\n log 127.0.0.1 local0\n stats socket /run/a.sock\n {}\n\
         defaults d\n mode http\n timeout client 1s\n timeout connect 1s\n timeout server 1s\n option httpchk\n log global\n option httplog\n {}\n\
         frontend f from d\n bind 127.0.0.1:80\n use_backend b if {{ path /b }}\n {}\n\
         backend b from d\n cookie S insert indirect\n {}\n \
         server s 127.0.0.1:81 check observe layer4 agent-check agent-port 8 SERVER\n\
         backend other from d\n server s 127.0.0.1:84\n",
        at('G'),
        at('D'),
        at('F'),
        at('B'),
    );
    let text = text
        .replace("SERVER", at('S'))
        .replace("bind 127.0.0.1:80", &format!("bind 127.0.0.1:80 {}", at('L')));
    let import = Import::of(&[Source { name: "a.cfg".into(), text }], &|_| None);
    (import.toml().to_owned(), import.messages.render(1))
}

fn line(known: &Known) -> String {
    let argument =
        ARGUMENTS.iter().find(|(name, _)| *name == known.name).map_or("", |(_, argument)| argument);
    let argument = if known.name.starts_with("timeout ") { "7s" } else { argument };
    format!("{} {argument}", known.name)
}

#[test]
fn what_is_supported_has_an_effect_or_is_said_to_have_none() {
    let nothing = with("", ' ');
    for known in directives::all().filter(|known| matches!(known.treatment(), Treatment::Supported(_))) {
        if WITHOUT_EFFECT.contains(&known.name) || matches!(known.does, Does::Nothing) {
            continue;
        }
        for section in known.sections.chars() {
            let line = line(known);
            let found = with(&line, section);
            assert_ne!(found, nothing, "'{line}' in section {section} changes nothing, and nothing is said");
        }
    }
}

#[test]
fn a_supported_keyword_has_an_effect() {
    let nothing = with("", ' ');
    let servers = keyword::KEYWORDS.iter().map(|(name, takes)| {
        let argument = match takes {
            keyword::Takes::Flag(_) | keyword::Takes::Ignored(0, _) => "",
            keyword::Takes::Word(_) if *name == "proto" => "h2",
            keyword::Takes::Word(_) if name.ends_with("addr") => "127.0.0.9",
            keyword::Takes::Word(_) => "word",
            _ => "7",
        };
        // What takes another back, and what is said of this server already.
        let takes_back =
            matches!(takes, keyword::Takes::Ignored(_, "")) || ["check", "agent-check"].contains(name);
        ('S', format!("{name} {argument}"), takes.treatment(), takes_back)
    });
    let binds = bind::KEYWORDS.iter().map(|(name, takes)| {
        let argument = if *name == "proto" { "h2" } else { "" };
        // An address of the fourth family is not of both.
        let takes_back =
            matches!(takes, bind::Takes::Ignored(_, "") | bind::Takes::V4V6 | bind::Takes::V6Only);
        ('L', format!("{name} {argument}"), takes.treatment(), takes_back)
    });
    for (section, line, treatment, takes_back) in servers.chain(binds) {
        if matches!(treatment, Treatment::Supported(_)) && !takes_back {
            assert_ne!(with(&line, section), nothing, "'{line}' changes nothing, and nothing is said");
        }
    }
}

/// Whatever is ignored or refused is said.
#[test]
fn what_is_not_supported_is_said() {
    for known in directives::all() {
        let wanted = match known.treatment() {
            Treatment::Supported(_) => continue,
            Treatment::Ignored(why) | Treatment::Refused(why) => why,
        };
        for section in known.sections.chars() {
            let (_, said) = with(known.name, section);
            assert!(said.contains(wanted), "'{}' in section {section}: {said}", known.name);
        }
    }
}
