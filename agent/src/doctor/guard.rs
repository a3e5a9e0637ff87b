//! The guard of the server's unit: whether a plain `systemctl restart` of it drains.

use std::{fs, path::Path};

use tokio::task::spawn_blocking;

use super::Finding;
use crate::{
    config::{AtHardLimit, By, Config, socket_of},
    guard::{Companion, UnitName},
    systemd::bus::Systemd,
};

/// What the findings are about: `drainctl guard` shows them, too.
pub const ABOUT: &str = "guard";

/// What there is of a guard.
#[derive(Debug)]
struct Seen {
    /// Its companion unit, as it is written; `None` where it was changed so that it can't be read.
    companion: Option<Companion>,
    /// It starts with its unit.
    enabled: bool,
    /// It runs: only then does a stop of its unit stop it, and so drain.
    active: bool,
    /// Its unit runs.
    server_runs: bool,
}

/// How the server's unit is guarded. Nothing where no unit is the server, or systemd tells nothing, which is told
/// elsewhere.
pub(super) async fn of_server(config: &Config) -> Option<Finding> {
    let By::Unit { unit, .. } = &config.restart.by else { return None };
    let systemd = Systemd::connect().await.ok()?;
    let server = systemd.standing(unit).await.ok().filter(|standing| standing.loaded == "loaded")?;
    // A guard goes by the unit's own name, a configuration by any.
    let names: Vec<UnitName> = server.names.iter().filter_map(|name| name.parse().ok()).collect();
    let written = spawn_blocking(move || names.into_iter().find_map(written)).await.ok()?;
    let Some((guarded, companion, enabled)) = written else {
        return Some(Finding::warning(
            ABOUT,
            format!(
                "{unit} is not guarded: `systemctl restart {unit}`, an upgrade and a shutdown drain nobody"
            ),
            format!("`drainctl guard {unit}`"),
        ));
    };
    let active = systemd.standing(&guarded.companion()).await.ok()?.runs();
    let seen = Seen { companion, enabled, active, server_runs: server.runs() };
    Some(judge(&guarded, &seen, config))
}

/// The guard of `unit`: its name, what its file says, whether it is enabled. Blocking.
fn written(unit: UnitName) -> Option<(UnitName, Option<Companion>, bool)> {
    let text = fs::read_to_string(unit.companion_path()).ok()?;
    if !Companion::is_ours(&text) || Companion::guarded(&text).is_none_or(|guarded| guarded != unit) {
        return None;
    }
    let enabled = fs::symlink_metadata(unit.companion_link()).is_ok();
    Some((unit, Companion::read(&text), enabled))
}

/// How a guard is.
fn judge(unit: &UnitName, seen: &Seen, config: &Config) -> Finding {
    let drains = unit.companion();
    let again = format!("`drainctl guard {unit}` writes and starts it anew");
    let Some(companion) = &seen.companion else {
        return Finding::warning(ABOUT, format!("{drains} was changed by hand, and can't be judged"), again);
    };
    if !reaches(&companion.reach, &config.control.socket) {
        let text = format!("{drains} asks another agent ({}) than this one for its drains", companion.reach);
        return Finding::failure(ABOUT, text, again);
    }
    if seen.server_runs && !seen.active {
        let text = format!("{drains} does not run, so that the next stop of {unit} drains nobody");
        return Finding::failure(ABOUT, text, format!("`systemctl start {drains}`"));
    }
    if !seen.enabled {
        let text = format!("{drains} is not enabled: from the next start of {unit} on nobody is drained");
        return Finding::failure(ABOUT, text, format!("`systemctl enable {drains}`"));
    }
    let (mode, limit) = (companion.mode, companion.limit);
    if let Some(longest) = companion.longest(&config.drain).filter(|longest| limit > *longest) {
        return Finding::warning(
            ABOUT,
            format!(
                "the guard of {unit} waits for {limit:?}, but this agent ends a {mode} drain after {longest:?} at most, by \
                 its own limits: who still uses the server then is cut"
            ),
            format!(
                "raise drain.hard.limit ({:?}, from the acknowledgement on), or `drainctl guard {unit} --mode {mode} \
                 --limit {}s`",
                config.drain.hard.limit,
                longest.as_secs()
            ),
        );
    }
    let hard = match config.drain.hard.at_limit {
        AtHardLimit::Restart => {
            let limit = config.drain.hard.limit;
            format!("; hard, until {limit:?} after the acknowledgement (drain.hard.limit)")
        }
        AtHardLimit::Abort => String::new(),
    };
    Finding::ok(
        ABOUT,
        format!("{unit} is guarded: a stop drains before ({mode}), for {limit:?} at most{hard}"),
    )
}

/// Whether `drainctl` with these words comes to this agent.
fn reaches(words: &str, socket: &Path) -> bool {
    match words.split_once(' ') {
        Some(("-n", name)) => socket == socket_of(name),
        Some(("--socket", path)) => socket == Path::new(path),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::Level, *};
    use crate::guard::Mode;

    const CONFIG: &str = r#"
        listen = "127.0.0.1:8404"
        [server]
        ports = [80]
        [restart]
        unit = "apache2.service"
        [drain]
        acknowledge = { limit = "60s" }
        soft = { limit = "10m" }
        hard = { limit = "30s" }
        [control]
        socket = "/run/drain-agent/apache2.sock"
    "#;

    fn judged(change: impl FnOnce(&mut Seen, &mut Companion)) -> Finding {
        judged_by(CONFIG, change)
    }

    fn judged_by(config: &str, change: impl FnOnce(&mut Seen, &mut Companion)) -> Finding {
        let config = Config::parse("apache2.toml", config, Some("apache2")).unwrap();
        let unit: UnitName = "apache2".parse().unwrap();
        let mut companion = Companion {
            unit: unit.clone(),
            reach: "-n apache2".to_owned(),
            agent_unit: None,
            mode: Mode::Hard,
            limit: Duration::from_mins(1),
        };
        let mut seen = Seen { companion: None, enabled: true, active: true, server_runs: true };
        change(&mut seen, &mut companion);
        seen.companion = Some(companion);
        judge(&unit, &seen, &config)
    }

    #[test]
    fn a_guard_that_would_drain_is_well() {
        let finding = judged(|_, _| {});
        assert_eq!(finding.level, Level::Ok, "{}", finding.text);
        assert!(
            finding.text.contains("60s at most") && finding.text.contains("30s after"),
            "{}",
            finding.text
        );
        assert_eq!(judged(|seen, _| (seen.active, seen.server_runs) = (false, false)).level, Level::Ok);
    }

    #[test]
    fn a_guard_that_would_drain_nobody_fails() {
        let finding = judged(|seen, _| seen.active = false);
        assert!(finding.level == Level::Failure && finding.text.contains("does not run"), "{}", finding.text);
        let finding = judged(|seen, _| seen.enabled = false);
        assert!(finding.level == Level::Failure && finding.text.contains("not enabled"), "{}", finding.text);
        let finding = judged(|_, companion| companion.reach = "-n other".to_owned());
        assert!(
            finding.level == Level::Failure && finding.text.contains("another agent"),
            "{}",
            finding.text
        );
        let by_path = "--socket /run/drain-agent/apache2.sock";
        assert_eq!(judged(|_, companion| companion.reach = by_path.to_owned()).level, Level::Ok);
        // What `drainctl -n apache2` asks is not there.
        let elsewhere = CONFIG.replace("/run/drain-agent/", "/srv/");
        let by_name = |_: &mut Seen, companion: &mut Companion| companion.reach = "-n apache2".to_owned();
        assert_eq!(judged_by(&elsewhere, by_name).level, Level::Failure);
    }

    #[test]
    fn a_guard_that_waits_longer_than_the_agent_does_is_told() {
        let waits = |mode, seconds| {
            judged(|_, companion| (companion.mode, companion.limit) = (mode, Duration::from_secs(seconds)))
        };
        for (mode, seconds, level) in [
            (Mode::Hard, 90, Level::Ok),
            (Mode::Hard, 91, Level::Warning),
            (Mode::Soft, 750, Level::Ok),
            (Mode::Soft, 751, Level::Warning),
        ] {
            assert_eq!(waits(mode, seconds).level, level, "{mode} {seconds}");
        }
        let holds_on = CONFIG.replace("limit = \"30s\" }", "limit = \"30s\", at_limit = \"abort\" }");
        let finding = judged_by(&holds_on, |_, companion| companion.limit = Duration::from_mins(10));
        assert_eq!(finding.level, Level::Ok, "nothing of this agent ends it: {}", finding.text);
        let cure = waits(Mode::Hard, 600).cure.unwrap_or_default();
        assert!(cure.contains("drain.hard.limit") && cure.contains("--limit 90s"), "{cure}");
    }
}
