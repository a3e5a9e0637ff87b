//! Who asks.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

/// Who asked for something.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A signal, with its sender where the kernel tells.
    Signal {
        /// `SIGUSR1` and the like.
        signal: String,
        /// Process that sent it.
        pid: Option<i32>,
        /// User that sent it.
        uid: Option<u32>,
    },
    /// Somebody on the control socket.
    Control {
        /// Process, by the socket's peer credentials.
        pid: Option<i32>,
        /// User.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// Somebody on the HTTPS control port.
    Remote {
        /// What the token is called that was shown.
        token: String,
        /// Where the connection came from.
        from: IpAddr,
    },
    /// The agent itself: a limit, a guard.
    Agent,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal { signal, pid: Some(pid), uid: Some(uid) } => {
                write!(f, "{signal} from pid {pid} uid {uid}")
            }
            Self::Signal { signal, .. } => f.write_str(signal),
            Self::Control { pid: Some(pid), uid, .. } => write!(f, "control socket, pid {pid} uid {uid}"),
            Self::Control { pid: None, uid, .. } => write!(f, "control socket, uid {uid}"),
            Self::Remote { token, from } => write!(f, "control port, token {token} from {from}"),
            Self::Agent => f.write_str("the agent"),
        }
    }
}
