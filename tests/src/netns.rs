//! Network namespaces, as containers have them, which go with the test.

use std::{
    env,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{self, Command},
    sync::atomic::{AtomicU32, Ordering},
};

use drain_agent::traffic::sockets::Namespace;
use rustix::process::geteuid;

use crate::child::output;

/// A network namespace with a name. It goes with this value, and what ties it to the test's own with it.
#[derive(Debug)]
pub struct Netns {
    name: String,
    /// Its end of the cable, and both addresses, where it has one.
    link: Option<Link>,
}

#[derive(Debug)]
struct Link {
    inside: String,
    outer: Ipv4Addr,
    inner: Ipv4Addr,
}

impl Netns {
    /// One with a loopback of its own; nothing where this user may not make any, which in CI fails the test.
    pub fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !geteuid().is_root() {
            assert!(env::var_os("CI").is_none(), "expected root, who alone makes network namespaces");
            eprintln!("not tested: only root makes network namespaces");
            return None;
        }
        let name = format!("dr{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        run(&["ip", "netns", "add", &name]);
        let new = Self { name, link: None };
        run(&["ip", "-n", &new.name, "link", "set", "lo", "up"]);
        Some(new)
    }

    /// The same, and a cable to the test's own namespace: two addresses of `10.NET.0.0/30`, a network that nothing else
    /// may use.
    pub fn linked(net: u8) -> Option<Self> {
        let mut new = Self::new()?;
        let [outer, inner] = [1, 2].map(|host| Ipv4Addr::new(10, net, 0, host));
        // Names of interfaces have 15 characters at most.
        let ends = ["o", "i"].map(|end| format!("{}{end}", new.name));
        run(&["ip", "link", "add", &ends[0], "type", "veth", "peer", "name", &ends[1], "netns", &new.name]);
        run(&["ip", "address", "add", &format!("{outer}/30"), "dev", &ends[0]]);
        run(&["ip", "link", "set", &ends[0], "up"]);
        run(&["ip", "-n", &new.name, "address", "add", &format!("{inner}/30"), "dev", &ends[1]]);
        run(&["ip", "-n", &new.name, "link", "set", &ends[1], "up"]);
        let [_, inside] = ends;
        new.link = Some(Link { inside, outer, inner });
        Some(new)
    }

    /// By which `ip netns` knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the test's own namespace is from inside.
    pub fn outer(&self) -> Ipv4Addr {
        self.link().outer
    }

    /// Where it is from outside.
    pub fn inner(&self) -> Ipv4Addr {
        self.link().inner
    }

    /// Pulls the cable out, or puts it in again: what is sent meanwhile is lost, and nobody is told.
    pub fn cut_off(&self, off: bool) {
        let to = if off { "down" } else { "up" };
        run(&["ip", "-n", &self.name, "link", "set", &self.link().inside, to]);
    }

    /// A connection made inside, which can be used from anywhere.
    pub fn connect(&self, to: SocketAddr) -> Result<TcpStream, String> {
        let path = Path::new("/run/netns").join(&self.name);
        let inside = Namespace::at(Some(&path));
        inside.within(|| TcpStream::connect(to)).map_err(|e| e.to_string())?.map_err(|e| e.to_string())
    }

    /// Where its file is.
    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// Takes its name away; what runs inside lives on.
    pub fn remove(&self) {
        let _gone = output(command(&["ip", "netns", "del", &self.name]));
    }

    fn link(&self) -> &Link {
        self.link.as_ref().expect("this namespace was linked")
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        // The cable goes with its inner end.
        if let Some(link) = &self.link {
            let _gone = output(command(&["ip", "-n", &self.name, "link", "del", &link.inside]));
        }
        self.remove();
    }
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}

fn run(words: &[&str]) {
    let out = output(command(words));
    assert!(out.status.success(), "{words:?}: {out:?}");
}
