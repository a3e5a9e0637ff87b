//! What can be asked of the machine.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What follows when the traffic is zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Then {
    /// Restart the server and bring it back.
    Restart,
    /// Stay in hard until told otherwise. (A soft drain for which nothing is said holds in soft; with `hold` it goes
    /// on to hard as if it were to restart, and holds there: that is what `drainctl run` asks.)
    Hold,
}

/// What can be asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Soft drain.
    Soft(Options),
    /// Hard drain.
    Hard(Options),
    /// Cancel a drain, or come back from hold or failed.
    Up,
    /// Come back by way of warming: the server was restarted by somebody else (`drainctl run`).
    Return,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Soft(options) => write!(f, "soft{options}"),
            Self::Hard(options) => write!(f, "hard{options}"),
            Self::Up => f.write_str("up"),
            Self::Return => f.write_str("return"),
        }
    }
}

/// The particulars of a drain.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// What follows zero. Nothing said: a signal restarts; on the control socket soft holds in soft and hard in hard.
    pub then: Option<Then>,
    /// Why, for people.
    pub reason: Option<String>,
    /// Override the guards.
    pub force: bool,
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.then {
            Some(Then::Restart) => f.write_str(", then restart")?,
            Some(Then::Hold) => f.write_str(", then hold")?,
            None => {}
        }
        f.write_str(if self.force { ", by force" } else { "" })?;
        // As text with its quotes: what people write must not look like a line of the log.
        self.reason.as_ref().map_or(Ok(()), |reason| write!(f, ", reason {reason:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reads_as_people_say_it() {
        let options = Options { then: Some(Then::Restart), reason: Some("new\nrelease".into()), force: true };
        assert_eq!(
            Request::Soft(options).to_string(),
            r#"soft, then restart, by force, reason "new\nrelease""#
        );
        assert_eq!(Request::Hard(Options::default()).to_string(), "hard");
        assert_eq!(Request::Up.to_string(), "up");
    }
}
