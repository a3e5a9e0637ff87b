//! The companion unit, as it is written down.

use std::{fmt, path::Path, str::FromStr, time::Duration};

use super::UnitName;
use crate::config::socket_of;

/// Where the companion units are: the administrator's own directory, so that no package overwrites them.
pub const DIRECTORY: &str = "/etc/systemd/system";

/// How the first line of each of them begins, by which they are told from units that somebody else wrote.
const MARK: &str = "# Written by `drainctl guard";

/// What the hook needs beside the drain, before systemd would kill it: the agent may take 15 s to answer, and systemctl
/// has to be asked.
const GRACE: Duration = Duration::from_secs(20);

/// How long the hook at a start looks for an agent that starts, too, and systemctl.
const START: Duration = Duration::from_mins(1);

/// The shortest limit: balancers that ask every 2 s need 6 s to acknowledge.
const SHORTEST: Duration = Duration::from_secs(5);

/// What is left of a shutdown's time for everything else that stops: systemd's default for one unit.
const REST_OF_SHUTDOWN: Duration = Duration::from_secs(90);

/// A companion unit: after it is in place, whatever stops its unit drains before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Companion {
    /// The unit that is guarded.
    pub unit: UnitName,
    /// How `drainctl` reaches the agent: `-n apache2`, or `--socket PATH`.
    pub reach: String,
    /// The agent's own unit, which is to run while the companion stops; `None` where it runs otherwise.
    pub agent_unit: Option<String>,
    /// How it drains.
    pub mode: Mode,
    /// How long people wait at most.
    pub limit: Duration,
}

/// How a guard drains.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// No new users first, then nobody.
    Soft,
    /// Nobody, at once: people wait in front of it.
    Hard,
}

/// Why a limit can't be kept.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unfit {
    /// Nobody could acknowledge.
    #[error("a limit of {0:?} is too short for balancers to take notice; expected at least {SHORTEST:?}")]
    TooShort(Duration),
    /// The host would go down in mid-drain.
    #[error(
        "a limit of {limit:?} does not fit into a shutdown: {target} is over by force after {allowed:?}; expected at \
         most {:?}, or a longer JobTimeoutSec= of {target}", allowed.saturating_sub(REST_OF_SHUTDOWN)
    )]
    Shutdown {
        /// What was asked for.
        limit: Duration,
        /// `poweroff.target` or `reboot.target`.
        target: String,
        /// Its `JobTimeoutSec=`.
        allowed: Duration,
    },
}

impl Companion {
    /// The unit file.
    pub fn text(&self) -> String {
        let Self { unit, reach, mode, limit, .. } = self;
        let agent_unit = self.agent_unit.as_deref();
        let limit = seconds(*limit);
        // In the lines of commands `\` begins an escape; `%`, a specifier everywhere, is in no name.
        let word = unit.as_str().replace('\\', "\\\\");
        let after = agent_unit.map(|agent| format!(" {agent}")).unwrap_or_default();
        let wants = agent_unit.map(|agent| format!("Wants={agent}\n")).unwrap_or_default();
        format!(
            "{MARK} {unit} --mode {mode} --limit {limit}`; `drainctl unguard {unit}` takes it away.\n\
             [Unit]\n\
             Description=Drain before {unit} stops\n\
             Documentation=man:drainctl-guard(1)\n\
             # What stops or restarts the unit does so with this one, whose stop comes before, and whose start after.\n\
             PartOf={unit}\n\
             After={unit}{after}\n\
             {wants}\
             # Where the unit starts often, as in a loop of crashes, so does this one: refused, it would not drain any more.\n\
             StartLimitIntervalSec=0\n\
             \n\
             [Service]\n\
             Type=oneshot\n\
             RemainAfterExit=yes\n\
             ExecStart=/usr/bin/drainctl {reach} guarded start {word}\n\
             ExecStop=/usr/bin/drainctl {reach} guarded stop {word} --mode {mode} --limit {limit}\n\
             TimeoutStartSec={}\n\
             # The limit, and what the hook needs beside the drain.\n\
             TimeoutStopSec={}\n\
             \n\
             [Install]\n\
             WantedBy={unit}\n",
            seconds(START),
            seconds(self.stop_timeout()),
        )
    }

    /// Whether `drainctl` comes to the agent at this socket by its words.
    pub fn reaches(&self, socket: &Path) -> bool {
        match self.reach.split_once(' ') {
            Some(("-n", name)) => socket == socket_of(name),
            Some(("--socket", path)) => socket == Path::new(path),
            _ => false,
        }
    }

    /// How long systemd lets the hook work.
    pub fn stop_timeout(&self) -> Duration {
        self.limit + GRACE
    }

    /// Whether the limit can be kept; `shutdowns` are the targets of a shutdown with their `JobTimeoutSec=`, where they
    /// have one.
    pub fn fits(&self, shutdowns: &[(&str, Option<Duration>)]) -> Result<(), Unfit> {
        if self.limit < SHORTEST {
            return Err(Unfit::TooShort(self.limit));
        }
        for (target, allowed) in shutdowns {
            if let Some(allowed) = *allowed
                && self.stop_timeout() + REST_OF_SHUTDOWN > allowed + GRACE
            {
                return Err(Unfit::Shutdown { limit: self.limit, target: (*target).to_owned(), allowed });
            }
        }
        Ok(())
    }

    /// Whether a unit file was written by `drainctl guard`.
    pub fn is_ours(text: &str) -> bool {
        text.starts_with(MARK)
    }

    /// What such a file says; `None` where it is none of ours, or its line that stops was changed by hand.
    pub fn read(text: &str) -> Option<Self> {
        let unit = Self::guarded(text).filter(|_| Self::is_ours(text))?;
        let value = |key| text.lines().find_map(|line| line.strip_prefix(key));
        let (reach, hook) = value("ExecStop=/usr/bin/drainctl ")?.split_once(" guarded stop ")?;
        let after = |option| hook.split(' ').skip_while(move |word| *word != option).nth(1);
        Some(Self {
            unit,
            reach: reach.to_owned(),
            agent_unit: value("Wants=").map(str::to_owned),
            mode: after("--mode")?.parse().ok()?,
            limit: drain_config::duration(after("--limit")?)?,
        })
    }

    /// The unit that such a file guards. `app@1` and `app-1` share a companion's name.
    pub fn guarded(text: &str) -> Option<UnitName> {
        text.lines().find_map(|line| line.strip_prefix("PartOf="))?.parse().ok()
    }
}

/// In systemd's notation and ours alike; rounded up.
fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs_f64().ceil() as u64)
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Soft => "soft",
            Self::Hard => "hard",
        })
    }
}

impl FromStr for Mode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "soft" => Ok(Self::Soft),
            "hard" => Ok(Self::Hard),
            _ => Err("expected soft or hard"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn companion() -> Companion {
        Companion {
            unit: "apache2".parse().unwrap(),
            reach: "-n apache2".to_owned(),
            agent_unit: Some("drain-agent@apache2.service".to_owned()),
            mode: Mode::Hard,
            limit: Duration::from_mins(1),
        }
    }

    #[test]
    fn the_companion_drains_before_the_unit_stops_and_comes_back_after_it_has_started() {
        let text = companion().text();
        for line in [
            "PartOf=apache2.service",
            "After=apache2.service drain-agent@apache2.service",
            "Wants=drain-agent@apache2.service",
            "StartLimitIntervalSec=0",
            "Type=oneshot",
            "RemainAfterExit=yes",
            "ExecStart=/usr/bin/drainctl -n apache2 guarded start apache2.service",
            "ExecStop=/usr/bin/drainctl -n apache2 guarded stop apache2.service --mode hard --limit 60s",
            "TimeoutStopSec=80s",
            "WantedBy=apache2.service",
        ] {
            assert!(text.lines().any(|there| there == line), "expected {line:?} in\n{text}");
        }
        assert!(Companion::is_ours(&text));
        assert_eq!(Companion::read(&text), Some(companion()));
        assert_eq!(Companion::read(&text.replace("guarded stop", "status")), None, "changed by hand");
        assert!(!Companion::is_ours("[Unit]\nDescription=of somebody else\n"));
    }

    #[test]
    fn an_escaped_name_reaches_the_hooks_as_it_is() {
        let unit: UnitName = r"app@a\x2db.service".parse().unwrap();
        let text = Companion { unit: unit.clone(), ..companion() }.text();
        for line in [
            r"PartOf=app@a\x2db.service",
            r"WantedBy=app@a\x2db.service",
            r"ExecStart=/usr/bin/drainctl -n apache2 guarded start app@a\\x2db.service",
            r"ExecStop=/usr/bin/drainctl -n apache2 guarded stop app@a\\x2db.service --mode hard --limit 60s",
        ] {
            assert!(text.lines().any(|there| there == line), "expected {line:?} in\n{text}");
        }
        assert_eq!(Companion::guarded(&text), Some(unit.clone()));
        assert_eq!(Companion::read(&text), Some(Companion { unit, ..companion() }));
        assert!("a%b.service".parse::<UnitName>().is_err(), "no specifier is in a name");
    }

    #[test]
    fn an_agent_that_is_no_unit_is_not_ordered() {
        let text =
            Companion { agent_unit: None, reach: "--socket /run/x.sock".to_owned(), ..companion() }.text();
        assert!(text.contains("\nAfter=apache2.service\n"), "{text}");
        assert!(!text.contains("Wants="), "{text}");
        assert!(text.contains("drainctl --socket /run/x.sock guarded stop"), "{text}");
    }

    #[test]
    fn systemd_waits_longer_than_the_drain_lasts() {
        for limit in [5, 60, 1500].map(Duration::from_secs) {
            assert!(Companion { limit, ..companion() }.stop_timeout() > limit);
        }
    }

    #[test]
    fn a_limit_that_does_not_fit_into_a_shutdown_is_told() {
        let half_an_hour = [("reboot.target", Some(Duration::from_mins(30)))];
        assert_eq!(companion().fits(&half_an_hour), Ok(()));
        let longest = Companion { limit: Duration::from_secs(1710), ..companion() };
        assert_eq!(longest.fits(&half_an_hour), Ok(()));
        let long = Companion { limit: Duration::from_secs(1711), ..companion() };
        let error = long.fits(&half_an_hour).unwrap_err();
        assert!(error.to_string().contains("reboot.target"), "{error}");
        assert!(error.to_string().contains("1710s"), "{error}");
        assert_eq!(long.fits(&[("reboot.target", None)]), Ok(()), "a target without a limit");
    }

    #[test]
    fn a_limit_that_nobody_can_keep_is_refused() {
        let short = Companion { limit: Duration::from_secs(4), ..companion() };
        assert_eq!(short.fits(&[]), Err(Unfit::TooShort(Duration::from_secs(4))));
    }
}
