//! Who is at the other end of the socket, and what they may do.

use std::fs;

use tokio::net::{UnixStream, unix::UCred};

use crate::lifecycle::Origin;

/// The other end of a connection, as the kernel recorded it when it was opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Peer {
    pid: Option<i32>,
    uid: u32,
    gid: u32,
    /// Supplementary groups.
    groups: Vec<u32>,
}

impl Peer {
    pub(super) fn of(stream: &UnixStream) -> std::io::Result<Self> {
        let credentials = stream.peer_cred()?;
        let groups = groups(&credentials).unwrap_or_default();
        Ok(Self { pid: credentials.pid(), uid: credentials.uid(), gid: credentials.gid(), groups })
    }

    pub(super) fn origin(&self) -> Origin {
        Origin::Control { pid: self.pid, uid: self.uid, gid: self.gid }
    }

    /// For people.
    pub(super) fn uid(&self) -> u32 {
        self.uid
    }
}

/// Who may drain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access {
    /// The agent's own user.
    pub(super) uid: u32,
    /// The configured group.
    pub(super) group: Option<u32>,
}

impl Access {
    /// | peer | may look | may drain |
    /// |---|---|---|
    /// | root | yes | yes |
    /// | the agent's user | yes | yes |
    /// | member of the group | yes | yes |
    /// | anybody else who can connect | yes | no |
    pub(super) fn may_drain(self, peer: &Peer) -> bool {
        let member = |group: u32| peer.gid == group || peer.groups.contains(&group);
        peer.uid == 0 || peer.uid == self.uid || self.group.is_some_and(member)
    }
}

/// The supplementary groups of the process that connected. The pid may belong to another process by now: what is found
/// is only taken where that one runs as the same user, who can act for it anyway.
fn groups(credentials: &UCred) -> Option<Vec<u32>> {
    let status = fs::read_to_string(format!("/proc/{}/status", credentials.pid()?)).ok()?;
    groups_of(&status, credentials.uid())
}

/// Reads `Groups` from /proc/PID/status if all of `Uid` (real, effective, saved, file system) are `uid`.
fn groups_of(status: &str, uid: u32) -> Option<Vec<u32>> {
    let numbers = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().map(|number| number.parse::<u32>().ok()).collect::<Option<Vec<_>>>()
    };
    numbers("Uid")?.iter().all(|&id| id == uid).then_some(())?;
    numbers("Groups")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(uid: u32, gid: u32, groups: &[u32]) -> Peer {
        Peer { pid: Some(1), uid, gid, groups: groups.to_vec() }
    }

    #[test]
    fn each_row_of_the_table_holds() {
        let access = Access { uid: 500, group: Some(77) };
        assert!(access.may_drain(&peer(0, 0, &[])), "root");
        assert!(access.may_drain(&peer(500, 500, &[])), "the agent's user");
        assert!(access.may_drain(&peer(1000, 77, &[])), "member by primary group");
        assert!(access.may_drain(&peer(1000, 1000, &[4, 77])), "member by supplementary group");
        assert!(!access.may_drain(&peer(1000, 500, &[4])), "anybody else");
        assert!(
            !Access { uid: 500, group: None }.may_drain(&peer(1000, 0, &[0])),
            "without a configured group"
        );
    }

    #[test]
    fn groups_are_believed_of_the_same_user_only() {
        let status = "Name:\tx\nUid:\t1000\t1000\t1000\t1000\nGid:\t100\t100\t100\t100\nGroups:\t4 77 \n";
        assert_eq!(groups_of(status, 1000), Some(vec![4, 77]));
        assert_eq!(groups_of(status, 1001), None, "the pid was given to another user's process");
        let setuid = status.replacen("1000\t1000", "1000\t0", 1);
        assert_eq!(groups_of(&setuid, 1000), None, "the process has become another user");
    }
}
