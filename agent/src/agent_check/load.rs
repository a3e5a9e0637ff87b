//! Measuring the load that a weight follows.

use std::{sync::Arc, time::Duration};

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};
use tokio::{sync::watch, task::spawn_blocking, time};
use tracing::{info, warn};

use super::{
    Percent,
    weight::{Follower, Load},
};
use crate::{
    clock::Moment,
    config::{By, Config, Of, Weight},
    restart::Identity,
    systemd::bus::Systemd,
    traffic::sockets::Doors,
};

/// How often it is measured: as often as HAProxy asks unless configured.
const EVERY: Duration = Duration::from_secs(2);

/// How long the server's processes are taken for the same: to find them, the open files of all processes are looked
/// through.
const PROCESSES: Duration = Duration::from_mins(1);

/// The weight that follows `rule`, for the server of this configuration. It is measured until the receiver goes.
pub fn follow(rule: Weight, config: &Config) -> watch::Receiver<Option<Percent>> {
    let place = match &config.restart.by {
        By::Unit { unit, .. } => Place::Unit(Arc::clone(unit)),
        By::Command(_) => Place::Doors(Doors::from(&config.server)),
    };
    let (weight, weights) = watch::channel(None);
    tokio::spawn(async move {
        let mut trouble = String::new();
        let mut follower = Follower::new(rule.clone());
        let mut meter = Meter { system: None, of: rule.of, place, processes: None };
        while !weight.is_closed() {
            let read = meter.read().await;
            if let Some(why) = read.as_ref().err().filter(|why| **why != trouble) {
                let last = weight.borrow().map(|last| format!(", {last}")).unwrap_or_default();
                warn!(
                    why,
                    "the load is not known, so no weight is asked for; balancers keep the last they were told{last}"
                );
            }
            trouble = read.as_ref().err().cloned().unwrap_or_default();
            let found = follower.follow(read.unwrap_or_default());
            weight.send_if_modified(|said| {
                let changed = *said != found;
                if changed && said.is_none() {
                    info!(weight = found.map(|weight| weight.to_string()), "the weight follows the load");
                }
                *said = found;
                changed
            });
            time::sleep(EVERY).await;
        }
    });
    weights
}

struct Meter {
    /// Between two readings: what it counts is the difference.
    system: Option<System>,
    of: Of,
    place: Place,
    /// The server's processes, and when they were looked up.
    processes: Option<(Moment, Vec<Pid>)>,
}

/// Where the server's processes are found.
enum Place {
    /// In systemd's unit; nobody needs a right to be told of them.
    Unit(Arc<str>),
    /// At the sockets on which it listens, among the open files of all processes: those of other users are hidden from all
    /// but root.
    Doors(Doors),
}

impl Place {
    async fn processes(&self) -> Result<Vec<u32>, String> {
        let (found, nobody) = match self {
            Self::Unit(unit) => {
                let told = async { Systemd::connect().await?.processes(unit).await };
                (told.await.map_err(|error| error.to_string())?, format!("{unit} has no process"))
            }
            Self::Doors(doors) => {
                let identity = Identity::of(doors.clone()).await.map_err(|error| error.to_string())?;
                let all = identity.main.iter().chain(&identity.workers).map(|process| process.pid);
                (all.collect(), "nobody listens where the server should".to_owned())
            }
        };
        if found.is_empty() { Err(nobody) } else { Ok(found) }
    }
}

impl Meter {
    async fn read(&mut self) -> Result<Load, String> {
        let processes = self.processes().await?;
        let mut system = if let Some(system) = self.system.take() {
            system
        } else {
            let mut system = System::new().map_err(|error| error.to_string())?;
            refresh(&mut system, processes.as_deref());
            // What is counted from must lie that far back.
            time::sleep(sysinfo::MINIMUM_CPU_UPDATE_INTERVAL).await;
            system
        };
        let read = spawn_blocking(move || {
            let load = load(&mut system, processes.as_deref());
            load.map(|load| (system, load))
        });
        let (system, load) = read.await.unwrap_or_else(|_| Err("the measurement has broken off".into()))?;
        self.system = Some(system);
        Ok(load)
    }

    /// The server's processes; `None`: the host's load counts.
    async fn processes(&mut self) -> Result<Option<Vec<Pid>>, String> {
        if self.of == Of::Host {
            return Ok(None);
        }
        let now = Moment::now();
        if let Some((_, pids)) = self.processes.as_ref().filter(|(at, _)| now.since(*at) < PROCESSES) {
            return Ok(Some(pids.clone()));
        }
        let pids: Vec<Pid> = self.place.processes().await?.into_iter().map(Pid::from_u32).collect();
        self.processes = Some((now, pids.clone()));
        Ok(Some(pids))
    }
}

fn refresh(system: &mut System, processes: Option<&[Pid]>) {
    system.refresh_cpu_usage();
    system.refresh_memory();
    if let Some(processes) = processes {
        let kind = ProcessRefreshKind::nothing().with_cpu().with_memory();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(processes), true, kind);
    }
}

fn load(system: &mut System, processes: Option<&[Pid]>) -> Result<Load, String> {
    refresh(system, processes);
    let cores = system.cpus().len();
    if cores == 0 {
        return Err("the kernel names no processor".into());
    }
    let (total, used) = memory(system);
    let share = |bytes: u64| if total == 0 { None } else { Some(100.0 * bytes as f32 / total as f32) };
    let Some(processes) = processes else {
        let average = System::load_average().map_err(|error| error.to_string())?;
        return Ok(Load {
            cpu: Some(system.global_cpu_usage()),
            memory: share(used),
            average: Some(100.0 * average.one as f32 / cores as f32),
        });
    };
    let (mut cpu, mut memory, mut any) = (0.0, 0_u64, false);
    for process in processes.iter().filter_map(|pid| system.process(*pid)) {
        cpu += process.cpu_usage();
        memory = memory.saturating_add(process.memory());
        any = true;
    }
    if !any {
        return Err("the server's processes have gone; they are looked up again within a minute".into());
    }
    Ok(Load { cpu: Some(cpu / cores as f32), memory: share(memory), average: None })
}

/// How much there is, and how much of it is in use: of the control group, where that has less than the host.
fn memory(system: &System) -> (u64, u64) {
    let total = system.total_memory();
    match system.cgroup_limits() {
        Some(limits) if limits.total_memory > 0 && limits.total_memory < total => {
            (limits.total_memory, limits.total_memory.saturating_sub(limits.free_memory))
        }
        _ => (total, total.saturating_sub(system.available_memory())),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;

    fn meter(of: Of) -> (std::net::TcpListener, Meter) {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = NonZeroU16::new(server.local_addr().unwrap().port()).unwrap();
        (server, Meter { system: None, of, place: Place::Doors(Doors::at_ports(&[port])), processes: None })
    }

    fn is_share(found: Option<f32>) -> bool {
        found.is_some_and(|found| (0.0..=100.0).contains(&found))
    }

    #[tokio::test]
    async fn the_hosts_load_is_known() {
        let (_server, mut meter) = meter(Of::Host);
        let load = meter.read().await.unwrap();
        assert!(is_share(load.cpu) && is_share(load.memory), "{load:?}");
        assert!(load.average.is_some_and(|average| average >= 0.0), "{load:?}");
    }

    #[tokio::test]
    async fn the_servers_load_is_that_of_who_listens() {
        let (server, mut meter) = meter(Of::Server);
        let load = meter.read().await.unwrap();
        assert!(load.cpu.is_some() && load.memory.is_some_and(|memory| memory > 0.0), "{load:?}");
        drop(server);
        meter.processes = None;
        assert!(meter.read().await.unwrap_err().contains("nobody listens"));
    }
}
