//! `drainctl guard UNIT` and `unguard UNIT`: put the companion unit in place, and take it away.

mod end;
mod start;
mod stop;
pub(crate) mod systemd;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use drain_agent::{
    doctor::{Finding, GUARD},
    guard::{Companion, DIRECTORY, UnitName},
    setup::Plan,
};

use self::systemd::Systemd;
use crate::{
    args::{Guard, Guarded, Unguard},
    client::{Client, Way},
    doctor,
    place::Place,
    verdict::{Done, Fault},
};

/// The targets of a shutdown, each of which may have a limit of its own.
const SHUTDOWNS: [&str; 3] = ["poweroff.target", "reboot.target", "halt.target"];

/// What the companion runs.
pub(crate) async fn hook(place: &Place, guarded: &Guarded) -> Result<Done, Fault> {
    let client = Client::new(Way::Socket(place.socket()?));
    match guarded {
        Guarded::Stop { unit, mode, limit } => {
            Ok(stop::Stop { client, systemd: Systemd, unit, mode: *mode, limit: *limit }.run().await)
        }
        Guarded::Start { unit } => start::run(&client, Systemd, unit).await,
    }
}

/// Puts the companion in place.
pub(crate) async fn guard(place: &Place, guard: Guard) -> Result<Done, Fault> {
    only_root("guard")?;
    let socket = place.socket()?;
    // Whoever guards by an agent that is not there would only learn of it at the next restart.
    let client = Client::new(Way::Socket(socket.clone()));
    let server = client.status().await?.server;
    let unit = Systemd.canonical(&guard.unit).await?;
    let name = place.name.clone().or_else(|| {
        let stem = socket.file_stem().filter(|_| place.socket.is_none())?;
        stem.to_str().map(str::to_owned)
    });
    let agent_unit = match &name {
        Some(name) => {
            let agent = Plan::service_of(name);
            Systemd.is_active(&agent).await?.then_some(agent)
        }
        None => None,
    };
    let reach = match &name {
        Some(name) => format!("-n {name}"),
        None => format!("--socket {}", socket.display()),
    };
    let has_sound_words = reach.split(' ').count() == 2 && !reach.contains(['%', '$', '"', '\'', '\\', '\n']);
    if !has_sound_words {
        return Err(Fault::Usage(format!(
            "the agent is reached by {reach:?}, which a unit file can't hold; use a path of letters, digits, /, - and _"
        )));
    }
    let companion = Companion { unit, reach, agent_unit, mode: guard.mode, limit: guard.limit };
    let mut shutdowns = Vec::new();
    for target in SHUTDOWNS {
        shutdowns.push((target, Systemd.time_limit_of_job(target).await?));
    }
    companion.fits(&shutdowns).map_err(|unfit| Fault::Usage(unfit.to_string()))?;
    let path = companion.unit.companion_path();
    ours(&path, &companion.unit)?;
    write(&path, &companion.text())?;
    Systemd.reload().await?;
    let drains = companion.unit.companion();
    Systemd.enable(&drains).await?;
    // Only what has been started is stopped, and so drains; with a server that does not run there is nothing to stop.
    if Systemd.is_active(companion.unit.as_str()).await? {
        Systemd.start(&drains).await?;
    }
    let beside = match &companion.agent_unit {
        Some(agent) => format!("beside {agent}"),
        None => {
            "beside an agent that is no unit of systemd's: at a shutdown it may be gone too early".to_owned()
        }
    };
    let mut said = format!(
        "{unit} is guarded: what stops or restarts it drains {server} before ({mode}, at most {limit:?}), and brings it \
         back after; {path}, {beside}. `drainctl unguard {unit}` takes it away",
        unit = companion.unit,
        mode = companion.mode,
        limit = companion.limit,
        path = path.display(),
    );
    for other in written()?.iter().filter_map(|text| Companion::read(text)) {
        if other.unit != companion.unit && other.reaches(&socket) {
            said.push_str(&format!(
                "\nwarning: {} is guarded by the same agent: what starts first of both brings {server} back, whether the \
                 other runs or not; give each an agent of its own, or `drainctl unguard {}`",
                other.unit, other.unit
            ));
        }
    }
    // How the guard is with all that is beside it is the agent's to say. It guards without an answer, too.
    let diagnosis = client.doctor().await;
    let about_guard = |finding: &Finding| finding.about == GUARD;
    for finding in diagnosis.iter().flat_map(|diagnosis| &diagnosis.findings).filter(|one| about_guard(one)) {
        said.push_str(&format!("\n{}", doctor::line(finding, GUARD.len()).trim_end()));
    }
    Ok(Done::said(said))
}

/// Takes the companion away.
pub(crate) async fn unguard(unguard: Unguard) -> Result<Done, Fault> {
    only_root("unguard")?;
    let units = match &unguard.unit {
        Some(unit) => vec![Systemd.canonical_if_known(unit).await],
        None => written()?.iter().filter_map(|text| Companion::guarded(text)).collect(),
    };
    let mut taken = Vec::new();
    let mut failed = Vec::new();
    for unit in units {
        match take_away(&unit).await {
            Ok(true) => taken.push(unit.to_string()),
            Ok(false) => return Ok(Done::said(format!("{unit} is not guarded"))),
            // One that can't be taken away leaves none of the others behind.
            Err(fault) if unguard.unit.is_none() => failed.push(fault.to_string()),
            Err(fault) => return Err(fault),
        }
    }
    let said = match &taken[..] {
        [] => "no unit is guarded".to_owned(),
        taken => format!("not guarded any more: {}", taken.join(", ")),
    };
    match &failed[..] {
        [] => Ok(Done::said(said)),
        failed => Err(Fault::Failed(format!("{said}; but {}", failed.join("; ")))),
    }
}

/// Takes the guard of this unit away; `false` where there is none.
async fn take_away(unit: &UnitName) -> Result<bool, Fault> {
    let path = unit.companion_path();
    if !path.exists() {
        return Ok(false);
    }
    ours(&path, unit)?;
    // Its stop finds that nothing stops the unit, and so drains nobody. One that does not stop is taken away all the
    // same: what is left of it must not be started again.
    let stopped = Systemd.disable_and_stop(&unit.companion()).await;
    for file in [&unit.companion_link(), &path] {
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unwritten(file, &error)),
            _ => {}
        }
    }
    Systemd.reload().await?;
    stopped.map(|()| true)
}

/// The companions that are ours, as they are written.
fn written() -> Result<Vec<String>, Fault> {
    let directory = Path::new(DIRECTORY);
    let entries = fs::read_dir(directory)
        .map_err(|error| Fault::Failed(format!("can't read {}: {error}", directory.display())))?;
    let texts = entries.flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        name.strip_suffix("-drain.service")?;
        fs::read_to_string(entry.path()).ok().filter(|text| Companion::is_ours(text))
    });
    Ok(texts.collect())
}

/// Whether the file at `path` is ours and guards `unit`, or is not there.
fn ours(path: &Path, unit: &UnitName) -> Result<(), Fault> {
    match fs::read_to_string(path) {
        Ok(text) if Companion::is_ours(&text) => match Companion::guarded(&text) {
            Some(other) if other != *unit => Err(Fault::Failed(format!(
                "{} belongs to another unit, {other}, and is left as it is; `drainctl unguard {other}` takes it away",
                path.display()
            ))),
            _ => Ok(()),
        },
        Ok(_) => Err(Fault::Failed(format!(
            "{} was not written by `drainctl guard`, and is left as it is; move it away first",
            path.display()
        ))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Fault::Failed(format!("can't read {}: {error}", path.display()))),
    }
}

/// Writes the unit file, whole or not at all.
fn write(path: &Path, text: &str) -> Result<(), Fault> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    fs::write(&new, text).and_then(|()| fs::rename(&new, path)).map_err(|error| unwritten(path, &error))
}

fn unwritten(path: &Path, error: &io::Error) -> Fault {
    Fault::Failed(format!("can't change {}: {error}", path.display()))
}

fn only_root(command: &str) -> Result<(), Fault> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Fault::NotPermitted(format!("{command} changes units of systemd's, which only root may; use sudo")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_somebody_else_is_left_as_it_is() {
        let directory = std::env::temp_dir().join(format!("drainctl-guard-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let unit: UnitName = "app@1".parse().unwrap();
        let ours = |path: &Path| ours(path, &unit);
        let path = directory.join(unit.companion());
        ours(&path).unwrap();
        write(&path, "# Written by `drainctl guard app@1.service`\nPartOf=app@1.service\n").unwrap();
        ours(&path).unwrap();
        write(&path, "# Written by `drainctl guard app-1.service`\nPartOf=app-1.service\n").unwrap();
        assert!(ours(&path).unwrap_err().to_string().contains("belongs to another unit, app-1.service"));
        write(&path, "[Unit]\n").unwrap();
        assert!(ours(&path).unwrap_err().to_string().contains("was not written by"));
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "nothing is left beside it");
        fs::remove_dir_all(&directory).unwrap();
    }
}
