//! What can be asked of the machine.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// What follows when the traffic is zero.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Then {
    /// Restart the server and bring it back.
    Restart,
    /// Stay in hard until told otherwise. (A soft drain for which nothing is said holds in soft; with `hold` it goes
    /// on to hard as if it were to restart, and holds there: that is what `drainctl run` asks.)
    Hold,
    /// Stop the server as the configuration says, and stay in hard until told otherwise.
    Stop,
    /// Run the command of this name in the configuration, and bring the server back.
    Run(String),
}

impl fmt::Display for Then {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restart => f.write_str("restart"),
            Self::Hold => f.write_str("hold"),
            Self::Stop => f.write_str("stop"),
            Self::Run(name) => write!(f, "run:{name}"),
        }
    }
}

/// What stands where something that can follow should stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected restart, stop, hold or run:NAME")]
pub struct NoSuchThen;

impl FromStr for Then {
    type Err = NoSuchThen;

    fn from_str(text: &str) -> Result<Self, NoSuchThen> {
        match (text, text.strip_prefix("run:")) {
            ("restart", _) => Ok(Self::Restart),
            ("hold", _) => Ok(Self::Hold),
            ("stop", _) => Ok(Self::Stop),
            (_, Some(name)) if !name.is_empty() => Ok(Self::Run(name.to_owned())),
            _ => Err(NoSuchThen),
        }
    }
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
    /// The same although a command may be at work on the server.
    UpByForce,
    /// Come back by way of warming: the server was restarted by somebody else (`drainctl run`), with what they ran.
    Return(Option<Ran>),
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Soft(options) => write!(f, "soft{options}"),
            Self::Hard(options) => write!(f, "hard{options}"),
            Self::Up => f.write_str("up"),
            Self::UpByForce => f.write_str("up, by force"),
            Self::Return(None) => f.write_str("return"),
            Self::Return(Some(ran)) => write!(f, "return, {ran}"),
        }
    }
}

/// How the command has ended that whoever asked for a drain ran himself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ran {
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// What went wrong, such as `exit status: 3`; nothing where it went well.
    pub failure: Option<String>,
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = Duration::from_millis(self.took_ms);
        match &self.failure {
            None => write!(f, "the command was done in {took:?}"),
            // As text with its quotes, as a reason.
            Some(failure) => write!(f, "the command failed after {took:?}: {failure:?}"),
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
    /// For how many seconds a drain that holds is to last; nothing: until told otherwise.
    pub for_seconds: Option<u64>,
    /// What the one who asks runs himself while the drain holds (`drainctl run`), for the history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(then) = &self.then {
            write!(f, ", then {then}")?;
        }
        if let Some(seconds) = self.for_seconds {
            write!(f, ", for {seconds}s")?;
        }
        f.write_str(if self.force { ", by force" } else { "" })?;
        if let Some(command) = &self.command {
            write!(f, ", to run {command:?}")?;
        }
        // As text with its quotes: what people write must not look like a line of the log.
        self.reason.as_ref().map_or(Ok(()), |reason| write!(f, ", reason {reason:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reads_as_people_say_it() {
        let options = Options {
            then: Some(Then::Restart),
            reason: Some("new\nrelease".into()),
            force: true,
            ..Options::default()
        };
        assert_eq!(
            Request::Soft(options).to_string(),
            r#"soft, then restart, by force, reason "new\nrelease""#
        );
        assert_eq!(Request::Hard(Options::default()).to_string(), "hard");
        assert_eq!(Request::Up.to_string(), "up");
        let options = Options { for_seconds: Some(1800), ..Options::default() };
        assert_eq!(Request::Soft(options).to_string(), "soft, for 1800s");
    }

    #[test]
    fn what_can_follow_is_read_as_it_is_written() {
        for text in ["restart", "hold", "stop", "run:upgrade"] {
            assert_eq!(text.parse::<Then>().unwrap().to_string(), text);
        }
        for text in ["", "run", "run:", "reboot"] {
            assert!(text.parse::<Then>().is_err(), "{text}");
        }
    }
}
