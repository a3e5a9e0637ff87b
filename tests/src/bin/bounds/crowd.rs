//! Very many connections to one port, held by processes of their own: one may open only so many files.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::{AsFd as _, OwnedFd},
    process::{Child, Command, Stdio},
    thread,
};

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Signal, getrlimit, set_parent_process_death_signal};
use socket2::{Domain, Socket, Type};

/// Files that a process needs beside its connections.
const OTHER_FILES: u64 = 100;
/// Both ends of a connection are files of the same process.
const ENDS: u64 = 2;
/// Fewer than the ports that one source address has.
const MOST_OF_A_SOURCE: u64 = 20_000;

/// Connections that are open and answered; they end with this value.
pub(crate) struct Crowd {
    holders: Vec<Child>,
    /// Where they are connected to.
    pub(crate) address: SocketAddr,
    /// How many they are.
    pub(crate) count: usize,
}

impl Crowd {
    /// So many connections to one port.
    pub(crate) fn new(count: usize) -> Result<Self> {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let most = (files.saturating_sub(OTHER_FILES) / ENDS).min(MOST_OF_A_SOURCE) as usize;
        if most == 0 {
            bail!("expected to be allowed more than {OTHER_FILES} open files, found {files}; see ulimit -n");
        }
        let listener = TcpListener::bind(drain_tests::port::free())?;
        let mut crowd = Self { holders: Vec::new(), address: listener.local_addr()?, count };
        for holder in 0..count.div_ceil(most) {
            let share = most.min(count - holder * most);
            let mut command = Command::new(std::env::current_exe()?);
            command.args([HOLD, &share.to_string(), &holder.to_string()]);
            command.stdin(Stdio::from(OwnedFd::from(listener.try_clone()?))).stdout(Stdio::piped());
            crowd.holders.push(command.spawn()?);
        }
        for holder in &mut crowd.holders {
            let out = holder.stdout.take().context("a pipe was asked for")?;
            let mut line = String::new();
            BufReader::new(out).read_line(&mut line)?;
            anyhow::ensure!(line == HELD, "a holder of connections has ended before it had them");
        }
        // From now on only the agent's probes come, which want no more than to be accepted.
        thread::spawn(move || while listener.accept().is_ok() {});
        Ok(crowd)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for holder in &mut self.holders {
            let _ = holder.kill();
            let _ = holder.wait();
        }
    }
}

/// The word that makes a process of this program a holder.
pub(crate) const HOLD: &str = "hold";
/// What it says when it has all its connections.
const HELD: &str = "held\n";

/// Opens `count` connections to the listener that is standard input, and holds them until it is ended. Each connects
/// and accepts in turn; whose connection it accepts does not matter.
pub(crate) fn hold(count: usize, holder: u8) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let listener = TcpListener::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let (to, from) = (listener.local_addr()?, SocketAddr::from((Ipv4Addr::new(127, 0, 1, holder + 1), 0)));
    let mut held: Vec<TcpStream> = Vec::with_capacity(2 * count);
    for _ in 0..count {
        let user = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        user.bind(&from.into())?;
        user.connect(&to.into())?;
        let mut user = TcpStream::from(user);
        user.write_all(b"ask!")?;
        let (mut server, _) = listener.accept()?;
        server.read_exact(&mut [0; 4])?;
        server.write_all(b"fine")?;
        held.extend([user, server]);
    }
    std::io::stdout().write_all(HELD.as_bytes())?;
    std::io::stdout().flush()?;
    loop {
        thread::park();
    }
}
