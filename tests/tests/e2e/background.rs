//! The proxy in the background, as scripts start HAProxy: `-D -p FILE -sf PID`.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Output,
};

use drain_tests::{
    PATIENCE, Place,
    child::{is_alive, output, send},
    client::Connection,
    place::{self, holds},
    port,
};
use rustix::process::Signal;

use crate::upstream::Upstream;

/// A proxy that is nobody's child; it ends when this is dropped.
struct Background {
    pid_file: PathBuf,
}

impl Background {
    fn pid(&self) -> u32 {
        let text = fs::read_to_string(&self.pid_file).expect("the process's number");
        text.trim().parse().expect("a number")
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if self.pid_file.exists() {
            let _ = send(self.pid(), Signal::KILL);
        }
    }
}

fn start(place: &Place, config: &Path, words: &[&str]) -> Output {
    let mut command = place.command(place::built("drain-proxy"));
    command.arg("-f").arg(config).args(words);
    output(command)
}

fn page(address: SocketAddr) -> Result<(), String> {
    let fetch = |mut connection: Connection| connection.fetch("GET", "/", &[], b"");
    let answer = Connection::open(address).and_then(fetch).map_err(|failure| failure.to_string())?;
    holds(answer.status == 200, || format!("status {}", answer.status))
}

#[test]
fn a_proxy_goes_into_the_background_when_it_is_ready_and_the_next_one_takes_its_place() {
    let place = Place::new("background");
    let upstream = Upstream::start("a");
    let address = port::free();
    let config = place.dir().join("proxy.toml");
    let text = format!(
        "frontend.web = {{ bind = [\"{address}\"], backend = \"shop\" }}\n\
         [[backend.shop.server]]\nname = \"a\"\naddress = \"{}\"\n",
        upstream.address
    );
    fs::write(&config, text).expect("write proxy.toml");
    let background = Background { pid_file: place.dir().join("pid") };
    let pid_file = background.pid_file.display().to_string();

    let said = start(&place, &config, &["-D", "-p", &pid_file]);
    assert!(said.status.success(), "{said:?}");
    page(address).expect("a page at once: it is ready");
    let first = background.pid();

    let said = start(&place, &config, &["-D"]);
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    assert!(String::from_utf8_lossy(&said.stderr).contains("is taken by another program"), "{said:?}");

    let said = start(&place, &config, &["-D", "-p", &pid_file, "-sf", &first.to_string()]);
    assert!(said.status.success(), "{said:?}");
    let second = background.pid();
    assert_ne!(first, second);
    place.wait_for("the first one to end", PATIENCE, || holds(!is_alive(first), || "it lives".to_owned()));
    page(address).expect("a page of the second one");
    send(second, Signal::TERM).expect("a proxy that runs");
    place.wait_for("the second one to end", PATIENCE, || holds(!is_alive(second), || "it lives".to_owned()));
}
