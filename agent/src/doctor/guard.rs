//! The guard of the server's unit: whether a plain `systemctl restart` of it drains.

use std::{fs, path::Path, time::Duration};

use tokio::task::spawn_blocking;

use super::Finding;
use crate::{
    config::{By, Config},
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
    /// How long systemd lets it work, drop-ins included; `None`: for ever.
    stop_timeout: Option<Duration>,
    /// In so long systemd starts it a few times and no more; zero: as often as it is to be.
    start_limit: Duration,
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
    let drains = guarded.companion();
    let active = systemd.standing(&drains).await.ok()?.runs();
    let stop_timeout = systemd.stop_timeout(&drains).await.ok()?;
    let start_limit = systemd.start_limit(&drains).await.ok()?;
    let seen = Seen { companion, enabled, active, server_runs: server.runs(), stop_timeout, start_limit };
    Some(judge(&guarded, &seen, &config.control.socket))
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
fn judge(unit: &UnitName, seen: &Seen, socket: &Path) -> Finding {
    let drains = unit.companion();
    let again = format!("`drainctl guard {unit}` writes and starts it anew");
    let Some(companion) = &seen.companion else {
        return Finding::warning(ABOUT, format!("{drains} was changed by hand, and can't be judged"), again);
    };
    if !companion.reaches(socket) {
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
    if let Some(allowed) = seen.stop_timeout.filter(|allowed| *allowed < companion.stop_timeout()) {
        return Finding::failure(
            ABOUT,
            format!(
                "systemd ends {drains} after {allowed:?} (TimeoutStopSec=), though it may drain for {limit:?} and needs {:?} \
                 in all: who still uses the server then is cut",
                companion.stop_timeout()
            ),
            format!(
                "take TimeoutStopSec= out of what `systemctl cat {drains}` shows beside the unit's own file"
            ),
        );
    }
    if !seen.start_limit.is_zero() {
        let text = format!(
            "{drains} is not started any more once {unit} was started often in a short time (StartLimitIntervalSec=, which is \
             not 0, as an older `drainctl guard` left it): from then on nobody is drained"
        );
        let cure = format!(
            "{again}; where it says so after that, too, `systemctl cat {drains}` shows which drop-in sets it"
        );
        return Finding::warning(ABOUT, text, cure);
    }
    Finding::ok(ABOUT, format!("{unit} is guarded: a stop drains before ({mode}), for {limit:?} at most"))
}

#[cfg(test)]
mod tests {
    use super::{super::Level, *};
    use crate::guard::Mode;

    fn judged(change: impl FnOnce(&mut Seen, &mut Companion)) -> Finding {
        judged_at("/run/drain-agent/apache2.sock", change)
    }

    fn judged_at(socket: &str, change: impl FnOnce(&mut Seen, &mut Companion)) -> Finding {
        let unit: UnitName = "apache2".parse().unwrap();
        let mut companion = Companion {
            unit: unit.clone(),
            reach: "-n apache2".to_owned(),
            agent_unit: None,
            mode: Mode::Hard,
            limit: Duration::from_mins(1),
        };
        let stop_timeout = Some(companion.stop_timeout());
        let (enabled, active, server_runs) = (true, true, true);
        let start_limit = Duration::ZERO;
        let mut seen = Seen { companion: None, enabled, active, server_runs, stop_timeout, start_limit };
        change(&mut seen, &mut companion);
        seen.companion = Some(companion);
        judge(&unit, &seen, Path::new(socket))
    }

    #[test]
    fn a_guard_that_would_drain_is_well() {
        let finding = judged(|_, _| {});
        assert_eq!(finding.level, Level::Ok, "{}", finding.text);
        assert!(finding.text.contains("60s at most"), "{}", finding.text);
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
        assert_eq!(judged_at("/srv/apache2.sock", |_, _| {}).level, Level::Failure);
    }

    #[test]
    fn a_guard_that_an_older_version_wrote_is_to_be_written_anew() {
        let finding = judged(|seen, _| seen.start_limit = Duration::from_secs(10));
        assert!(
            finding.level == Level::Warning && finding.text.contains("StartLimitIntervalSec="),
            "{}",
            finding.text
        );
        let cure = finding.cure.unwrap();
        assert!(cure.starts_with("`drainctl guard apache2.service` writes"), "{cure}");
    }

    #[test]
    fn a_guard_that_systemd_ends_before_its_limit_fails() {
        let ended_after = |allowed| judged(|seen, _| seen.stop_timeout = allowed);
        let seconds = Duration::from_secs;
        assert_eq!(ended_after(None).level, Level::Ok, "never");
        assert_eq!(ended_after(Some(seconds(80))).level, Level::Ok);
        let finding = ended_after(Some(seconds(79)));
        assert_eq!(finding.level, Level::Failure, "the hook needs more than the limit: {}", finding.text);
        assert!(finding.text.contains("79s") && finding.text.contains("TimeoutStopSec="), "{}", finding.text);
        // By its own file's limit, not by a fixed one.
        let longer = judged(|_, companion| companion.limit = seconds(120));
        assert_eq!(longer.level, Level::Failure, "{}", longer.text);
    }
}
