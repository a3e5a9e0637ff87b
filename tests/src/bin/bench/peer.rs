//! A program that is measured, or serves those that are, pinned to a processor.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use drain_tests::{Place, child::Child, clock, port};

use crate::recipes;

/// Even ten thousand servers are read in this time.
pub(crate) const START_WITHIN: Duration = Duration::from_mins(1);

/// Between two looks at a program that starts.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What a proxy under test is given to do beside passing requests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Duties {
    /// Nothing but the requests.
    Bare,
    /// Health checks, persistence cookie and an access log as well.
    Full,
}

/// What a proxy is started with.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) duties: Duties,
    /// The servers behind it, by turns as often as there are to be servers.
    pub(crate) servers: Vec<SocketAddr>,
    pub(crate) count: usize,
}

impl Setup {
    /// Each server with its number.
    pub(crate) fn servers(&self) -> impl Iterator<Item = (usize, SocketAddr)> {
        self.servers.iter().copied().cycle().take(self.count).enumerate()
    }
}

/// The programs that are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Program {
    DrainProxy,
    Haproxy,
    Nginx,
    Varnish,
    Caddy,
}

impl Program {
    /// All that are installed, in the order of the table.
    pub(crate) fn installed() -> Vec<Self> {
        let all = [Self::DrainProxy, Self::Haproxy, Self::Nginx, Self::Varnish, Self::Caddy];
        all.into_iter().filter(|program| program.is_installed()).collect()
    }

    /// What its column is called.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::DrainProxy => "drain-proxy",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Varnish => "varnish",
            Self::Caddy => "caddy",
        }
    }

    /// Starts it and waits until it takes connections.
    pub(crate) fn start(self, place: &Place, setup: &Setup) -> Result<Peer> {
        self.launch(place, setup)?.ready()
    }

    /// Starts it.
    pub(crate) fn launch(self, place: &Place, setup: &Setup) -> Result<Peer> {
        let address = port::free();
        let dir = place.subdir(&format!("{}-proxy", self.name()));
        let recipe = match self {
            Self::DrainProxy => recipes::drain_proxy(&dir, address, setup),
            Self::Haproxy => recipes::haproxy(address, setup),
            Self::Nginx => recipes::nginx(&dir, address, setup),
            Self::Varnish => recipes::varnish(&dir, address, setup),
            Self::Caddy => recipes::caddy(&dir, address, setup),
        };
        recipe.launch(place, &dir, crate::PROXY_CPU, self.name(), address)
    }

    fn is_installed(self) -> bool {
        let program = match self {
            Self::DrainProxy => return true,
            Self::Varnish => "varnishd",
            other => other.name(),
        };
        Command::new("sh")
            .args(["-c", &format!("command -v {program}")])
            .output()
            .is_ok_and(|o| o.status.success())
    }
}

/// One program that runs.
pub(crate) struct Peer {
    /// What its column is called.
    pub(crate) name: &'static str,
    /// Where it takes requests.
    pub(crate) address: SocketAddr,
    child: Child,
}

impl Peer {
    /// The process's id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Waits until it answers: connections alone are taken by one whose servers are not checked yet, too.
    fn ready(self) -> Result<Self> {
        let begin = clock::now();
        while !self.answers() {
            ensure!(begin.elapsed() < START_WITHIN, "{} does not answer within {START_WITHIN:?}", self.name);
            clock::pause(LOOK_EVERY);
        }
        Ok(self)
    }

    /// Whether it answers a request now.
    pub(crate) fn answers(&self) -> bool {
        let ask = || {
            let mut stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(START_WITHIN))?;
            stream.write_all(b"GET /100 HTTP/1.1\r\nHost: ready\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_| answer)
        };
        ask().is_ok_and(|answer: String| answer.contains(" 200 "))
    }
}

/// A program's configuration and how it is started with it.
pub(crate) struct Recipe {
    pub(crate) text: String,
    pub(crate) command: fn(&Path, &Path, SocketAddr) -> Vec<String>,
}

impl Recipe {
    fn launch(
        self,
        place: &Place,
        dir: &Path,
        cpu: usize,
        name: &'static str,
        address: SocketAddr,
    ) -> Result<Peer> {
        let ending = if name == "drain-proxy" { "toml" } else { "conf" };
        let file: PathBuf = dir.join(format!("proxy.{ending}"));
        fs::write(&file, &self.text).with_context(|| format!("write {}", file.display()))?;
        let mut command: Command = place.command("taskset");
        command.args(["-c", &cpu.to_string()]).args((self.command)(&file, dir, address));
        let mut child = Child::start(place, dir, name, command, |_| false);
        // One that can't do what is asked of it is no reason to end the others' measurement.
        child.may_end();
        Ok(Peer { name, address, child })
    }
}

/// Starts a web server with answers of 100 B, 16 KiB and 1 MiB at `/100`, `/16k` and `/1m`, and one that takes bodies
/// at `/post`.
pub(crate) fn web_server(place: &Place, name: &'static str) -> Result<Peer> {
    let address = port::free();
    let dir = place.public().join(name);
    fs::create_dir_all(&dir).context("create the web server's directory")?;
    for (file, size) in [("100", 100), ("16k", 16 << 10), ("1m", 1 << 20)] {
        fs::write(dir.join(file), vec![b'x'; size]).context("write a page")?;
    }
    let recipe = recipes::web_server(&dir, address);
    recipe.launch(place, &place.subdir(name), crate::LOAD_CPU, name, address)?.ready()
}
