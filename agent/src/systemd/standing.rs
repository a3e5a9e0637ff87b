//! How a unit is, as systemd tells.

use std::fmt;

/// How a unit is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// Whether systemd has found it: `loaded`, `not-found`, `masked`, `bad-setting` and more.
    pub loaded: String,
    /// `active`, `reloading`, `inactive`, `failed`, `activating`, `deactivating`.
    pub active: String,
    /// More of the same: `running`, `auto-restart`.
    pub sub: String,
    /// The id of its present or last run, in hexadecimal; empty: it has not run since the host's start.
    pub invocation: String,
    /// A job for it waits or runs.
    pub has_job: bool,
    /// Its main process; `None` where it has none.
    pub main: Option<u32>,
    /// How its last run has ended: `success`, `exit-code`, `timeout` and more.
    pub result: String,
    /// The units whose activation starts it, such as sockets; one of its own name also where the
    /// unit is stopped and systemd has forgotten it.
    pub triggered_by: Vec<String>,
    /// Its name, and those that stand for it.
    pub names: Vec<String>,
}

impl Standing {
    /// Whether it runs.
    pub fn runs(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading")
    }

    /// Whether it is there, and `unit` is it, or a socket by which it is started.
    pub fn is_or_has_socket(&self, unit: &str) -> bool {
        let is_socket = unit.ends_with(".socket") && self.triggered_by.iter().any(|socket| socket == unit);
        self.loaded == "loaded" && (is_socket || self.names.iter().any(|name| name == unit))
    }
}

/// `active (running)`.
impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.active, if self.active == "failed" { &self.result } else { &self.sub })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_goes_by_all_its_names_and_with_its_sockets_while_it_is_there() {
        let texts = |all: &[&str]| all.iter().map(ToString::to_string).collect();
        let shop = Standing {
            loaded: "loaded".into(),
            names: texts(&["shop.service", "web.service"]),
            triggered_by: texts(&["http.socket", "shop.timer"]),
            ..Standing::default()
        };
        for unit in ["shop.service", "web.service", "http.socket"] {
            assert!(shop.is_or_has_socket(unit), "{unit}");
        }
        for unit in ["shop", "shop.socket", "shop.timer", "ssh.service", "-h.service", "--help", ""] {
            assert!(!shop.is_or_has_socket(unit), "{unit}");
        }
        let gone = Standing { loaded: "not-found".into(), ..shop };
        assert!(!gone.is_or_has_socket("shop.service") && !gone.is_or_has_socket("http.socket"));
    }

    #[test]
    fn a_unit_that_failed_says_how() {
        let standing = Standing { active: "failed".into(), sub: "failed".into(), ..Standing::default() };
        let standing = Standing { result: "exit-code".into(), ..standing };
        assert_eq!(standing.to_string(), "failed (exit-code)");
        assert!(!standing.runs());
    }
}
