//! An agent that speaks for its server by HAProxy's agent-check protocol.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use drain_tests::{Nginx, PATIENCE, Place, Proxy, client::Connection, place::holds};

use crate::maxconn::stat;

/// An agent that says the same to whoever connects, until it is to say something else.
struct Agent {
    address: SocketAddr,
    words: Arc<Mutex<String>>,
}

impl Agent {
    fn start(words: &str) -> Self {
        Self::at("127.0.0.1", "", words)
    }

    /// One at this host, that says something only to whoever has said this.
    fn at(host: &str, question: &'static str, words: &str) -> Self {
        let listener = TcpListener::bind((host, 0)).expect("a listener");
        let address = listener.local_addr().expect("its address");
        let words = Arc::new(Mutex::new(words.to_owned()));
        let said = words.clone();
        // Ends with the process of the tests.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let words = said.lock().unwrap_or_else(PoisonError::into_inner).clone();
                // Whoever asked may have gone.
                let _ = stream.and_then(|mut stream| {
                    let mut asked = vec![0; question.len()];
                    stream.read_exact(&mut asked)?;
                    let words = if asked == question.as_bytes() { &*words } else { "down\n" };
                    stream.write_all(words.as_bytes())
                });
            }
        });
        Self { address, words }
    }

    fn says(&self, words: &str) {
        words.clone_into(&mut self.words.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Which server serves a user of this one, or a new user.
fn served_by(proxy: &Proxy, user_of: Option<&str>) -> String {
    let mut connection = Connection::open(proxy.address()).expect("a connection");
    let cookie = user_of.map(|server| format!("Cookie: SERVERID={server}"));
    let headers: Vec<&str> = cookie.iter().map(String::as_str).collect();
    let answer = connection.fetch("GET", "/page", &headers, b"").expect("an answer");
    assert_eq!(answer.status, 200);
    answer.header("x-server").expect("the server's name").to_owned()
}

#[test]
fn an_agent_drains_its_server_takes_it_out_and_brings_it_back() {
    let place = Place::new("agent_check");
    let [one, two] = ["s1", "s2"].map(|name| Nginx::new(&place, name).start());
    let agent = Agent::start("up ready 100%\n");
    let mut proxy = Proxy::new(&place, "lb")
        .check(r#"inter = "100ms", uri = "/health""#)
        .server("s1", one.address(), None)
        .server_line(&format!(r#"agent_check = {{ port = {}, inter = "50ms" }}"#, agent.address.port()))
        .server("s2", two.address(), None)
        .start();
    proxy.child().expect_error("Server shop/s1 is DOWN");
    let mut until_logged = |words: &str, line: &str| {
        agent.says(words);
        place.wait_for(line, PATIENCE, || {
            let log = proxy.child().log_text();
            holds(log.contains(line), || log)
        });
        let new: Vec<String> = (0..4).map(|_| served_by(&proxy, None)).collect();
        (new.contains(&"s1".to_owned()), served_by(&proxy, Some("s1")))
    };
    let (takes_new, pinned) = until_logged("drain\n", "Server shop/s1 enters drain state. 1 active");
    assert_eq!((takes_new, &*pinned), (false, "s1"));
    let (takes_new, pinned) = until_logged("ready\n", "Server shop/s1 is UP (leaving forced drain).");
    assert_eq!((takes_new, &*pinned), (true, "s1"));
    let down =
        "Server shop/s1 is DOWN, reason: Layer7 wrong status, code: 0, info: \"via agent : down (deploy)\"";
    let (takes_new, pinned) = until_logged("down #deploy\n", down);
    assert_eq!((takes_new, &*pinned), (false, "s2"));
    let (takes_new, pinned) = until_logged("maint\n", "Server shop/s1 was DOWN and now enters maintenance.");
    assert_eq!((takes_new, &*pinned), (false, "s2"));
    let (takes_new, pinned) =
        until_logged("up ready\n", "reason: Layer7 check passed, code: 0, info: \"via agent : up\"");
    assert_eq!((takes_new, &*pinned), (true, "s1"));
}

#[test]
fn an_agent_elsewhere_that_is_told_what_to_answer_sets_weight_and_limit() {
    let place = Place::new("agent_send");
    let server = Nginx::new(&place, "s1").start();
    let agent = Agent::at("127.0.0.2", "how is s1?\n", "50%\n");
    let port = agent.address.port();
    let proxy = Proxy::new(&place, "lb")
        .commanded("")
        .check(r#"inter = "100ms", uri = "/health""#)
        .server("s1", server.address(), None)
        .server_line("weight = 40\nmaxconn = 7")
        .server_line(&format!(
            r#"agent_check = {{ port = {port}, address = "127.0.0.2", send = "how is s1?\n", inter = "50ms" }}"#
        ))
        .start();
    let until = |column: &str, wanted: usize| {
        place.wait_for(&format!("{column} to be {wanted}"), PATIENCE, || {
            let found = stat(&proxy, "shop,s1,", column);
            holds(found == wanted, || found.to_string())
        });
    };
    until("weight", 20);
    until("slim", 7);
    agent.says("maxconn:1\n");
    until("slim", 1);
    assert_eq!(served_by(&proxy, None), "s1");
}
