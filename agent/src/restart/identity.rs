//! Which processes are the server: what a restart is to replace.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::time;

use super::{
    process::{self, Found, LOOK_INTERVAL, Process, blocking},
    unit::Run,
};
use crate::{
    config::Proof,
    traffic::sockets::{Doors, Listener, LookError},
};

/// The processes that hold the sockets on which the server listens. Empty: nobody listens.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Identity {
    /// Those whose parent is not one of them.
    pub main: Vec<Process>,
    /// The others: a main process has made them and lets them serve.
    pub workers: Vec<Process>,
    /// The run of the unit that they belong to, where systemd is to restart it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Run>,
}

impl Identity {
    /// Who listens at `doors` now.
    pub async fn of(doors: Doors) -> Result<Self, IdentityError> {
        blocking(move || Self::look_again(&doors)).await
    }

    /// A unit's run with its main process and the others.
    pub(super) fn of_unit((run, main, workers): (Run, Vec<Process>, Vec<Process>)) -> Self {
        Self { main, workers, unit: Some(run) }
    }

    /// Whether nobody listens.
    pub const fn is_empty(&self) -> bool {
        self.main.is_empty() && self.workers.is_empty()
    }

    /// Which of its processes must be gone before `proof` is satisfied.
    ///
    /// A server without workers has nothing but its main processes to replace.
    pub fn must_go(&self, proof: Proof) -> &[Process] {
        match proof {
            Proof::Workers if !self.workers.is_empty() => &self.workers,
            Proof::Process | Proof::Workers | Proof::None => &self.main,
        }
    }

    /// Those of the processes that must be gone that are still there.
    pub async fn remaining(&self, proof: Proof) -> Result<Vec<Process>, IdentityError> {
        let must_go = self.must_go(proof).to_vec();
        blocking(move || process::running(&must_go)).await
    }

    /// Waits until a server has taken the place of this one: what must go is gone; where nobody has listened,
    /// somebody listens.
    pub(super) async fn replaced(
        &self,
        doors: Doors,
        proof: Proof,
        limit: Duration,
    ) -> Result<(), ProofError> {
        if proof == Proof::None {
            return Ok(());
        }
        let mut remaining = Vec::new();
        let replaced = async {
            loop {
                if self.is_empty() {
                    let doors = doors.clone();
                    if blocking(move || Ok(!Listener::all(&doors)?.is_empty())).await? {
                        return Ok(());
                    }
                } else {
                    remaining = self.remaining(proof).await?;
                    if remaining.is_empty() {
                        return Ok(());
                    }
                }
                time::sleep(LOOK_INTERVAL).await;
            }
        };
        match time::timeout(limit, replaced).await {
            Ok(result) => result,
            Err(_) if self.is_empty() => Err(ProofError::NobodyListens { doors: doors.to_string(), limit }),
            Err(_) => Err(ProofError::Remain { processes: list(&remaining), limit }),
        }
    }

    /// Waits until none of the main processes is left; then the server is stopped. One that did not run is so already.
    pub async fn gone(&self, limit: Duration) -> Result<(), ProofError> {
        let mut remaining = Vec::new();
        let gone = async {
            loop {
                remaining = self.remaining(Proof::Process).await?;
                if remaining.is_empty() {
                    return Ok(());
                }
                time::sleep(LOOK_INTERVAL).await;
            }
        };
        match time::timeout(limit, gone).await {
            Ok(result) => result,
            Err(_) => Err(ProofError::NotGone { processes: list(&remaining), limit }),
        }
    }

    fn look(doors: &Doors) -> Result<Self, IdentityError> {
        let listeners = Listener::all(doors)?;
        if listeners.is_empty() {
            return Ok(Self::default());
        }
        let holders = Holders::of(&listeners)?;
        let found = process::find(&holders.pids)?;
        Ok(Self::sort(found))
    }

    /// [`Self::look`], once more where nobody was found to hold a socket: a server that begins or ends at this moment
    /// looks like one that may not be looked at.
    fn look_again(doors: &Doors) -> Result<Self, IdentityError> {
        match Self::look(doors) {
            Err(IdentityError::Hidden { .. }) => Self::look(doors),
            done => done,
        }
    }

    fn sort(found: HashMap<u32, Found>) -> Self {
        let holders: HashSet<u32> =
            found.values().filter(|f| !is_service_manager(f)).map(|f| f.process.pid).collect();
        let mut identity = Self::default();
        for Found { process, parent } in found.into_values() {
            if !holders.contains(&process.pid) {
                continue;
            }
            let is_worker = parent.is_some_and(|parent| holders.contains(&parent));
            if is_worker { identity.workers.push(process) } else { identity.main.push(process) }
        }
        identity.main.sort_by_key(|p| p.pid);
        identity.workers.sort_by_key(|p| p.pid);
        identity
    }
}

/// systemd holds the sockets of a socket-activated server too, and no restart of the server replaces it.
fn is_service_manager(found: &Found) -> bool {
    found.process.pid == 1 || found.process.name == "systemd"
}

/// The processes that hold certain sockets.
struct Holders {
    pids: Vec<u32>,
}

impl Holders {
    /// Looks through the open files of all processes, as `ss -p` does: the kernel keeps no list in the other
    /// direction.
    fn of(listeners: &[Listener]) -> Result<Self, IdentityError> {
        let mut unheld: HashSet<u32> = listeners.iter().map(|l| l.inode).collect();
        let inodes = unheld.clone();
        let mut pids = Vec::new();
        let mut hidden = 0;
        for pid in process::all()? {
            match sockets(pid) {
                Ok(sockets) => {
                    let held: Vec<u32> = sockets.filter(|inode| inodes.contains(inode)).collect();
                    if !held.is_empty() {
                        pids.push(pid);
                    }
                    for inode in &held {
                        unheld.remove(inode);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => hidden += 1,
                Err(_) => {} // it has ended meanwhile
            }
        }
        let Some(unknown) = listeners.iter().find(|l| unheld.contains(&l.inode)) else {
            return Ok(Self { pids });
        };
        Err(IdentityError::Hidden { listener: unknown.place.to_string(), uid: unknown.uid, hidden })
    }
}

/// The inodes of the sockets that the process `pid` has open.
fn sockets(pid: u32) -> io::Result<impl Iterator<Item = u32>> {
    let files = fs::read_dir(format!("/proc/{pid}/fd"))?;
    Ok(files.filter_map(|file| {
        let target = fs::read_link(file.ok()?.path()).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    }))
}

fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

/// Why it can't be told which processes are the server.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The socket table could not be read.
    #[error(transparent)]
    Look(#[from] LookError),
    /// The processes could not be listed.
    #[error("the processes could not be listed in /proc: {0}")]
    Proc(#[source] io::Error),
    /// Somebody listens, but nobody is seen to hold the socket.
    #[error(
        "expected to find the process that listens on {listener} (user {uid}), but the open files of {hidden} \
         processes may not be looked at; run the agent as root, or give it CAP_SYS_PTRACE and \
         CAP_DAC_READ_SEARCH, or set restart.proof = \"none\""
    )]
    Hidden {
        /// Where it listens.
        listener: String,
        /// Whose socket it is.
        uid: u32,
        /// How many processes could not be looked at.
        hidden: usize,
    },
    /// sysinfo could not look.
    #[error("the processes could not be looked at: {0}")]
    System(String),
}

/// Why a server is not taken for a new one.
#[derive(Debug, Error)]
pub enum ProofError {
    /// The old one is still there.
    #[error(
        "expected new processes after the restart, found the old ones still running after {limit:?}: \
         {processes}; if they are meant to survive it, set restart.proof to \"workers\" or \"none\""
    )]
    Remain {
        /// Which.
        processes: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// A server that was to be stopped is still there.
    #[error(
        "expected the server's processes to be gone after the stop, found them still running after {limit:?}: \
         {processes}; let restart.stop end them, or set restart.proof to \"none\""
    )]
    NotGone {
        /// Which.
        processes: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// Nobody had listened, and still nobody does.
    #[error("expected somebody to listen on {doors} after the restart, found nobody within {limit:?}")]
    NobodyListens {
        /// Where.
        doors: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// It can't be told.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::sockets::Place;

    fn found(pid: u32, parent: u32, name: &str) -> (u32, Found) {
        let process = Process { pid, started_seconds: 1, name: name.into() };
        (pid, Found { process, parent: Some(parent) })
    }

    fn pids(processes: &[Process]) -> Vec<u32> {
        processes.iter().map(|p| p.pid).collect()
    }

    #[test]
    fn holders_whose_parent_holds_too_are_workers() {
        let apache = [found(10, 1, "apache2"), found(12, 10, "apache2"), found(11, 10, "apache2")];
        let identity = Identity::sort(apache.into());
        assert_eq!(pids(&identity.main), [10]);
        assert_eq!(pids(&identity.workers), [11, 12]);
    }

    #[test]
    fn systemd_is_no_server_even_if_it_holds_the_socket() {
        let activated =
            [found(1, 0, "init"), found(7, 1, "systemd"), found(10, 1, "httpd"), found(11, 7, "httpd")];
        let identity = Identity::sort(activated.into());
        assert_eq!(pids(&identity.main), [10, 11]);
        assert_eq!(pids(&identity.workers), Vec::<u32>::new());
    }

    #[test]
    fn a_socket_that_nobody_is_seen_to_hold_is_an_error_that_says_what_to_do() {
        let place = Place::Tcp("127.0.0.1:80".parse().unwrap());
        let hidden = Holders::of(&[Listener { place, inode: u32::MAX, uid: 33 }]);
        let error = hidden.err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains("127.0.0.1:80 (user 33)"), "{error}");
        assert!(error.contains("CAP_SYS_PTRACE"), "{error}");
    }

    #[test]
    fn what_must_go_depends_on_the_proof() {
        let server = Identity::sort([found(10, 1, "apache2"), found(11, 10, "apache2")].into());
        assert_eq!(pids(server.must_go(Proof::Process)), [10]);
        assert_eq!(pids(server.must_go(Proof::Workers)), [11]);
        let single = Identity::sort([found(10, 1, "python3")].into());
        assert_eq!(pids(single.must_go(Proof::Workers)), [10]);
    }
}
