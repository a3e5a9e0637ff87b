//! What traffic and changes of health say and do beside checks: `observe`, `error_limit`, `on_error`,
//! `on_marked_down`, `on_marked_up` of a server.

use std::num::NonZeroU32;

use drain_config::{Mistake, Table};

/// A server's passive health, and what its sessions have of its changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Passive {
    /// Whether its answers to users are looked at; `None`: only its checks count.
    pub observe: Option<Observe>,
    /// Its sessions end when it goes down, unless it says that it drains.
    pub shutdown_sessions: bool,
    /// Those of all backups end when it comes up.
    pub shutdown_backup_sessions: bool,
}

/// What of a server's traffic is looked at, and what follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Observe {
    /// What is looked at.
    pub layer: Layer,
    /// So many errors in a row count.
    pub error_limit: NonZeroU32,
    /// What follows then.
    pub on_error: OnError,
}

/// What of a server's traffic is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layer {
    /// Connections.
    Four,
    /// Connections and answers.
    Seven,
}

/// What follows when a server has failed its users too often. With each, the next check comes after `fastinter`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnError {
    /// Nothing else.
    Fastinter,
    /// As one failed check.
    FailCheck,
    /// As so many failed checks that one more takes it down.
    SuddenDeath,
    /// It is down.
    MarkDown,
}

/// HAProxy's `error-limit`.
const ERROR_LIMIT: NonZeroU32 = NonZeroU32::new(10).expect("10 is not 0");

/// A bound for slips: with more errors in a row checks have found the server long before.
const MOST_ERRORS: u32 = 1_000_000;

impl Passive {
    /// The keys of a server, which is `checked` or not.
    pub(super) fn read(table: &Table<'_>, checked: bool) -> Self {
        let (layer, limit) = (table.take("observe"), table.take("error_limit"));
        let on_error = table.take("on_error");
        if layer.is_none() {
            for value in [&limit, &on_error].into_iter().flatten() {
                value.wrong("has no effect", r#"expected `observe = "layer7"` or `"layer4"` beside it"#);
            }
        } else if !checked {
            let title = "`observe` needs a check: without one, nothing would bring the server back";
            table.report(
                Mistake::new(table.place(), title, "")
                    .help("write `check = {}` in the server or its backend"),
            );
        }
        let layers = [("layer4", Layer::Four), ("layer7", Layer::Seven)];
        let words = [
            ("fastinter", OnError::Fastinter),
            ("fail-check", OnError::FailCheck),
            ("sudden-death", OnError::SuddenDeath),
            ("mark-down", OnError::MarkDown),
        ];
        let limit = limit.and_then(|value| value.number(1, MOST_ERRORS)).and_then(NonZeroU32::new);
        let on_error = on_error.and_then(|value| value.choice(&words));
        let observe = layer.and_then(|value| value.choice(&layers)).map(|layer| Observe {
            layer,
            error_limit: limit.unwrap_or(ERROR_LIMIT),
            on_error: on_error.unwrap_or(OnError::FailCheck),
        });
        Self {
            observe,
            shutdown_sessions: table.choice("on_marked_down", false, &[("shutdown-sessions", true)]).copied(),
            shutdown_backup_sessions: table
                .choice("on_marked_up", false, &[("shutdown-backup-sessions", true)])
                .copied(),
        }
    }
}
