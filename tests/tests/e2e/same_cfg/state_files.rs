//! `server-state-file`: what operators have ordered is saved by a script, and obeyed by the next process.

use std::{fs, net::SocketAddr, path::PathBuf};

use drain_tests::{
    PATIENCE, Place, child::Child, client::Connection, haproxy::Runtime, place::holds, port, twin,
};

use crate::upstream::Upstream;

/// `shop` has its state from the file of all, `own` from one of its own, and `none` from nowhere.
const TEXT: &str = "
global
 stats socket SOCKET level admin
 server-state-base BASE
 server-state-file all.state
defaults
 mode http
 timeout client 60s
 timeout server 60s
 timeout connect 60s
 load-server-state-from-file global
frontend f
 bind ADDRESS
 default_backend shop
backend shop
 server a SERVER weight 10
 server b SERVER weight 10
 server c SERVER weight 10
 server d SERVER weight 10
 server e SERVER disabled
 server f SERVER check
 server g SERVER weight 10
 server gone SERVER
backend own
 load-server-state-from-file local
 server-state-file-name own.state
 server a SERVER
backend none
 load-server-state-from-file none
 server a SERVER
";

const ORDERS: &str = "set server shop/a state maint; set server shop/b state drain; set server shop/c weight 50%; \
                      set weight shop/d 0; enable server shop/e; disable health shop/f; set weight shop/g 7; \
                      set server own/a state maint; set server none/a state maint";

/// One program, and the one that comes behind it.
struct Runner<'p> {
    place: &'p Place,
    program: &'static str,
    dir: PathBuf,
    runtime: Runtime,
    address: SocketAddr,
}

impl<'p> Runner<'p> {
    fn new(place: &'p Place, program: &'static str) -> Self {
        let runtime = Runtime::at(place.public().join(format!("{program}.sock")));
        Self { place, program, dir: place.subdir(program), runtime, address: port::free() }
    }

    /// With the words that scripts have: the directory first, and files behind `--`.
    fn start(&self, name: &str, text: &str, words: &[&str]) -> Child {
        fs::write(self.dir.join("haproxy.cfg"), text).expect("write haproxy.cfg");
        let mut command = twin::command(self.place, self.program);
        command.args(["-db", "-C"]).arg(&self.dir).args(words).args(["--", "haproxy.cfg"]);
        let died = |line: &str| line.contains("panicked at") || line.contains("segfault");
        let child = Child::start(self.place, &self.dir, name, command, died);
        self.place.wait_for(&format!("{} to serve", self.program), PATIENCE, || {
            let pid = self.runtime.command("show info");
            let is_there = pid.contains(&format!("Pid: {}\n", child.pid()));
            holds(is_there && Connection::open(self.address).is_ok(), || pid)
        });
        child
    }

    /// Names, states, orders and weights.
    fn states(&self) -> Vec<String> {
        let text = self.runtime.command("show servers state");
        let words = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            [1, 3, 6, 7, 8, 13].map(|at| words.get(at).copied().unwrap_or_default()).join(" ")
        };
        text.lines().filter(|line| line.contains(" 127.0.0.1 ")).map(words).collect()
    }
}

#[test]
fn what_operators_have_ordered_is_obeyed_by_the_next_process_as_in_haproxy() {
    let place = Place::new("state_files");
    let server = Upstream::start("a");
    let seen = twin::PROGRAMS.map(|program| {
        let runner = Runner::new(&place, program);
        let text = TEXT
            .replace("SOCKET", &runner.runtime.path().display().to_string())
            .replace("BASE", &runner.dir.display().to_string())
            .replace("ADDRESS", &runner.address.to_string())
            .replace("SERVER", &server.address.to_string());
        let mut first = runner.start("first", &text, &[]);
        runner.runtime.command(ORDERS);
        let before = runner.states();
        for (file, command) in [("all", "show servers state"), ("own", "show servers state own")] {
            fs::write(runner.dir.join(format!("{file}.state")), runner.runtime.command(command))
                .expect("write a state");
        }
        // A weight that the configuration changes counts, and a server that is gone is none.
        let named = |name: &str| format!("server {name} {}", server.address);
        let text = text.replace(&format!("{} weight 10", named("g")), &format!("{} weight 20", named("g")));
        let text = text.replace(&named("gone"), &named("h"));
        first.may_end();
        let pid = first.pid().to_string();
        let mut second = runner.start("second", &text, &["-sf", &pid]);
        place.wait_for("the first to end", PATIENCE, || holds(first.ended().is_some(), || "it runs".into()));
        let after = runner.states();
        // And when nobody is there.
        second.stop();
        let third = runner.start("third", &text, &[]);
        let again = runner.states();
        let log = third.log_text();
        place.check(!log.contains("'server-state-file'"), &log);
        [before, after, again]
    });
    let [theirs, ours] = seen;
    assert_eq!(theirs, ours);
    let is =
        |name: &str, state: &str| ours[1].iter().any(|line| line.starts_with(&format!("{name} {state}")));
    assert!(
        is("shop a", "1 ") && is("shop b", "8 ") && is("own a", "1 ") && is("none a", "0 "),
        "{:?}",
        ours[1]
    );
}
