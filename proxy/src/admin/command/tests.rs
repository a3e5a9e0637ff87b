mod clients;
mod dialogues;

use std::collections::HashMap;

use super::super::gate::SHUT;
use super::super::socket;
use super::super::stats::Facts;
use super::*;
use crate::admin::log::Logs;
use crate::backend::{Administration, Asked, Checked};
use crate::clock;
use crate::config::Config;

const CONFIG: &str = r#"
    frontend.web = { bind = ["127.0.0.1:0"], backend = "shop", maxconn = 500 }
    [backend.shop]
    cookie = { name = "SERVERID", mode = "insert", indirect = true }
    [[backend.shop.server]]
    name = "a"
    address = "127.0.0.1:17811"
    cookie = "p1"
    weight = 10
    maxconn = 50
    check = {}
    [[backend.shop.server]]
    name = "b"
    address = "127.0.0.1:17812"
    weight = 5
    [[backend.shop.server]]
    name = "d"
    address = "127.0.0.1:17814"
    agent_check = { port = 17815 }
    [backend.stat]
    balance = "static-rr"
    [[backend.stat.server]]
    name = "s1"
    address = "127.0.0.1:17816"
    weight = 3
"#;

fn desk() -> Desk {
    let config = Config::parse("test.toml", CONFIG, &|_, _| Ok(Vec::new())).unwrap();
    let generation = Generation::new(&config, &Logs::open(&config).unwrap());
    let facts =
        Facts { started: clock::now(), started_wall: clock::wall(), node: "lb1".to_owned(), threads: 2 };
    Desk {
        statistics: Statistics::new(generation, facts),
        gate: Arc::default(),
        edits: Edits::nowhere(),
        roll: Roll::default(),
        sockets: Vec::new(),
    }
}

fn session(level: AdminLevel) -> Session {
    Session::new(level, Duration::from_secs(10))
}

/// All that is said to a line.
fn answer(desk: &Desk, session: &mut Session, line: &str) -> String {
    let said = |words: &Vec<String>| {
        let said = obey(desk, session, words);
        socket::framed(session, said)
    };
    commands(line).iter().map_while(said).collect()
}

#[tokio::test]
async fn each_level_may_what_it_may_in_haproxy_and_levels_only_sink() {
    use AdminLevel::{Admin, Operator, User};
    let desk = desk();
    for (level, command, is_allowed) in [
        (User, "get weight shop/a", true),
        (User, "show stat", true),
        (User, "show servers state", true),
        (User, "show env", false),
        (User, "show sess", false),
        (User, "clear counters", false),
        (User, "operator", false),
        (User, "disable server shop/a", false),
        (Operator, "show env", true),
        (Operator, "clear counters", true),
        (Operator, "clear counters all", false),
        (Operator, "set weight shop/a 3", false),
        (Operator, "set server nope/x state ready", false),
        (Admin, "clear counters all", true),
    ] {
        let said = answer(&desk, &mut session(level), command);
        assert_eq!(said != "Permission denied\n\n", is_allowed, "{level:?}: {command}: {said}");
    }
    let said = answer(&desk, &mut session(Admin), "operator;show cli level;user;show cli level;operator");
    assert_eq!(said, "\noperator\n\n\nuser\n\nPermission denied\n\n");
}

#[tokio::test]
async fn nothing_is_changed_while_another_process_takes_over() {
    let (desk, mut session) = (desk(), session(AdminLevel::Admin));
    desk.gate.shut();
    for command in
        ["set weight shop/a 3", "disable server shop/a", "set maxconn global 5", "clear counters all"]
    {
        assert_eq!(answer(&desk, &mut session, command), format!("{SHUT}\n"), "{command}");
    }
    assert_eq!(answer(&desk, &mut session, "show changes;set timeout cli 60;clear counters"), "\n\n\n");
    desk.gate.open();
    assert_eq!(
        answer(&desk, &mut session, "set weight shop/a 3;show changes"),
        "\nset server shop/a weight 3\n\n"
    );
}

#[tokio::test]
async fn who_asks_for_a_prompt_gets_one_after_each_answer() {
    let (desk, mut session) = (desk(), session(AdminLevel::Admin));
    assert_eq!(answer(&desk, &mut session, "prompt"), "\n> ");
    let said = answer(&desk, &mut session, "get weight shop/a;get weight shop/b");
    assert_eq!(said, "10 (initial 10)\n\n> 5 (initial 5)\n\n> ");
    assert!(answer(&desk, &mut session, "").starts_with("Unknown command. Please enter one of the"));
    for line in ["@1 show info", "@!1234 show info", "@master"] {
        let word = line.split(' ').next().unwrap();
        let said = answer(&desk, &mut session, line);
        assert!(
            said.starts_with(&format!("'{word}' is not supported: there is no master process")),
            "{said}"
        );
    }
    assert!(
        answer(&desk, &mut session, "show").contains("\n  show info [desc|json|typed|float]*      : report")
    );
    assert_eq!(answer(&desk, &mut session, "quit"), "");
    assert!(session.ended);
}

/// The columns of the row of this server, by name.
fn columns(csv: &str, of: (&str, &str)) -> HashMap<String, String> {
    let mut lines = csv.lines();
    let names = lines.next().unwrap().trim_start_matches("# ").split(',');
    let row = lines.find(|line| line.starts_with(&format!("{},{},", of.0, of.1))).unwrap();
    names.zip(row.split(',')).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[tokio::test]
async fn what_is_commanded_is_seen_and_can_be_listed_as_commands() {
    let (desk, mut session) = (desk(), session(AdminLevel::Admin));
    let mut say = |line: &str| answer(&desk, &mut session, line);
    assert_eq!(say("show changes"), "\n");
    say(
        "disable server shop/a;set server shop/b state drain;set weight shop/b 3;set maxconn server shop/a 7",
    );
    say("disable frontend web;set maxconn global 100");
    let csv = say("show stat");
    let (a, b) = (columns(&csv, ("shop", "a")), columns(&csv, ("shop", "b")));
    assert_eq!((&*a["status"], &*a["slim"], &*a["check_status"]), ("MAINT", "7", ""));
    assert_eq!((&*b["status"], &*b["weight"]), ("DRAIN", "3"));
    assert_eq!(columns(&csv, ("web", "FRONTEND"))["status"], "STOP");
    let state = say("show servers state shop");
    assert!(state.contains("\n3 shop 1 a 127.0.0.1 0 1 10 10 "), "{state}");
    assert!(state.contains("\n3 shop 2 b 127.0.0.1 2 8 3 5 "), "{state}");
    let changes = say("show changes");
    assert_eq!(
        changes,
        "set maxconn global 100\ndisable frontend web\nset server shop/a state maint\nset maxconn server shop/a 7\n\
         set server shop/b state drain\nset server shop/b weight 3\n\n"
    );
    say("enable server shop/a;enable server shop/b;set weight shop/b 100%;set maxconn server shop/a 50");
    say("enable frontend web;set maxconn global 0");
    assert_eq!(say("show changes"), "\n");
}

#[tokio::test]
async fn a_weight_that_an_agent_may_have_asked_is_no_setting() {
    let (desk, mut session) = (desk(), session(AdminLevel::Admin));
    let mut say = |line: &str| answer(&desk, &mut session, line);
    say("set weight shop/d 50%;set maxconn server shop/d 7;disable agent shop/d");
    let by_operator = "set maxconn server shop/d 7\ndisable agent shop/d\n\n";
    assert!(say("show changes").ends_with(by_operator));
    let backend = find_backend(&desk.statistics.generation(), "shop").unwrap();
    backend.servers()[2].note_agent(Checked::default(), false);
    assert!(say("show changes").ends_with(by_operator), "it has not been reached");
    backend.servers()[2].note_agent(Checked::default(), true);
    assert_eq!(say("show changes"), "disable agent shop/d\n\n");
}

/// What is said when the process makes the change that this command orders.
fn edited(line: &str, frontend: &str, between: impl FnOnce(&Desk)) -> String {
    let (to_edit, mut edits) = Edits::channel();
    let (desk, mut session) = (Desk { edits: to_edit, ..desk() }, session(AdminLevel::Admin));
    let said = answer(&desk, &mut session, line);
    let Some(said_later) = session.later.as_mut() else { return said };
    between(&desk);
    let text = CONFIG.replace("127.0.0.1:0", frontend);
    let config = Config::parse("test.toml", &text, &|_, _| Ok(Vec::new())).unwrap();
    edits.try_recv().unwrap().make(&config, |_, made| made.said);
    said_later.try_recv().unwrap()
}

#[tokio::test]
async fn no_server_is_the_proxy_itself_or_nowhere() {
    let add =
        |address: &str, frontend: &str| edited(&format!("add server shop/n {address}"), frontend, |_| {});
    let own = "127.0.0.1:17890 is the proxy itself: nothing is changed\n";
    assert_eq!(add("127.0.0.1:17890", "127.0.0.1:17890"), own);
    assert_eq!(add("127.0.0.1:17890", "0.0.0.0:17890"), own);
    assert_eq!(add("127.0.0.1:17891", "0.0.0.0:17890"), "New server registered.\n");
    let nowhere = "expected an address with a port above 0, found '127.0.0.1:0': nothing is changed\n";
    assert_eq!(add("127.0.0.1:0", "127.0.0.1:17890"), nowhere);
    let order = |port: u16| format!("set server shop/b addr 127.0.0.1 port {port}");
    assert_eq!(edited(&order(17890), "0.0.0.0:17890", |_| {}), own);
    assert_eq!(edited(&order(0), "127.0.0.1:17890", |_| {}), nowhere);
}

#[tokio::test]
async fn a_server_that_serves_again_is_not_deleted() {
    let line = "disable server shop/b;del server shop/b";
    assert_eq!(edited(line, "127.0.0.1:17890", |_| {}), "Server deleted.");
    let serve = |desk: &Desk| {
        let backend = find_backend(&desk.statistics.generation(), "shop").unwrap();
        backend.set_ordered(1, Administration::Ready);
    };
    assert_eq!(edited(line, "127.0.0.1:17890", serve), "Only servers in maintenance mode can be deleted.");
}

#[tokio::test]
async fn what_an_agent_asks_is_told_but_not_kept_in_the_file_of_orders() {
    let (desk, mut session) = (desk(), session(AdminLevel::Admin));
    answer(&desk, &mut session, "set server shop/b state drain");
    let backend = find_backend(&desk.statistics.generation(), "shop").unwrap();
    let asked = Asked { administration: Administration::Drain, down: true };
    crate::check::ask(&backend, &backend.servers()[2], asked);
    let told = answer(&desk, &mut session, "show servers state shop");
    assert!(told.contains("\n3 shop 3 d 127.0.0.1 0 8 1 1 "), "{told}");
    let kept = all_states(&desk.statistics, clock::now());
    assert!(kept.contains("\n3 shop 3 d 127.0.0.1 2 0 1 1 "), "{kept}");
    assert!(kept.contains("\n3 shop 2 b 127.0.0.1 2 8 5 5 "), "{kept}");
}
