//! A real systemd, booted for one test in namespaces of its own on a copy-on-write layer over this machine's root.
//!
//! ```text
//! let place = Place::new("a_claim");
//! let Some(machine) = SystemdBox::on(&place) else { return };
//! machine.install(&built("drain-agent"), "/usr/bin/drain-agent");
//! machine.write("/etc/drain-agent/apache2.toml", "…");
//! machine.sh("systemctl start apache2 drain-agent@apache2");
//! let balancer = Haproxy::new(&place, "lb")…          // runs outside, in the box's network
//! ```
//!
//! The thread of the test stands in the box's network as long as the box lives: what it starts and connects to from then
//! on, fixtures and loads included, is in there. Processes, files and users are the box's own. When the value goes,
//! the box is powered off and nothing is left of it; a test that is killed takes it along as well.

use std::{
    env,
    fs::{self, File, OpenOptions, Permissions},
    io::{BufRead as _, BufReader, Read as _},
    os::{
        fd::AsFd as _,
        unix::{
            fs::{PermissionsExt as _, symlink},
            process::CommandExt as _,
        },
    },
    path::{Path, PathBuf},
    process::{self, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{
    PATIENCE,
    child::output,
    clock,
    place::{Place, holds},
};

/// The program that boots it.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd-box");
/// How long the box may take to go: what its keeper gives the services, and some.
const GONE_WITHIN: Duration = Duration::from_mins(2);
/// How many lines of the box's journal a failure shows.
const JOURNAL_LINES: &str = "120";

/// One booted systemd. When dropped it is powered off; a test that fails shows the end of its journal.
#[derive(Debug)]
pub struct SystemdBox {
    place: Place,
    dir: PathBuf,
    name: String,
    keeper: process::Child,
    /// The number of its process 1 out here.
    init: u32,
    /// The network in which the test's thread was before.
    network: File,
}

impl SystemdBox {
    /// Boots one. `None`, and a line that says why, where this machine can't: in CI that fails the test.
    #[must_use]
    pub fn on(place: &Place) -> Option<Self> {
        let possible = output(script(&["possible"]));
        if !possible.status.success() {
            let why = String::from_utf8_lossy(&possible.stderr).into_owned();
            assert!(env::var_os("CI").is_none(), "expected a machine that can boot a nested systemd: {why}");
            eprintln!("not tested: {why}");
            return None;
        }
        Some(Self::boot(place))
    }

    fn boot(place: &Place) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = place.subdir(&format!("box-{number}"));
        let errors = dir.join("keeper.log");
        let log = OpenOptions::new().create(true).append(true).open(&errors).expect("open the keeper's log");
        place.show_log(errors);
        let name = format!("{}-{number}", process::id());
        let mut boot = script(&["boot"]);
        boot.arg(&dir).arg(&name);
        // A Ctrl-C at the terminal must leave it the time to clean up.
        boot.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut keeper = boot.spawn().expect("start tests/systemd-box");
        let mut said = String::new();
        let out = keeper.stdout.take().expect("its output is piped");
        BufReader::new(out).read_line(&mut said).expect("read what tests/systemd-box says");
        if said.trim() != "up" {
            let _ = keeper.wait();
            place.fail("the box did not come up");
        }
        let init = fs::read_to_string(dir.join("pid")).expect("the box's process 1");
        let init = init.trim().parse().expect("a process id");
        let network = File::open("/proc/thread-self/ns/net").expect("the thread's own network");
        let inside = File::open(format!("/proc/{init}/ns/net")).expect("the box's network");
        move_into_link_name_space(inside.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("enter the box's network");
        Self { place: place.clone(), dir, name, keeper, init, network }
    }

    /// A command that runs inside, as root.
    pub fn command(&self, program: &str) -> Command {
        let mut command = script(&["exec"]);
        command.arg(&self.dir).arg(program);
        command
    }

    /// Runs a shell's text inside; gives what it has written to standard output. Fails the test where it fails.
    #[track_caller]
    pub fn sh(&self, text: &str) -> String {
        let out = self.try_sh(text);
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        if !out.status.success() {
            let errors = String::from_utf8_lossy(&out.stderr);
            self.fail(&format!("{text:?} in the box: {}\n{said}{errors}", out.status));
        }
        said
    }

    /// The same, however it ends.
    pub fn try_sh(&self, text: &str) -> Output {
        let mut command = self.command("bash");
        command.args(["-c", text]);
        output(command)
    }

    /// Runs a shell's text inside as another user.
    pub fn try_sh_as(&self, user: &str, text: &str) -> Output {
        let mut command = self.command("setpriv");
        command.args(["--reuid", user, "--regid", user, "--init-groups", "bash", "-c", text]);
        output(command)
    }

    /// A property of a unit, as `systemctl show` tells it.
    #[track_caller]
    pub fn property(&self, unit: &str, property: &str) -> String {
        self.sh(&format!("systemctl show -P {property} -- '{unit}'")).trim().to_owned()
    }

    /// Waits until a property of a unit has this value.
    #[track_caller]
    pub fn wait_for_property(&self, unit: &str, property: &str, value: &str) {
        self.wait_for(&format!("{unit} with {property}={value}"), || {
            let now = self.property(unit, property);
            holds(now == value, || now)
        });
    }

    /// Looks until `look` gives a value, as [`Place::wait_for`] does; a failure shows the box's journal as well.
    #[track_caller]
    pub fn wait_for<T>(&self, what: &str, look: impl FnMut() -> Result<T, String>) -> T {
        self.place.wait_for(what, PATIENCE, look)
    }

    /// The process id of a unit's main process, inside; 0 where there is none.
    #[track_caller]
    pub fn main_pid(&self, unit: &str) -> u32 {
        self.property(unit, "MainPID").parse().expect("MainPID is a number")
    }

    /// What a unit has written to the journal, messages of systemd about it included.
    #[track_caller]
    pub fn journal(&self, unit: &str) -> String {
        self.sh(&format!("journalctl --sync; journalctl --no-pager -o cat -u '{unit}'"))
    }

    /// Copies a program into it, for everybody to execute.
    #[track_caller]
    pub fn install(&self, from: &Path, to: &str) {
        self.put(to, 0o755, |target| fs::copy(from, target).map(drop));
    }

    /// Writes a file into it, for everybody to read.
    #[track_caller]
    pub fn write(&self, to: &str, text: &str) {
        self.put(to, 0o644, |target| fs::write(target, text));
    }

    /// Makes a symbolic link in it.
    #[track_caller]
    pub fn link(&self, to: &str, leads_to: &str) {
        self.put(to, 0o777, |target| symlink(leads_to, target));
    }

    /// A file's text.
    #[track_caller]
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.outside(path))
            .unwrap_or_else(|e| self.fail(&format!("{path} in the box: {e}")))
    }

    /// A path inside as it is reached from out here. What a link with an absolute path leads to is not found by it.
    pub fn outside(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.init))
    }

    /// The number of its process 1 on the machine.
    pub const fn init(&self) -> u32 {
        self.init
    }

    /// What its cgroup is called on the machine.
    pub fn cgroup(&self) -> String {
        format!("drain-box-{}", self.name)
    }

    /// Where the test keeps its files.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// Tells it to shut down as an administrator does, and does not wait. [`wait_until_off`](Self::wait_until_off) does.
    pub fn power_off(&self) {
        let _ = self.try_sh("systemctl poweroff --no-block");
    }

    /// Whether all of it has ended.
    pub fn is_off(&mut self) -> bool {
        self.keeper.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Waits until all of it has ended.
    #[track_caller]
    pub fn wait_until_off(&mut self) {
        let place = self.place.clone();
        let is_off = || holds(self.is_off(), || "it runs".into());
        place.wait_for("the box to be off", GONE_WITHIN, is_off);
    }

    /// Fails the test now, with the end of every log.
    #[track_caller]
    pub fn fail(&self, why: &str) -> ! {
        self.place.fail(why)
    }

    fn put(&self, to: &str, mode: u32, put: impl FnOnce(&Path) -> std::io::Result<()>) {
        let target = self.outside(to);
        let done = fs::create_dir_all(target.parent().expect("a file's path has a directory"))
            .and_then(|()| match fs::remove_file(&target) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => put(&target),
            })
            .and_then(|()| {
                let is_link = target.is_symlink();
                if is_link { Ok(()) } else { fs::set_permissions(&target, Permissions::from_mode(mode)) }
            });
        done.unwrap_or_else(|e| self.fail(&format!("{to} in the box: {e}")));
    }
}

impl Drop for SystemdBox {
    fn drop(&mut self) {
        if thread::panicking() {
            // Standard error of a test that has failed is shown.
            let journal = self.try_sh(&format!("journalctl --no-pager -o short-precise -n {JOURNAL_LINES}"));
            eprintln!("--- the box's journal\n{}", String::from_utf8_lossy(&journal.stdout));
        }
        let _ = move_into_link_name_space(self.network.as_fd(), Some(LinkNameSpaceType::Network));
        // The end of its input is the keeper's sign.
        drop(self.keeper.stdin.take());
        let began = clock::now();
        let mut ended = self.is_off();
        while !ended && began.elapsed() < GONE_WITHIN {
            clock::pause(Duration::from_millis(20));
            ended = self.is_off();
        }
        assert!(ended || thread::panicking(), "the box has not gone within {GONE_WITHIN:?}");
        let mut errors = String::new();
        let log = File::open(self.dir.join("keeper.log"));
        let _ = log.and_then(|mut log| log.read_to_string(&mut errors));
        assert!(errors.is_empty() || thread::panicking(), "the box's keeper complains: {errors}");
    }
}

/// A call of `tests/systemd-box`.
fn script(words: &[&str]) -> Command {
    let mut command = Command::new("bash");
    command.arg(SCRIPT).args(words);
    command
}
