//! systemd's manager, asked over the system's D-Bus (`org.freedesktop.systemd1(5)`).
//!
//! A connection is made for each restart and each look, and goes with it: one that was kept would be dead after the bus's
//! own restart, at the moment when it is needed.

use std::time::Duration;

use thiserror::Error;
use tokio::time::timeout;

use super::{
    dbus::{Connection, DbusError, Malformed, Reader, Writer},
    standing::Standing,
    verb::Verb,
};

/// How long systemd may take to answer: D-Bus's own limit for a call. A question to polkit is in it.
const ANSWER_WITHIN: Duration = Duration::from_secs(25);

const SERVICE: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const SERVICE_UNIT: &str = "org.freedesktop.systemd1.Service";
const SOCKET_UNIT: &str = "org.freedesktop.systemd1.Socket";
const JOB: &str = "org.freedesktop.systemd1.Job";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// The signal that a job has ended.
const JOB_REMOVED: &str = "JobRemoved";

/// What an error is called where polkit has not permitted something.
const DENIED: [&str; 2] = [
    "org.freedesktop.DBus.Error.AccessDenied",
    "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
];

/// A job that conflicts with one that waits takes its place, as with systemctl.
const REPLACE: &str = "replace";

/// A connection to systemd.
#[derive(Debug)]
pub struct Systemd {
    connection: Connection,
}

/// Why systemd could not be asked, or does not do what it is asked for.
#[derive(Debug, Error)]
pub enum BusError {
    /// There is no way to it.
    #[error("expected to reach systemd over the system's D-Bus, found: {0}; see that dbus.service runs")]
    Unreachable(DbusError),
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
        error: DbusError,
    },
}

impl Systemd {
    /// Connects.
    pub async fn connect() -> Result<Self, BusError> {
        let connection =
            timeout(ANSWER_WITHIN, Connection::system()).await.map_err(|_late| BusError::Silent)?;
        Ok(Self { connection: connection.map_err(BusError::Unreachable)? })
    }

    /// How the unit `name` is.
    pub async fn standing(&mut self, name: &str) -> Result<Standing, BusError> {
        let standing =
            timeout(ANSWER_WITHIN, self.ask_standing(name)).await.map_err(|_late| BusError::Silent)?;
        standing.map_err(|error| BusError::Strange { what: name.to_owned(), error })
    }

    async fn ask_standing(&mut self, name: &str) -> Result<Standing, DbusError> {
        // Loads it where it is not: one that has never run is not known otherwise.
        let unit = self.manager("LoadUnit", &[name]).await?.body().string()?.to_owned();
        let text = |value: &mut Reader<'_>| {
            value.variant("s")?;
            Ok(value.string()?.to_owned())
        };
        let loaded = self.property(&unit, UNIT, "LoadState", text).await?;
        // First: of a job that ends in between there is then one too many, and not a state from before its end without it.
        let job = self.property(&unit, UNIT, "Job", |value| {
            value.variant("(uo)")?;
            value.structure()?;
            value.u32()
        });
        let has_job = job.await? != 0;
        let active = self.property(&unit, UNIT, "ActiveState", text).await?;
        let sub = self.property(&unit, UNIT, "SubState", text).await?;
        let invocation = self.property(&unit, UNIT, "InvocationID", |value| {
            value.variant("ay")?;
            let mut id = String::new();
            value.array(1, |byte| {
                id += &format!("{:02x}", byte.byte()?);
                Ok(())
            })?;
            Ok(id)
        });
        let invocation = invocation.await?;
        let strings = |value: &mut Reader<'_>| {
            value.variant("as")?;
            value.strings()
        };
        let triggered_by = self.property(&unit, UNIT, "TriggeredBy", strings).await?;
        let names = self.property(&unit, UNIT, "Names", strings).await?;
        // Nothing but a service has these.
        let main = self.property(&unit, SERVICE_UNIT, "MainPID", |value| {
            value.variant("u")?;
            value.u32()
        });
        let main = main.await.ok().filter(|main| *main != 0);
        let result = self.property(&unit, SERVICE_UNIT, "Result", text).await.unwrap_or_default();
        Ok(Standing { loaded, active, sub, invocation, has_job, main, result, triggered_by, names })
    }

    /// The processes of the unit `name`.
    pub async fn processes(&mut self, name: &str) -> Result<Vec<u32>, BusError> {
        let ask = async {
            let reply = self.manager("GetUnitProcesses", &[name]).await?;
            let mut processes = Vec::new();
            reply.body().array(8, |process| {
                process.string()?;
                processes.push(process.u32()?);
                process.string().map(drop)
            })?;
            Ok(processes)
        };
        let processes = timeout(ANSWER_WITHIN, ask).await.map_err(|_late| BusError::Silent)?;
        processes.map_err(|error| BusError::Strange { what: name.to_owned(), error })
    }

    /// Where systemd listens for the socket unit `name`, or will from the host's next start on; nothing where it does not.
    pub async fn listens(&mut self, name: &str) -> Result<Vec<String>, BusError> {
        let listens =
            timeout(ANSWER_WITHIN, self.ask_listens(name)).await.map_err(|_late| BusError::Silent)?;
        listens.map_err(|error| BusError::Strange { what: name.to_owned(), error })
    }

    async fn ask_listens(&mut self, name: &str) -> Result<Vec<String>, DbusError> {
        let unit = self.manager("LoadUnit", &[name]).await?.body().string()?.to_owned();
        let text = |value: &mut Reader<'_>| {
            value.variant("s")?;
            Ok(value.string()?.to_owned())
        };
        let active = self.property(&unit, UNIT, "ActiveState", text).await?;
        let enabled = self.property(&unit, UNIT, "UnitFileState", text).await?;
        if active != "active" && enabled != "enabled" {
            return Ok(Vec::new());
        }
        let listen = self.property(&unit, SOCKET_UNIT, "Listen", |value| {
            value.variant("a(ss)")?;
            let mut addresses = Vec::new();
            // Its kind, such as `Stream`, and its address.
            value.array(8, |socket| {
                socket.structure()?;
                socket.string()?;
                addresses.push(socket.string()?.to_owned());
                Ok(())
            })?;
            Ok(addresses)
        });
        listen.await
    }

    /// Has systemd begin what `verb` says to the unit `name`. It does not wait for the end: whoever waited in here while
    /// something that hangs on the unit waits for the agent would wait for ever.
    pub async fn begin(&mut self, verb: Verb, name: &str) -> Result<Job, BusError> {
        let begin = async {
            self.listen_to_jobs().await?;
            Ok(Job(self.manager(verb.method(), &[name, REPLACE]).await?.body().string()?.to_owned()))
        };
        let job = timeout(ANSWER_WITHIN, begin).await.map_err(|_late| BusError::Silent)?;
        job.map_err(|error| refused(&verb.to_string(), name, error))
    }

    /// Hears of the ends of jobs from now on.
    async fn listen_to_jobs(&mut self) -> Result<(), DbusError> {
        let rule = format!("type='signal',sender='{SERVICE}',interface='{MANAGER}',member='{JOB_REMOVED}'");
        self.connection.listen_to(&rule).await?;
        // Without it systemd sends no signals. A second time does no harm.
        match self.manager("Subscribe", &[]).await {
            Err(DbusError::Refused { name, .. }) if name == "org.freedesktop.systemd1.AlreadySubscribed" => {
                Ok(())
            }
            subscribed => subscribed.map(drop),
        }
    }

    /// Waits for the end of a job, and gives systemd's word for it: `done`, `failed`, `canceled` and more; `None` where
    /// the connection has broken, so that nobody tells.
    pub async fn end(&mut self, job: &Job) -> Option<String> {
        loop {
            let signal = self.connection.signal().await.ok()?;
            if signal.member.as_deref() != Some(JOB_REMOVED) {
                continue;
            }
            if let Ok((path, result)) = removed(&mut signal.body())
                && path == job.0
            {
                return Some(result.to_owned());
            }
        }
    }

    /// Takes a job back that has not ended. One that has ended is none any more.
    pub async fn cancel(&mut self, job: &Job) {
        let cancel = self.connection.ask((SERVICE, &job.0), (JOB, "Cancel"), "", Writer::default());
        if let Ok(Err(error)) = timeout(ANSWER_WITHIN, cancel).await {
            tracing::debug!(%error, "a job of systemd is not cancelled");
        }
    }

    /// Calls a method of the manager's that is given nothing but strings.
    async fn manager(&mut self, method: &str, strings: &[&str]) -> Result<super::dbus::Message, DbusError> {
        let mut body = Writer::default();
        for string in strings {
            body.string(string);
        }
        let signature = "s".repeat(strings.len());
        self.connection.ask((SERVICE, MANAGER_PATH), (MANAGER, method), &signature, body).await
    }

    /// What `read` makes of a property.
    async fn property<T>(
        &mut self,
        path: &str,
        interface: &str,
        property: &str,
        read: impl FnOnce(&mut Reader<'_>) -> Result<T, Malformed>,
    ) -> Result<T, DbusError> {
        let mut body = Writer::default();
        body.string(interface).string(property);
        let reply = self.connection.ask((SERVICE, path), (PROPERTIES, "Get"), "ss", body).await?;
        Ok(read(&mut reply.body())?)
    }
}

/// Something that systemd has begun.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Job(String);

/// Which job has ended, and how: `(uoss)`.
fn removed<'a>(body: &mut Reader<'a>) -> Result<(&'a str, &'a str), Malformed> {
    body.u32()?;
    let path = body.string()?;
    body.string()?;
    Ok((path, body.string()?))
}

/// What a call that was refused means.
fn refused(verb: &str, unit: &str, error: DbusError) -> BusError {
    let (verb, unit) = (verb.to_owned(), unit.to_owned());
    match error {
        DbusError::Refused { name, text } if DENIED.contains(&name.as_str()) => {
            BusError::NotPermitted { verb, unit, said: text }
        }
        DbusError::Refused { text, .. } => BusError::Refused { verb, unit, said: text },
        error => BusError::Strange { what: unit, error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_permitted_is_told_from_what_is_refused() {
        let said = |name: &str, text: &str| DbusError::Refused { name: name.into(), text: text.into() };
        let error =
            refused("restart", "apache2.service", said(DENIED[1], "Interactive authentication required."));
        assert!(matches!(error, BusError::NotPermitted { .. }), "{error}");
        assert!(error.to_string().contains("polkit"), "{error}");
        let masked = said("org.freedesktop.systemd1.UnitMasked", "Unit apache2.service is masked.");
        let error = refused("restart", "apache2.service", masked);
        assert!(matches!(error, BusError::Refused { .. }), "{error}");
        assert!(error.to_string().contains("masked"), "{error}");
    }

    #[test]
    fn the_end_of_a_job_names_it() {
        let mut body = Writer::default();
        body.u32(7).string("/org/freedesktop/systemd1/job/7").string("apache2.service").string("done");
        let message = super::super::dbus::Message::told(body);
        let read = removed(&mut message.body()).unwrap();
        assert_eq!(read, ("/org/freedesktop/systemd1/job/7", "done"));
    }
}
