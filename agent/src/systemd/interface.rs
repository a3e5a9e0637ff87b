//! What systemd offers on the bus, as far as it is asked for (`org.freedesktop.systemd1(5)`).

use zbus::{OwnedObjectPath, proxy};

/// The manager.
#[proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
pub(super) trait Manager {
    /// Has it send signals to this connection.
    fn subscribe(&self) -> zbus::Result<()>;

    /// The object of a unit, which is loaded where it is not: one that has never run is not known otherwise.
    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;

    /// The cgroup, number and command line of each of a unit's processes.
    fn get_unit_processes(&self, name: &str) -> zbus::Result<Vec<(String, u32, String)>>;
}

/// A unit of any kind.
#[proxy(interface = "org.freedesktop.systemd1.Unit", default_service = "org.freedesktop.systemd1")]
pub(super) trait Unit {
    /// Whether it was found.
    #[zbus(property)]
    fn load_state(&self) -> zbus::Result<String>;

    /// The job that waits or runs for it; number 0: none.
    #[zbus(property)]
    fn job(&self) -> zbus::Result<(u32, OwnedObjectPath)>;

    /// `active` and more.
    #[zbus(property)]
    fn active_state(&self) -> zbus::Result<String>;

    /// More of the same, by the unit's kind.
    #[zbus(property)]
    fn sub_state(&self) -> zbus::Result<String>;

    /// The id of its present or last run.
    #[zbus(property, name = "InvocationID")]
    fn invocation_id(&self) -> zbus::Result<Vec<u8>>;

    /// Whether it is started with the host: `enabled` and more; empty where there is no file of it.
    #[zbus(property)]
    fn unit_file_state(&self) -> zbus::Result<String>;

    /// The units that start it, of those that are loaded.
    #[zbus(property)]
    fn triggered_by(&self) -> zbus::Result<Vec<String>>;

    /// The units that it starts.
    #[zbus(property)]
    fn triggers(&self) -> zbus::Result<Vec<String>>;

    /// Its name, and those that stand for it.
    #[zbus(property)]
    fn names(&self) -> zbus::Result<Vec<String>>;
}

/// A service.
#[proxy(interface = "org.freedesktop.systemd1.Service", default_service = "org.freedesktop.systemd1")]
pub(super) trait Service {
    /// Its main process; 0: none.
    #[zbus(property, name = "MainPID")]
    fn main_pid(&self) -> zbus::Result<u32>;

    /// As whom it runs.
    #[zbus(property)]
    fn user(&self) -> zbus::Result<String>;

    /// How its last run has ended.
    #[zbus(property)]
    fn result(&self) -> zbus::Result<String>;
}

/// A socket.
#[proxy(interface = "org.freedesktop.systemd1.Socket", default_service = "org.freedesktop.systemd1")]
pub(super) trait Socket {
    /// What it listens on: kind (`Stream`) and address.
    #[zbus(property)]
    fn listen(&self) -> zbus::Result<Vec<(String, String)>>;
}

/// Something that systemd has begun.
#[proxy(interface = "org.freedesktop.systemd1.Job", default_service = "org.freedesktop.systemd1")]
pub(super) trait Job {
    /// Takes it back.
    fn cancel(&self) -> zbus::Result<()>;
}
