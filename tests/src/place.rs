//! A test's own directories, its children's logs, and waiting with a deadline.

use std::{
    env,
    fmt::Write as _,
    fs,
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use crate::clock;

/// Every process of a test carries this variable with the test's directory: that is how those are found that
/// would outlive it, daemons and children of children included.
pub const MARK: &str = "DRAIN_TEST_PLACE";

/// How long to wait for what comes at once on an idle machine, or after a second or two. No claim is made by it, and only
/// what never comes takes so long: a test that fails on a busy machine tells nothing.
pub const PATIENCE: Duration = Duration::from_mins(2);
/// How long to wait between two looks: short against every limit in the tests, long against what a look costs.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Where the machine stood still for all of the time, what is wanted has had none.
const LEAST_LOOKS: u32 = 20;
/// How much of each log a failure shows.
const TAIL_LINES: usize = 25;

/// Where one test keeps its files. Clones share it; the last one to go ends every process of the test.
#[derive(Clone, Debug)]
pub struct Place {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    public: PathBuf,
    logs: Mutex<Vec<PathBuf>>,
    /// Ends the test's processes should this one be killed: it waits for the end of its standard input.
    guardian: process::Child,
}

impl Place {
    /// Opens an empty place for the test of this name.
    pub fn new(test: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let dir = target().join("tmp").join(test);
        if dir.exists() {
            fs::remove_dir_all(&dir).expect("remove what the test's last run left");
        }
        fs::create_dir_all(&dir).expect("create the test's directory");
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let public = env::temp_dir().join(format!("drain-{}-{number}", process::id()));
        fs::create_dir_all(&public).expect("create the test's public directory");
        fs::set_permissions(&public, fs::Permissions::from_mode(0o755)).expect("open the public directory");
        let guardian = guardian(&dir, &public);
        Self { inner: Arc::new(Inner { dir, public, logs: Mutex::default(), guardian }) }
    }

    /// Configurations and logs; stays after the test, for a look at what happened.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// A directory with a short path that every user may enter: for Unix sockets, whose paths may have 107
    /// bytes, and for what a web server serves under another user's name. Goes with the test.
    pub fn public(&self) -> &Path {
        &self.inner.public
    }

    /// A directory of this name under [`dir`](Self::dir), created if need be.
    pub fn subdir(&self, name: &str) -> PathBuf {
        let path = self.dir().join(name);
        fs::create_dir_all(&path).expect("create a fixture's directory");
        path
    }

    /// A command whose process belongs to this test.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env(MARK, self.dir());
        command
    }

    /// Shows the end of this log when the test fails.
    pub fn show_log(&self, log: PathBuf) {
        let mut logs = self.inner.logs.lock().unwrap_or_else(PoisonError::into_inner);
        if !logs.contains(&log) {
            logs.push(log);
        }
    }

    /// Looks until `look` gives a value; where it gives none before the deadline, panics with what was wanted,
    /// what the last look saw (its error), and the end of every log.
    #[track_caller]
    pub fn wait_for<T>(
        &self,
        what: &str,
        within: Duration,
        mut look: impl FnMut() -> Result<T, String>,
    ) -> T {
        let start = clock::now();
        for looks in 1_u32.. {
            match look() {
                Ok(value) => return value,
                Err(saw) if start.elapsed() >= within && looks > LEAST_LOOKS => {
                    panic!("wanted, within {within:?}: {what}\nsaw: {saw}\n{}", self.tails())
                }
                Err(_) => clock::pause(LOOK_EVERY),
            }
        }
        unreachable!("nobody looks so often")
    }

    /// Fails the test now, with the end of every log.
    #[track_caller]
    pub fn fail(&self, why: &str) -> ! {
        panic!("{why}\n{}", self.tails())
    }

    /// Fails the test, with the end of every log, unless `holds`.
    #[track_caller]
    pub fn check(&self, holds: bool, otherwise: &str) {
        if !holds {
            self.fail(otherwise);
        }
    }

    /// The end of every log.
    pub fn tails(&self) -> String {
        let logs = self.inner.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for log in logs.iter() {
            let content = fs::read(log).unwrap_or_default();
            let content = String::from_utf8_lossy(&content);
            let lines: Vec<&str> = content.lines().collect();
            let from = lines.len().saturating_sub(TAIL_LINES);
            let _ = writeln!(text, "--- {} ({} lines)", log.display(), lines.len());
            for line in &lines[from..] {
                let _ = writeln!(text, "{line}");
            }
        }
        text
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The end of its input is the guardian's sign; it ends what is left, and then itself.
        drop(self.guardian.stdin.take());
        let mut ended = String::new();
        if let Some(mut out) = self.guardian.stdout.take() {
            let _ = out.read_to_string(&mut ended);
        }
        let _ = self.guardian.wait();
        assert!(
            ended.is_empty() || thread::panicking(),
            "these processes of the test outlived their fixtures:\n{ended}"
        );
    }
}

/// What `look` found to hold, as [`Place::wait_for`] wants it.
pub fn holds(is: bool, saw: impl FnOnce() -> String) -> Result<(), String> {
    if is { Ok(()) } else { Err(saw()) }
}

/// The directory that cargo builds in: the tests' own executable lies in its `debug/deps`.
pub fn target() -> PathBuf {
    let exe = env::current_exe().expect("the path of the running test");
    exe.ancestors()
        .find(|dir| dir.join("CACHEDIR.TAG").exists())
        .map_or_else(|| exe.with_file_name(""), Path::to_path_buf)
}

/// A program of this workspace, built by cargo beside the running test (or where `DRAIN_BIN` says).
pub fn built(program: &str) -> PathBuf {
    let dir = env::var_os("DRAIN_BIN").map_or_else(
        || {
            let exe = env::current_exe().expect("the path of the running test");
            let dir = exe.parent().expect("a test's executable lies in a directory");
            if dir.ends_with("deps") { dir.with_file_name("") } else { dir.to_path_buf() }
        },
        PathBuf::from,
    );
    let path = dir.join(program);
    assert!(path.exists(), "{} is not there: run `cargo build --workspace` first", path.display());
    path
}

/// Where the certificates lie that tests of TLS use; its README says whose they are.
pub fn certificates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../agent/tests/tls")
}

/// Starts the process that ends the others of a test: it outlives this one by as long as that takes.
fn guardian(dir: &Path, public: &Path) -> process::Child {
    const SCRIPT: &str = r#"
        cat >/dev/null
        for environ in $(grep -lzxF "$1=$2" /proc/[0-9]*/environ 2>/dev/null); do
            pid=${environ#/proc/}; pid=${pid%/environ}
            what=$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)
            [ -n "$what" ] || continue  # a zombie
            kill -KILL "$pid" 2>/dev/null && echo "$pid $what"
        done
        rm -rf "$3"
    "#;
    let mut command = Command::new("setsid");
    command.args(["sh", "-c", SCRIPT, "guardian", MARK]).arg(dir).arg(public);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().expect("start the guardian with setsid and sh")
}
