//! Who is at the other end, and what they may do.

use std::{fs, net::IpAddr};

use tokio::net::{UnixStream, unix::UCred};

use super::tokens::Holder;
use crate::lifecycle::Origin;

/// The other end of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Peer {
    /// A process of this host, on the socket.
    Local(Local),
    /// Somebody with a token, on the HTTPS port.
    Remote {
        /// Whose token it is.
        holder: Holder,
        /// Where the connection comes from.
        from: IpAddr,
    },
}

/// A process, as the kernel recorded it when it connected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Local {
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
        let (pid, uid, gid) = (credentials.pid(), credentials.uid(), credentials.gid());
        Ok(Self::Local(Local { pid, uid, gid, groups }))
    }

    pub(super) fn origin(&self) -> Origin {
        match self {
            Self::Local(Local { pid, uid, gid, .. }) => Origin::Control { pid: *pid, uid: *uid, gid: *gid },
            Self::Remote { holder, from } => Origin::Remote { token: holder.name.to_string(), from: *from },
        }
    }
}

/// Who may do what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access {
    /// The agent's own user.
    pub(super) uid: u32,
    /// Who else may drain.
    pub(super) drain: Who,
    /// Who may look, beside who may drain.
    pub(super) look: Who,
}

/// Some of the host's users.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Who {
    Everybody,
    /// The members of a group, by its number.
    Members(u32),
    /// Also where the group that is named is not there.
    Nobody,
}

impl Access {
    /// | peer | may look | may drain |
    /// |---|---|---|
    /// | root | yes | yes |
    /// | the agent's user | yes | yes |
    /// | of `drain` | yes | yes |
    /// | of `look` | yes | no |
    /// | anybody else who can connect | no | no |
    /// | who has a token | yes | unless it is for looking |
    pub(super) fn may_drain(self, peer: &Peer) -> bool {
        match peer {
            Peer::Local(local) => local.uid == 0 || local.uid == self.uid || local.is_of(self.drain),
            Peer::Remote { holder, .. } => holder.may_drain,
        }
    }

    /// The other column.
    pub(super) fn may_look(self, peer: &Peer) -> bool {
        match peer {
            Peer::Local(local) => self.may_drain(peer) || local.is_of(self.look),
            Peer::Remote { .. } => true,
        }
    }
}

impl Local {
    /// For people.
    pub(super) const fn uid(&self) -> u32 {
        self.uid
    }

    fn is_of(&self, who: Who) -> bool {
        match who {
            Who::Everybody => true,
            Who::Members(group) => self.gid == group || self.groups.contains(&group),
            Who::Nobody => false,
        }
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
        Peer::Local(Local { pid: Some(1), uid, gid, groups: groups.to_vec() })
    }

    #[test]
    fn each_row_of_the_table_holds() {
        let access = Access { uid: 500, drain: Who::Members(77), look: Who::Members(88) };
        let may = |access: Access, peer: &Peer| (access.may_look(peer), access.may_drain(peer));
        assert_eq!(may(access, &peer(0, 0, &[])), (true, true), "root");
        assert_eq!(may(access, &peer(500, 500, &[])), (true, true), "the agent's user");
        assert_eq!(may(access, &peer(1000, 77, &[])), (true, true), "member by primary group");
        assert_eq!(may(access, &peer(1000, 1000, &[4, 77])), (true, true), "member by supplementary group");
        assert_eq!(may(access, &peer(1000, 1000, &[4, 88])), (true, false), "who may look");
        assert_eq!(may(access, &peer(1000, 500, &[4])), (false, false), "anybody else");
        let open = Access { drain: Who::Nobody, look: Who::Everybody, ..access };
        assert_eq!(may(open, &peer(1000, 0, &[0])), (true, false), "without configured groups");
        let closed = Access { look: Who::Nobody, ..open };
        assert_eq!(
            may(closed, &peer(1000, 0, &[0])),
            (false, false),
            "while the group that may look is not there"
        );
        let remote = |may_drain| Peer::Remote {
            holder: Holder { name: "deploy".into(), may_drain },
            from: [10, 0, 0, 9].into(),
        };
        assert_eq!(may(access, &remote(true)), (true, true), "who has a token");
        assert_eq!(may(access, &remote(false)), (true, false), "who has one for looking");
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
