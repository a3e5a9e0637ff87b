//! Whether the agent may restart the server, and do to it whatever else a drain can end with.

use std::{
    env,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustix::fs::{Access, access};
use tokio::{process::Command, time::timeout};

use super::Finding;
use crate::{
    config::By,
    systemd::{bus::Systemd, standing::Standing},
};

const ABOUT: &str = "restart";

/// How long systemctl may take to tell of a unit: it asks a local service.
const SYSTEMCTL: Duration = Duration::from_secs(5);

/// Whether what restarts the server is there.
pub(super) async fn may_restart(by: &By) -> Vec<Finding> {
    match by {
        By::Command(command) => may("restart.command", command).await,
        By::Unit { unit, .. } => vec![is_there(unit).await],
    }
}

/// Whether systemd has the unit.
async fn is_there(unit: &str) -> Finding {
    let standing = async { Systemd::connect().await?.standing(unit).await };
    match standing.await {
        Ok(standing) => judge_unit(unit, &standing),
        Err(error) => Finding::failure(
            ABOUT,
            format!("systemd tells nothing of {unit}: {error}"),
            "see that systemd and its D-Bus run here; else restart the server by restart.command",
        ),
    }
}

pub(super) fn judge_unit(unit: &str, standing: &Standing) -> Finding {
    let text = format!("{unit} is {}, and {standing}", standing.loaded);
    if standing.loaded != "loaded" {
        let cure = "correct restart.unit; `systemctl list-units --type=service` has the names";
        return Finding::failure(ABOUT, text, cure);
    }
    if standing.runs() {
        return Finding::ok(ABOUT, text);
    }
    Finding::warning(ABOUT, text, "start it; if another unit is the server, name that one as restart.unit")
}

/// Whether `command`, the value of `key`, can be run, and, where it is systemctl's, whether its units are there.
pub(super) async fn may(key: &str, command: &[String]) -> Vec<Finding> {
    let Some((program, arguments)) = command.split_first() else { return Vec::new() };
    let path = match executable(key, program) {
        Ok(path) => path,
        Err(finding) => return vec![finding],
    };
    let mut findings = vec![Finding::ok(ABOUT, format!("{key}: {} can be run", path.display()))];
    if path.file_name().is_some_and(|name| name == "systemctl") {
        for unit in units(arguments) {
            let loaded = show(&path, unit).await;
            findings.push(judge(key, unit, loaded));
        }
        let uid = rustix::process::geteuid();
        if !uid.is_root() {
            findings.push(Finding::warning(
                ABOUT,
                format!("the agent runs as uid {}, whom systemd asks for a right of its own", uid.as_raw()),
                "have a polkit rule for it (org.freedesktop.systemd1.manage-units), or run the agent as root",
            ));
        }
    }
    findings
}

/// The file that runs as `program`.
fn executable(key: &str, program: &str) -> Result<PathBuf, Finding> {
    let cure = format!("correct {key}; a bare name is looked up in the agent's PATH");
    if program.contains('/') {
        let path = PathBuf::from(program);
        if is_executable(&path) {
            return Ok(path);
        }
        if path.exists() {
            let text = format!("{key}: {program} is there, but the agent may not run it");
            return Err(Finding::failure(ABOUT, text, "make it executable for the agent's user"));
        }
        return Err(Finding::failure(ABOUT, format!("{key}: there is no {program}"), cure));
    }
    let paths = env::var_os("PATH").unwrap_or_default();
    let found =
        env::split_paths(&paths).map(|directory| directory.join(program)).find(|path| is_executable(path));
    found.ok_or_else(|| {
        let paths = paths.to_string_lossy();
        Finding::failure(ABOUT, format!("{key}: there is no {program} in the agent's PATH, {paths}"), cure)
    })
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

/// The units that systemctl is given: what follows its verb.
fn units(arguments: &[String]) -> impl Iterator<Item = &str> {
    arguments.iter().map(String::as_str).filter(|word| !word.starts_with('-')).skip(1)
}

/// What systemd says of a unit: `LoadState` and `ActiveState`.
async fn show(systemctl: &Path, unit: &str) -> Result<(String, String), String> {
    let mut command = Command::new(systemctl);
    command
        .args(["show", "--property=LoadState,ActiveState", "--", unit])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(SYSTEMCTL, command.output()).await;
    let output = output.map_err(|_late| format!("systemctl did not answer in {SYSTEMCTL:?}"))?;
    let output = output.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let value = |key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned)
    };
    match (value("LoadState"), value("ActiveState")) {
        (Some(loaded), Some(active)) => Ok((loaded, active)),
        _ => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

fn judge(key: &str, unit: &str, shown: Result<(String, String), String>) -> Finding {
    match shown {
        Err(why) => Finding::failure(
            ABOUT,
            format!("{key}: systemd tells nothing of {unit}: {why}"),
            format!("see that systemd runs here; else let {key} do without it"),
        ),
        Ok((loaded, active)) if loaded == "loaded" => {
            let text = format!("{key}: {unit} is loaded, and {active}");
            if active == "active" {
                return Finding::ok(ABOUT, text);
            }
            let cure = format!("start it; if the server runs without it, let {key} name what runs");
            Finding::warning(ABOUT, text, cure)
        }
        Ok((loaded, _)) => Finding::failure(
            ABOUT,
            format!("{key}: {unit} is {loaded}"),
            format!("correct its name in {key}; `systemctl list-units --type=service` has the names"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Level, *};

    #[test]
    fn a_unit_must_be_there_and_should_run() {
        let level = |loaded: &str, active: &str| {
            let standing = Standing { loaded: loaded.into(), active: active.into(), ..Standing::default() };
            judge_unit("shop.service", &standing).level
        };
        assert_eq!(level("loaded", "active"), Level::Ok);
        assert_eq!(level("loaded", "inactive"), Level::Warning);
        assert_eq!(level("not-found", "inactive"), Level::Failure);
        assert_eq!(level("masked", "inactive"), Level::Failure);
    }

    #[tokio::test]
    async fn a_program_is_found_by_path_or_name() {
        let level = async |program: &str| may("restart.command", &[program.to_owned()]).await[0].level;
        assert_eq!(level("/bin/sh").await, Level::Ok);
        assert_eq!(level("sh").await, Level::Ok);
        assert_eq!(level("/bin/no-such-program").await, Level::Failure);
        assert_eq!(level("no-such-program").await, Level::Failure);
        assert_eq!(level("/etc/passwd").await, Level::Failure, "not executable");
        assert_eq!(level("/tmp").await, Level::Failure, "a directory");
    }

    #[test]
    fn units_stand_behind_the_verb() {
        let words =
            ["--no-ask-password", "restart", "--quiet", "apache2.service", "php-fpm"].map(str::to_owned);
        assert_eq!(units(&words).collect::<Vec<_>>(), ["apache2.service", "php-fpm"]);
    }

    #[test]
    fn a_unit_must_be_loaded() {
        let shown = |loaded: &str, active: &str| Ok((loaded.to_owned(), active.to_owned()));
        assert_eq!(judge("restart.command", "a", shown("loaded", "active")).level, Level::Ok);
        assert_eq!(judge("restart.command", "a", shown("loaded", "inactive")).level, Level::Warning);
        assert_eq!(judge("restart.command", "a", shown("not-found", "inactive")).level, Level::Failure);
        assert_eq!(judge("restart.command", "a", shown("masked", "inactive")).level, Level::Failure);
        assert_eq!(judge("restart.command", "a", Err("no bus".to_owned())).level, Level::Failure);
    }
}
