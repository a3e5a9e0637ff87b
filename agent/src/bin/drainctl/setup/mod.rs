//! `drainctl setup`: looks at the host, asks, writes the agent's configuration, and says what follows.

mod ask;
mod outcome;
mod pages;
mod port;

use std::{
    fs::{self, Permissions},
    io::{self, IsTerminal, Write},
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use drain_agent::{
    config::Config,
    setup::{Candidate, Plan, candidates},
};

use self::ask::Questions;
use crate::{
    args::Setup,
    client::{Client, Way},
    guard::systemd::{Systemd, systemctl},
    place::Place,
    verdict::{Done, Fault},
};

/// How long systemd may take to start an agent.
const START: Duration = Duration::from_mins(1);

pub(crate) async fn setup(place: &Place, setup: Setup) -> Result<Done, Fault> {
    let questions = Questions::new(setup.yes);
    let servers = candidates().map_err(|error| Fault::Failed(error.to_string()))?;
    let server = choose(&setup, &servers, questions)?;
    let ports = if setup.port.is_empty() { server.ports() } else { setup.port.clone() };
    let Some(unit) = setup.unit.as_ref().map(ToString::to_string).or_else(|| server.unit.clone()) else {
        return Err(Fault::Usage(format!(
            "{} on port {ports:?} belongs to no unit of systemd's; name one with --unit, or write the configuration by \
             hand with restart.command",
            server.program
        )));
    };
    let name = place.name.clone().unwrap_or_else(|| server.name());
    let listen = port::choose(setup.listen, &port::claims(&name, &servers).await)?;
    let mut reached = Vec::new();
    for port in &ports {
        reached.extend(pages::reached(&server.reached_at(*port)).await);
    }
    let ready = match setup.ready {
        Some(url) => Some(url),
        None => pages::find(&reached).await,
    };
    let at = reached.first().copied().unwrap_or_else(|| {
        // It does not run at the moment.
        (Ipv4Addr::LOCALHOST, ports.first().copied().unwrap_or_default()).into()
    });
    let plan = Plan { name, listen, ports, at, unit, ready, group: setup.group };
    let text = plan.toml();
    Config::parse(&plan.path().display().to_string(), &text, Some(&plan.name))
        .map_err(|invalid| Fault::Usage(format!("what was said makes no valid configuration: {invalid}")))?;
    let files = [(plan.path(), text), (plan.drop_in_path(), plan.drop_in())];
    if setup.dry_run {
        let shown =
            files.iter().map(|(path, text)| format!("# {}\n{text}\n", path.display())).collect::<String>();
        return Ok(Done::said(shown + &next(&plan)));
    }
    // Of both or of none, so that no configuration comes to stand beside another's port.
    let mut new = Vec::new();
    for (path, text) in &files {
        if may_write(path, text, setup.overwrite, questions)? {
            new.push((path, text));
        }
    }
    for (path, text) in &new {
        write(path, text)?;
    }
    Systemd.reload().await?;
    if setup.enable || questions.agree("start the agent now, and at each start of the host?")? {
        start(&plan, !new.is_empty() || !knows(&plan, &files).await).await?;
        outcome::wait(&plan).await?;
        return Ok(Done::said(format!("{} runs, and the server is up\n{}", plan.agent_unit(), next(&plan))));
    }
    let (socket, agent) = (plan.socket_unit(), plan.agent_unit());
    let runs = Systemd.is_active(&agent).await?;
    let start = if runs && new.is_empty() && knows(&plan, &files).await {
        "it runs, and nothing is new".to_owned()
    } else if runs {
        // A reload takes no other port from a socket unit.
        format!("it runs with what it had before: systemctl restart {socket} {agent}")
    } else {
        format!("it does not run yet: systemctl enable --now {socket} {agent}")
    };
    Ok(Done::said(format!("{start}\n{}", next(&plan))))
}

/// Whether the agent that runs has begun after these files were written.
async fn knows(plan: &Plan, files: &[(PathBuf, String); 2]) -> bool {
    let Ok(status) = Client::new(Way::Socket(plan.control_socket())).status().await else { return false };
    let runs_for = Duration::from_secs_f64(status.agent.uptime_seconds);
    let age = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok()?.elapsed().ok();
    files.iter().all(|(path, _)| age(path).is_some_and(|age| age > runs_for))
}

/// Starts the agent and the socket that holds its port, now and with the host. Where something is `new`, those that run
/// may have another port, and a socket is not started beside a service that listens itself; else they go on.
async fn start(plan: &Plan, new: bool) -> Result<(), Fault> {
    let units = [plan.socket_unit(), plan.agent_unit()];
    let tell = |verb| systemctl_of(verb, &units);
    let was_enabled = tell("is-enabled").await.is_ok();
    tell("enable").await?;
    if !new && tell("start").await.is_ok() {
        return Ok(());
    }
    tell("stop").await?;
    if let Err(fault) = tell("start").await {
        if !was_enabled {
            // What does not start now is not to try it for ever, now or with the host. The first fault is the one to tell.
            let _ = tell("stop").await;
            let _ = tell("disable").await;
        }
        return Err(Fault::Failed(format!("{fault}; `journalctl -u {} -u {}` says why", units[0], units[1])));
    }
    Ok(())
}

async fn systemctl_of(verb: &str, units: &[String; 2]) -> Result<(), Fault> {
    systemctl(&["--quiet", verb, &units[0], &units[1]], START).await.map(drop)
}

/// The server that is meant.
fn choose(setup: &Setup, all: &[Candidate], questions: Questions) -> Result<Candidate, Fault> {
    let unit = setup.unit.as_ref().map(ToString::to_string);
    let is_meant = |one: &Candidate| match &unit {
        Some(unit) => one.unit.as_ref() == Some(unit),
        None if setup.port.is_empty() => one.is_web_server(),
        None => setup.port.iter().any(|port| one.ports().contains(port)),
    };
    let found: Vec<Candidate> = all.iter().filter(|one| is_meant(one)).cloned().collect();
    match (&found[..], unit) {
        ([one], _) => Ok(one.clone()),
        // It does not run at the moment, and what is missing was said.
        ([], Some(unit)) if !setup.port.is_empty() => {
            let program = unit.trim_end_matches(".service").to_owned();
            Ok(Candidate { unit: Some(unit), program, listens: Vec::new() })
        }
        ([], Some(unit)) => Err(Fault::Usage(format!(
            "{unit} listens nowhere; start it first, or say with --port where it will listen"
        ))),
        ([], None) => Err(Fault::Usage(format!(
            "no web server is known among those who listen here ({}); say which one with --port or --unit",
            listed(all)
        ))),
        (several, _) => match questions.choose(&several.iter().map(shown).collect::<Vec<_>>())? {
            Some(number) => Ok(several[number].clone()),
            None => Err(Fault::Usage(format!(
                "several servers are here: {}; say which one with --unit or --port",
                listed(several)
            ))),
        },
    }
}

fn shown(one: &Candidate) -> String {
    let ports: Vec<String> = one.ports().iter().map(ToString::to_string).collect();
    format!("{} on port {}", one.unit.as_deref().unwrap_or(&one.program), ports.join(", "))
}

fn listed(all: &[Candidate]) -> String {
    match all {
        [] => "nobody that can be seen: root sees all".to_owned(),
        all => all.iter().map(shown).collect::<Vec<_>>().join("; "),
    }
}

/// Whether `text` is to be written to `path`: not where it stands there already; another one is only replaced where
/// that was said.
fn may_write(path: &Path, text: &str, overwrite: bool, questions: Questions) -> Result<bool, Fault> {
    match fs::read_to_string(path) {
        Ok(there) if there == text => Ok(false),
        Ok(_) if overwrite || questions.agree(&format!("{} is there: replace it?", path.display()))? => {
            Ok(true)
        }
        Ok(_) => Err(Fault::Failed(format!(
            "{} is there, and was left as it is; --overwrite replaces it, --dry-run shows what would be written",
            path.display()
        ))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(unwritable(path, &error)),
    }
}

/// Writes what the agent and systemd read.
fn write(path: &Path, text: &str) -> Result<(), Fault> {
    let failed = |error: io::Error| unwritable(path, &error);
    if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
        let readable = || fs::set_permissions(directory, Permissions::from_mode(0o755));
        fs::create_dir_all(directory).and_then(|()| readable()).map_err(failed)?;
    }
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    // For everybody to read, whatever the umask: the agent's user does, and polkit's.
    let readable = || fs::set_permissions(&new, Permissions::from_mode(0o644));
    fs::write(&new, text).and_then(|()| readable()).and_then(|()| fs::rename(&new, path)).map_err(failed)?;
    if io::stdout().is_terminal() {
        // Whoever has closed our output does not want to know.
        let _closed = writeln!(io::stdout(), "written: {}", path.display());
    }
    Ok(())
}

fn unwritable(path: &Path, error: &io::Error) -> Fault {
    let text = format!("can't write {}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::PermissionDenied => Fault::NotPermitted(format!("{text}; use sudo")),
        _ => Fault::Failed(text),
    }
}

/// What is left to do, for people.
fn next(plan: &Plan) -> String {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    format!(
        "in the backend of haproxy.cfg:\n{}then see that it works: drainctl -n {name} doctor; drainctl -n {name} status\n\
         to have a plain `systemctl restart {unit}` drain, too: drainctl -n {name} guard {unit}",
        plan.haproxy(&host),
        name = plan.name,
        unit = plan.unit,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_there_is_left_as_it_is_unless_said_otherwise() {
        let directory = std::env::temp_dir().join(format!("drainctl-setup-{}", std::process::id()));
        let path = directory.join("shop.toml");
        let nobody = Questions::new(true);
        assert!(may_write(&path, "a", false, nobody).unwrap());
        write(&path, "a").unwrap();
        assert!(!may_write(&path, "a", false, nobody).unwrap(), "it stands there");
        let error = may_write(&path, "b", false, nobody).unwrap_err();
        assert!(error.to_string().contains("--overwrite"), "{error}");
        assert!(may_write(&path, "b", true, nobody).unwrap());
        write(&path, "b").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "b");
        fs::remove_dir_all(&directory).unwrap();
    }
}
