//! systemd's manager, asked over the system's D-Bus (`org.freedesktop.systemd1(5)`).
//!
//! A connection is made for each restart and each look, and goes with it: one that was kept would be dead after the bus's
//! own restart, at the moment when it is needed.

use std::{num::NonZeroUsize, time::Duration};

use thiserror::Error;
use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use zbus::{
    Connection, DBusError as _, MatchRule, Message, MessageStream, ObjectPath, OwnedObjectPath, connection,
    fdo, message::Type,
};

use super::{object::Object, standing::Standing, verb::Verb};

/// How long systemd may take to answer: D-Bus's own limit for a call. A question to polkit is in it.
const ANSWER_WITHIN: Duration = Duration::from_secs(25);

/// So many ends of jobs may wait to be read; then nothing more is read of the bus. A host's start has some hundred jobs.
const ENDS: NonZeroUsize = NonZeroUsize::new(1024).expect("is not 0");

/// systemd's name on the bus, and where its manager is.
const SYSTEMD: &str = "org.freedesktop.systemd1";
const AT: &str = "/org/freedesktop/systemd1";

/// The interface of the manager.
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
/// That of units of any kind, and those of single kinds.
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const SERVICE: &str = "org.freedesktop.systemd1.Service";
const SOCKET: &str = "org.freedesktop.systemd1.Socket";
/// That of what systemd has begun.
const JOB: &str = "org.freedesktop.systemd1.Job";

/// The signal that a job has ended.
const JOB_REMOVED: &str = "JobRemoved";

/// What systemd says to whom it sends signals already.
const SUBSCRIBED: &str = "org.freedesktop.systemd1.AlreadySubscribed";

/// A job that conflicts with one that waits takes its place, as with systemctl.
const REPLACE: &str = "replace";

/// A connection to systemd.
#[derive(Debug)]
pub struct Systemd {
    connection: Connection,
    /// The ends of jobs, from the first that was begun here on.
    ends: Option<MessageStream>,
}

/// Why systemd could not be asked, or does not do what it is asked for.
#[derive(Debug, Error)]
pub enum BusError {
    /// There is no way to it.
    #[error("expected to reach systemd over the system's D-Bus, found: {0}; see that dbus.service runs")]
    Unreachable(zbus::Error),
    /// It is silent.
    #[error("expected an answer of systemd within {ANSWER_WITHIN:?}, found none")]
    Silent,
    /// It says no.
    #[error(
        "systemd does not let the agent {verb} {unit}: {said}; see that the agent's polkit rule is installed (the package has it in \
         /usr/share/polkit-1/rules.d) and that polkitd can read the configuration, or run the agent as root"
    )]
    NotPermitted {
        /// What was asked for.
        verb: String,
        /// Of this unit.
        unit: String,
        /// What was said.
        said: String,
    },
    /// It refuses.
    #[error("systemd refuses to {verb} {unit}: {said}")]
    Refused {
        /// What was asked for.
        verb: String,
        /// Of this unit.
        unit: String,
        /// What was said.
        said: String,
    },
    /// It has said something else than was expected.
    #[error("expected systemd to tell of {what}, found: {error}")]
    Strange {
        /// What it was asked about.
        what: String,
        /// What was wrong with it.
        error: zbus::Error,
    },
}

impl Systemd {
    /// Connects.
    pub async fn connect() -> Result<Self, BusError> {
        // The limit is for what the library asks on its own, such as to be told of no more signals, as its end.
        let connect = connection::Builder::system().method_timeout(ANSWER_WITHIN).build();
        let connected = timeout(ANSWER_WITHIN, connect).await.map_err(|_late| BusError::Silent)?;
        Ok(Self { connection: connected.map_err(BusError::Unreachable)?, ends: None })
    }

    /// How the unit `name` is.
    pub async fn standing(&self, name: &str) -> Result<Standing, BusError> {
        told(name, self.ask_standing(name)).await
    }

    async fn ask_standing(&self, name: &str) -> zbus::Result<Standing> {
        let unit = self.unit(name).await?;
        let loaded: String = unit.property(UNIT, "LoadState").await?;
        // First: of a job that ends in between there is then one too many, and not a state from before its end without it.
        let (job, _path): (u32, OwnedObjectPath) = unit.property(UNIT, "Job").await?;
        let active: String = unit.property(UNIT, "ActiveState").await?;
        let sub = unit.property(UNIT, "SubState").await?;
        let invocation: Vec<u8> = unit.property(UNIT, "InvocationID").await?;
        let mut triggered_by: Vec<String> = unit.property(UNIT, "TriggeredBy").await?;
        let names: Vec<String> = unit.property(UNIT, "Names").await?;
        // Nothing but a service has these.
        let main = unit.property(SERVICE, "MainPID").await.ok().filter(|main| *main != 0);
        let result = unit.property(SERVICE, "Result").await.unwrap_or_default();
        // What runs, or has crashed, was not stopped with its socket.
        let forgotten =
            if active == "inactive" { forgotten_sockets(&names, &triggered_by) } else { Vec::new() };
        for socket in forgotten {
            if self.triggers(&socket).await?.iter().any(|unit| names.contains(unit)) {
                triggered_by.push(socket);
            }
        }
        Ok(Standing {
            loaded,
            active,
            sub,
            invocation: invocation.iter().map(|byte| format!("{byte:02x}")).collect(),
            has_job: job != 0,
            main,
            result,
            triggered_by,
            names,
        })
    }

    fn object<'a>(&'a self, path: ObjectPath<'a>) -> Object<'a> {
        Object { connection: &self.connection, owner: SYSTEMD, path }
    }

    fn manager(&self) -> Object<'_> {
        self.object(ObjectPath::from_static_str_unchecked(AT))
    }

    /// The object of the unit `name`, which is loaded where it is not: one that has never run is not known otherwise.
    async fn unit(&self, name: &str) -> zbus::Result<Object<'_>> {
        let reply = self.manager().call(MANAGER, "LoadUnit", &(name,)).await?;
        let path: OwnedObjectPath = reply.body().deserialize()?;
        Ok(self.object(path.into()))
    }

    /// The units that the unit `name` starts; nothing where there is none of that name.
    async fn triggers(&self, name: &str) -> zbus::Result<Vec<String>> {
        self.unit(name).await?.property(UNIT, "Triggers").await
    }

    /// The processes of the unit `name`.
    pub async fn processes(&self, name: &str) -> Result<Vec<u32>, BusError> {
        let ask = async {
            let manager = self.manager();
            let reply = manager.call(MANAGER, "GetUnitProcesses", &(name,)).await?;
            reply.body().deserialize::<Vec<(String, u32, String)>>()
        };
        Ok(told(name, ask).await?.into_iter().map(|(_cgroup, pid, _command)| pid).collect())
    }

    /// Where systemd listens for the socket unit `name`, or will from the host's next start on; nothing where it does not.
    pub async fn listens(&self, name: &str) -> Result<Vec<String>, BusError> {
        let ask = async {
            let unit = self.unit(name).await?;
            let active: String = unit.property(UNIT, "ActiveState").await?;
            // Empty where there is no file of it.
            if active != "active" && unit.property::<String>(UNIT, "UnitFileState").await? != "enabled" {
                return Ok(Vec::new());
            }
            let listens: Vec<(String, String)> = unit.property(SOCKET, "Listen").await?;
            Ok(listens.into_iter().map(|(_kind, address)| address).collect())
        };
        told(name, ask).await
    }

    /// The user as which the service `name` runs; empty: root.
    pub async fn user(&self, name: &str) -> Result<String, BusError> {
        let ask = async { self.unit(name).await?.property(SERVICE, "User").await };
        told(name, ask).await
    }

    /// How long the service `name` may take to stop (`TimeoutStopSec=`, drop-ins included); `None`: as long as it wants.
    pub async fn stop_timeout(&self, name: &str) -> Result<Option<Duration>, BusError> {
        let ask = async { self.unit(name).await?.property::<u64>(SERVICE, "TimeoutStopUSec").await };
        Ok(Some(told(name, ask).await?).filter(|micros| *micros != u64::MAX).map(Duration::from_micros))
    }

    /// In how long a time systemd starts the unit `name` a few times and no more (`StartLimitIntervalSec=`, drop-ins
    /// included); zero: as often as it is to be.
    pub async fn start_limit(&self, name: &str) -> Result<Duration, BusError> {
        let ask = async { self.unit(name).await?.property::<u64>(UNIT, "StartLimitIntervalUSec").await };
        Ok(Duration::from_micros(told(name, ask).await?))
    }

    /// Has systemd begin what `verb` says to the unit `name`. It does not wait for the end: whoever waited in here while
    /// something that hangs on the unit waits for the agent would wait for ever.
    pub async fn begin(&mut self, verb: Verb, name: &str) -> Result<Job, BusError> {
        let begin = async {
            self.listen_to_jobs().await?;
            let manager = self.manager();
            manager.call(MANAGER, verb.method(), &(name, REPLACE)).await?.body().deserialize()
        };
        let job = timeout(ANSWER_WITHIN, begin).await.map_err(|_late| BusError::Silent)?;
        job.map(Job).map_err(|error| refused(&verb.to_string(), name, error))
    }

    /// Hears of the ends of jobs from now on.
    async fn listen_to_jobs(&mut self) -> zbus::Result<()> {
        if self.ends.is_some() {
            return Ok(());
        }
        let rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender(SYSTEMD)
            .interface(MANAGER)
            .member(JOB_REMOVED)
            .build()?;
        self.ends = Some(MessageStream::for_match_rule(rule, &self.connection, Some(ENDS)).await?);
        // Without it systemd sends no signals.
        match self.manager().call(MANAGER, "Subscribe", &()).await {
            Err(zbus::Error::MethodError(name, ..)) if name.as_str() == SUBSCRIBED => Ok(()),
            subscribed => subscribed.map(drop),
        }
    }

    /// Waits for the end of a job, and gives systemd's word for it: `done`, `failed`, `canceled` and more; `None` where
    /// the connection has broken, so that nobody tells.
    pub async fn end(&mut self, job: &Job) -> Option<String> {
        let ends = self.ends.as_mut()?;
        loop {
            let signal = ends.next().await?.ok()?;
            if let Ok((ended, result)) = removed(&signal)
                && ended == *job
            {
                return Some(result);
            }
        }
    }

    /// Takes a job back that has not ended. One that has ended is none any more.
    pub async fn cancel(&self, job: &Job) {
        let job = self.object(job.0.as_ref());
        if let Ok(Err(error)) = timeout(ANSWER_WITHIN, job.call(JOB, "Cancel", &())).await {
            tracing::debug!(%error, "a job of systemd is not cancelled");
        }
    }
}

/// The sockets by which a unit of these names may be started although systemd does not say so: it forgets a socket that is
/// stopped, and neither enabled nor required. All that is left of such a one is the name that a unit's socket has.
fn forgotten_sockets(names: &[String], triggered_by: &[String]) -> Vec<String> {
    if triggered_by.iter().any(|unit| unit.ends_with(".socket")) {
        return Vec::new();
    }
    names.iter().filter_map(|name| Some(format!("{}.socket", name.strip_suffix(".service")?))).collect()
}

/// What systemd tells of `what`, if it does in time.
async fn told<T>(what: &str, ask: impl Future<Output = zbus::Result<T>>) -> Result<T, BusError> {
    let told = timeout(ANSWER_WITHIN, ask).await.map_err(|_late| BusError::Silent)?;
    told.map_err(|error| BusError::Strange { what: what.to_owned(), error })
}

/// Something that systemd has begun.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Job(OwnedObjectPath);

/// Which job has ended, and how.
fn removed(signal: &Message) -> zbus::Result<(Job, String)> {
    let body = signal.body();
    let (_id, job, _unit, result): (u32, ObjectPath<'_>, &str, &str) = body.deserialize()?;
    Ok((Job(job.into()), result.to_owned()))
}

/// What a call that was refused means.
fn refused(verb: &str, unit: &str, error: zbus::Error) -> BusError {
    let (verb, unit) = (verb.to_owned(), unit.to_owned());
    let said = |text: Option<&str>| text.unwrap_or("no reason is given").to_owned();
    match error {
        zbus::Error::FDO(error) => {
            let said = said(error.description());
            match *error {
                fdo::Error::AccessDenied(_) | fdo::Error::InteractiveAuthorizationRequired(_) => {
                    BusError::NotPermitted { verb, unit, said }
                }
                _ => BusError::Refused { verb, unit, said },
            }
        }
        zbus::Error::MethodError(_, text, _) => BusError::Refused { verb, unit, said: said(text.as_deref()) },
        error => BusError::Strange { what: unit, error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_permitted_is_told_from_what_is_refused() {
        let call = Message::method_call(AT, "RestartUnit").build(&()).unwrap();
        let said = |name: &str, text: &str| {
            zbus::Error::from(Message::error(&call.header(), name).build(&(text,)).unwrap())
        };
        for name in ["AccessDenied", "InteractiveAuthorizationRequired"] {
            let said =
                said(&format!("org.freedesktop.DBus.Error.{name}"), "Interactive authentication required.");
            let error = refused("restart", "apache2.service", said);
            assert!(matches!(error, BusError::NotPermitted { .. }), "{error}");
            assert!(error.to_string().contains("polkit"), "{error}");
        }
        let masked = said("org.freedesktop.systemd1.UnitMasked", "Unit apache2.service is masked.");
        let error = refused("restart", "apache2.service", masked);
        assert!(matches!(error, BusError::Refused { .. }), "{error}");
        assert!(error.to_string().contains("masked"), "{error}");
    }

    #[test]
    fn a_socket_that_systemd_has_forgotten_is_looked_for_by_its_units_names() {
        let texts = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        let names = texts(&["shop@1.service", "web.service"]);
        assert_eq!(forgotten_sockets(&names, &texts(&["shop.timer"])), ["shop@1.socket", "web.socket"]);
        assert!(forgotten_sockets(&names, &texts(&["http.socket"])).is_empty(), "it is known");
    }

    #[test]
    fn the_end_of_a_job_names_it() {
        let path = ObjectPath::try_from("/org/freedesktop/systemd1/job/7").unwrap();
        let signal = Message::signal(AT, MANAGER, JOB_REMOVED);
        let signal = signal.build(&(7_u32, &path, "apache2.service", "done")).unwrap();
        assert_eq!(removed(&signal).unwrap(), (Job(path.into()), "done".to_owned()));
    }
}
