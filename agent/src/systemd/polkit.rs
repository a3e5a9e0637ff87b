//! polkit, which decides for systemd whether the agents' user may restart a unit: whether it can.
//!
//! It is asked for a right that the agents' rule always refuses, as it is to no unit: a plain no comes from a rule, and
//! without one whoever asks would be asked for a password.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use thiserror::Error;
use tokio::time::timeout;
use zbus::{Connection, ObjectPath, Variant, connection, fdo::ConnectionCredentials};

use super::object::Object;
use crate::config::DIRECTORY;

/// How long polkit may take to answer: it may have to be started, and then reads all rules.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

const POLKIT: &str = "org.freedesktop.PolicyKit1";
/// What systemd asks polkit for.
const ACTION: &str = "org.freedesktop.systemd1.manage-units";

/// polkit's authority.
const AUTHORITY: &str = "org.freedesktop.PolicyKit1.Authority";
const AUTHORITY_AT: &str = "/org/freedesktop/PolicyKit1/Authority";

/// The bus itself.
const BUS: &str = "org.freedesktop.DBus";
const BUS_AT: &str = "/org/freedesktop/DBus";

/// Why polkit does not let the agent restart its unit.
#[derive(Debug, Error)]
pub(crate) enum Hindrance {
    /// There is none.
    #[error("polkit does not answer: {0}")]
    Absent(String),
    /// No rule is for this user.
    #[error("no polkit rule in force is for the agent's user (uid {uid})")]
    NoRule {
        /// The agent's user.
        uid: u32,
    },
    /// The rule finds no unit.
    #[error(
        "the configuration came from flags, and polkit's rule looks for units in the files of {DIRECTORY}"
    )]
    NoFile,
    /// The rule looks elsewhere.
    #[error("{} is not in {DIRECTORY}, where polkit's rule looks for units", path.display())]
    Elsewhere {
        /// The configuration.
        path: PathBuf,
    },
    /// It can't be read.
    #[error("polkitd (uid {uid}) can't read {}, which names the unit", path.display())]
    Unreadable {
        /// The configuration, or a directory above it.
        path: PathBuf,
        /// polkitd's user.
        uid: u32,
    },
}

impl Hindrance {
    /// What to do about it.
    pub(crate) const fn cure(&self) -> &'static str {
        match self {
            Self::Absent(_) => {
                "install polkitd (polkit elsewhere), and see that `systemctl start polkit` succeeds"
            }
            Self::NoRule { .. } => {
                "install systemd/50-drain-agent.rules, which the package has in /usr/share/polkit-1/rules.d, and run the \
                 agent as the user drain-agent"
            }
            Self::NoFile => "write it to a file there, or run the agent as root",
            Self::Elsewhere { .. } => "move the configuration there, or run the agent as root",
            Self::Unreadable { .. } => {
                "have everybody read it (chmod 644, and 755 for a directory): keys and tokens stand in files of their own"
            }
        }
    }
}

/// What hinders this process, which is not root, from having the unit of the configuration in `file` restarted; nothing
/// where nothing is seen to. Who restarts is not asked: only whether polkit could find out.
pub(crate) async fn hindrance(file: Option<&Path>) -> Option<Hindrance> {
    let found = timeout(ANSWER_WITHIN, look(file)).await;
    found.unwrap_or_else(|_late| Err(Hindrance::Absent(format!("no answer within {ANSWER_WITHIN:?}")))).err()
}

async fn look(file: Option<&Path>) -> Result<(), Hindrance> {
    let absent = |error: zbus::Error| Hindrance::Absent(error.to_string());
    let connection = connection::Builder::system().method_timeout(ANSWER_WITHIN).build().await;
    let connection = connection.map_err(absent)?;
    let (permitted, would_be_asked) = authorized(&connection).await.map_err(absent)?;
    if permitted {
        return Ok(());
    }
    if would_be_asked {
        return Err(Hindrance::NoRule { uid: rustix::process::geteuid().as_raw() });
    }
    let file = file.ok_or(Hindrance::NoFile)?;
    let polkit = credentials(&connection).await.map_err(absent)?;
    // Whose bus does not tell.
    let Some(uid) = polkit.unix_user_id() else { return Ok(()) };
    let gids = polkit.unix_group_ids().map_or(&[][..], Vec::as_slice);
    readable(file, uid, gids)
}

/// Whether polkit permits this process what it permits nobody unasked, and whether it would ask a person.
async fn authorized(connection: &Connection) -> zbus::Result<(bool, bool)> {
    let name = connection.unique_name().map(|name| name.as_str()).unwrap_or_default();
    let subject = ("system-bus-name", HashMap::from([("name", Variant::from(name))]));
    let details: HashMap<&str, &str> = HashMap::new();
    let path = ObjectPath::from_static_str_unchecked(AUTHORITY_AT);
    let authority = Object { connection, owner: POLKIT, path };
    let question = (subject, ACTION, details, 0_u32, "");
    let reply = authority.call(AUTHORITY, "CheckAuthorization", &question).await?;
    let (is, may_become, _): (bool, bool, HashMap<String, String>) = reply.body().deserialize()?;
    Ok((is, may_become))
}

/// Who is behind polkit's name.
async fn credentials(connection: &Connection) -> zbus::Result<ConnectionCredentials> {
    let bus = Object { connection, owner: BUS, path: ObjectPath::from_static_str_unchecked(BUS_AT) };
    bus.call(BUS, "GetConnectionCredentials", &(POLKIT,)).await?.body().deserialize()
}

/// Whether a process of this user and these groups can read the configuration, by the modes of its path.
fn readable(file: &Path, uid: u32, gids: &[u32]) -> Result<(), Hindrance> {
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    if file.parent() != Some(Path::new(DIRECTORY)) {
        return Err(Hindrance::Elsewhere { path: file });
    }
    for (path, bit) in [(file.as_path(), 0o4), (Path::new(DIRECTORY), 0o5)] {
        // What can't be looked at is not known.
        if !may(path, bit, uid, gids).unwrap_or(true) {
            return Err(Hindrance::Unreadable { path: path.to_owned(), uid });
        }
    }
    Ok(())
}

/// Whether they have the rights `bits` (4: read, 1: search) there.
fn may(path: &Path, bits: u32, uid: u32, gids: &[u32]) -> io::Result<bool> {
    let found = fs::metadata(path)?;
    let shift = match () {
        () if uid == 0 => return Ok(true),
        () if uid == found.uid() => 6,
        () if gids.contains(&found.gid()) => 3,
        () => 0,
    };
    Ok(found.permissions().mode() >> shift & bits == bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn rights_are_those_of_the_owner_or_of_a_group_or_of_everybody() {
        let scratch = Scratch::new("polkit");
        let path = scratch.join("shop.toml");
        fs::write(&path, "").unwrap();
        let (own, group) = (fs::metadata(&path).unwrap().uid(), fs::metadata(&path).unwrap().gid());
        let (other, none) = (own + 4711, group + 4711);
        let may_read = |mode, uid, gids: &[u32]| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            may(&path, 0o4, uid, gids).unwrap()
        };
        assert!(may_read(0o644, other, &[none]));
        assert!(!may_read(0o640, other, &[none]));
        assert!(may_read(0o640, other, &[none, group]));
        assert!(!may_read(0o604, other, &[group]), "a group without the right");
        assert!(may_read(0o000, 0, &[]), "root");
    }

    #[test]
    fn a_configuration_elsewhere_is_not_looked_at_by_the_rule() {
        let error = readable(Path::new("/srv/shop.toml"), 4711, &[]).unwrap_err();
        assert!(matches!(error, Hindrance::Elsewhere { .. }), "{error}");
        assert!(error.to_string().contains("/srv/shop.toml"), "{error}");
    }
}
