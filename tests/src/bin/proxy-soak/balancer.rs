//! The drain-proxy that is tried, and its reloads.

use std::{fmt::Write as _, fs, io, path::PathBuf, sync::Arc};

use drain_tests::{Place, Proxy};
use fastrand::Rng;
use rustix::process::Signal;

use crate::server::Server;

/// A stall is longer than the server's timeout or shorter, and longer than that of checks or shorter. A queue is never
/// so long that a request fails in it.
const SETTINGS: &str = r#"timeout = { connect = "2s", server = "5s", queue = "20s", check = "2s", tunnel = "30s" }
retry_on = ["empty-response", "junk-response", "response-timeout"]
replay = { memory = "64 KiB", disk = "64 MiB" }"#;
const NEXT_SERVER: &str = "\n[[backend.shop.server]]";

/// One drain-proxy with its configuration.
#[derive(Debug)]
pub(crate) struct Balancer {
    proxy: Proxy,
    file: PathBuf,
    /// As it was at the start.
    text: String,
    without_last: bool,
    /// What the last server has beside its name and address.
    last: String,
}

impl Balancer {
    /// Starts it before these servers.
    pub(crate) fn start(place: &Place, servers: &[Arc<Server>]) -> io::Result<Self> {
        let mut proxy = Proxy::new(place, "lb").backend_line(SETTINGS);
        for server in servers {
            proxy = proxy.server(server.name(), server.address(), None);
        }
        let mut proxy = proxy.start();
        // Servers die, all at once now and then, and some files are bad.
        for expected in ["is DOWN", "has no server available", "nothing is changed"] {
            proxy.child().expect_error(expected);
        }
        let file = proxy.config_file();
        let text = fs::read_to_string(&file)?;
        Ok(Self { proxy, file, text, without_last: false, last: String::new() })
    }

    /// The proxy.
    pub(crate) fn proxy(&mut self) -> &mut Proxy {
        &mut self.proxy
    }

    /// Has another configuration read: other weights and limits, or one with a mistake.
    pub(crate) fn reload(&mut self, random: &mut Rng) -> io::Result<()> {
        if random.u32(..5) == 0 {
            return self.read(&format!("{}wieght = 1\n", self.text));
        }
        self.last.clear();
        if random.bool() {
            let _ = writeln!(self.last, "weight = {}", random.u32(1..8));
        }
        if random.bool() {
            let _ = writeln!(self.last, "maxconn = {}", random.u32(8..40));
        }
        self.read(&self.config())
    }

    /// Takes the last server out of the configuration, or in again.
    pub(crate) fn without_last(&mut self, without: bool) -> io::Result<()> {
        self.without_last = without;
        self.read(&self.config())
    }

    fn config(&self) -> String {
        match self.text.rsplit_once(NEXT_SERVER) {
            Some((others, _)) if self.without_last => others.to_owned(),
            _ => self.text.clone() + &self.last,
        }
    }

    fn read(&self, text: &str) -> io::Result<()> {
        // Each reload opens the log anew: it is kept for as long as one is likely to look for what went wrong last.
        let log = self.file.with_file_name("access.log");
        let _ = fs::rename(&log, log.with_extension("log.1"));
        // Never half of a file, even if the one before is still to be read.
        let next = self.file.with_extension("next");
        fs::write(&next, text)?;
        fs::rename(&next, &self.file)?;
        self.proxy.signal(Signal::HUP);
        Ok(())
    }
}
