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
    /// Somebody of whom only a newer agent knows, as its state file has it: the drain goes on here, and back there it
    /// is known again.
    #[serde(untagged)]
    Newer(serde_json::Value),
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
            Self::Newer(_) => f.write_str("somebody of whom only a newer agent knows"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_of_a_newer_agent_is_kept_as_it_is() {
        let newer = r#"{"calendar":{"entry":7}}"#;
        let read: Origin = serde_json::from_str(newer).unwrap();
        assert!(matches!(read, Origin::Newer(_)), "{read:?}");
        assert_eq!(serde_json::to_string(&read).unwrap(), newer);
        for known in [
            Origin::Agent,
            Origin::Control { pid: None, uid: 0, gid: 0 },
            Origin::Signal { signal: "SIGUSR1".into(), pid: None, uid: None },
        ] {
            let text = serde_json::to_string(&known).unwrap();
            assert_eq!(serde_json::from_str::<Origin>(&text).unwrap(), known);
        }
    }
}
