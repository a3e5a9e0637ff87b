//! A real Apache (`mpm_event`, or prefork) with a configuration and a directory of its own.

mod scripts;

use std::{
    fs, net::SocketAddr, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command, thread,
    time::Duration,
};

use rustix::process::Signal;

pub use self::scripts::{HELD, ORDER, RECORD, SLOW, THINK};
use crate::{
    PATIENCE,
    child::{is_alive, output, send},
    client::Connection,
    orders,
    place::{Place, holds},
    port,
};

/// Where Debian's package keeps the modules.
const MODULES: &str = "/usr/lib/apache2/modules";

/// A static page of [`PAGE_BYTES`].
pub const PAGE: &str = "/page.html";
/// How long [`PAGE`] is: more than a socket's first segments, so that a cut shows.
pub const PAGE_BYTES: usize = 40_000;
/// Where [`Apache::with_status`] tells how busy it is.
pub const STATUS: &str = "/server-status";
/// What readiness probes ask for.
pub const HEALTH: &str = "/health";

/// One Apache. When dropped it is stopped; the test fails if it was dead before or had logged an error.
#[derive(Debug)]
pub struct Apache {
    place: Place,
    name: String,
    address: SocketAddr,
    root: PathBuf,
    public: PathBuf,
    expected: Vec<String>,
    may_be_dead: bool,
    /// A process for each connection, not a thread.
    preforks: bool,
    /// More of its configuration.
    more: String,
}

impl Apache {
    /// An Apache of this name, not yet running; the name is what its answers carry in `X-Server`.
    pub fn new(place: &Place, name: &str) -> Self {
        let root = place.subdir(name);
        let public = place.public().join(name);
        let new = Self {
            place: place.clone(),
            name: name.to_owned(),
            address: port::free(),
            root,
            public,
            expected: Vec::new(),
            may_be_dead: true,
            preforks: false,
            more: String::new(),
        };
        new.write_files();
        place.show_log(new.error_log());
        new
    }

    /// Whoever asks at [`STATUS`] is told how many of its workers are busy.
    #[must_use]
    pub fn with_status(self) -> Self {
        self.with(&format!(
            "LoadModule status_module {MODULES}/mod_status.so
<Location {STATUS}>
    SetHandler server-status
</Location>
"
        ))
    }

    /// It serves each connection by a process of its own (`mpm_prefork`), which waits in an idle one as well.
    #[must_use]
    pub fn preforking(mut self) -> Self {
        self.preforks = true;
        self.write_config();
        self
    }

    /// It listens here instead of a port of its own choice.
    #[must_use]
    pub fn at(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self.write_config();
        self
    }

    /// More lines of its configuration.
    #[must_use]
    pub fn with(mut self, lines: &str) -> Self {
        self.more += lines;
        self.write_config();
        self
    }

    /// Starts it and waits until it answers.
    #[must_use]
    pub fn start(mut self) -> Self {
        self.start_again();
        self
    }

    /// Starts it after a stop or a crash, and waits until it answers.
    pub fn start_again(&mut self) {
        self.k("start");
        self.may_be_dead = false;
        self.place.wait_for(&format!("{} to answer", self.name), PATIENCE, || {
            let got = Connection::open(self.address).and_then(|mut c| c.fetch("GET", HEALTH, &[], b""));
            got.map(drop).map_err(|e| e.to_string())
        });
    }

    /// Stops it as `apachectl stop` does: what it was answering is cut.
    pub fn stop(&mut self) {
        self.may_be_dead = true;
        let Some(pid) = self.pid() else { return };
        self.k("stop");
        self.place.wait_for(&format!("{} to be gone", self.name), PATIENCE, || {
            holds(!is_alive(pid), || format!("its process {pid} is still there"))
        });
    }

    /// Stops and starts it, with no word to anybody: what people do who have no agent.
    pub fn restart_unannounced(&mut self) {
        self.stop();
        self.start_again();
    }

    /// Kills the parent and every worker, as a crash of the whole server would.
    pub fn crash(&mut self) {
        self.may_be_dead = true;
        let Some(pid) = self.pid() else { return };
        let group = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a process id is above zero");
        // A daemon is the leader of its own group.
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
        self.place.wait_for(&format!("{} to be dead", self.name), PATIENCE, || {
            holds(!is_alive(pid), || format!("its process {pid} is still there"))
        });
        // As after a crash the pid file stays; the socket of mod_cgid too.
    }

    /// The test's place.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Whom its answers name in `X-Server`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder whose files it serves.
    pub fn pages(&self) -> PathBuf {
        self.public.join("htdocs")
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The parent process, where it runs.
    pub fn pid(&self) -> Option<u32> {
        let text = fs::read_to_string(self.root.join("httpd.pid")).ok()?;
        text.trim().parse().ok().filter(|&pid| is_alive(pid))
    }

    /// The command that stops and starts it, for an agent; each run is noted in [`restarts`](Self::restarts).
    pub fn restart_command(&self) -> PathBuf {
        self.root.join("restart")
    }

    /// When each run of the restart command began, in time since 1970.
    pub fn restarts(&self) -> Vec<Duration> {
        let text = fs::read_to_string(self.root.join("restarts")).unwrap_or_default();
        text.lines().filter_map(|line| Some(Duration::from_nanos(line.parse().ok()?))).collect()
    }

    /// From now on the restart command fails with this text before it touches the server.
    pub fn break_restarts(&self, says: &str) {
        fs::write(self.root.join("broken"), says).expect("write the mark that breaks restarts");
    }

    /// The restart command works again.
    pub fn mend_restarts(&self) {
        let _ = fs::remove_file(self.root.join("broken"));
    }

    /// The file that [`hold`](Self::hold) makes, which scripts of a test may wait for as well.
    pub fn hold_mark(&self) -> PathBuf {
        self.public.join("held")
    }

    /// From now on [`HELD`] is not answered and the restart command does not touch the server, until
    /// [`release`](Self::release).
    pub fn hold(&self) {
        fs::write(self.hold_mark(), "").expect("write the mark that holds");
    }

    /// Both go on.
    pub fn release(&self) {
        fs::remove_file(self.hold_mark()).expect("remove the mark that holds");
    }

    /// From now on the server is not ready after a restart, until [`show_health`](Self::show_health).
    pub fn restart_unready(&self) {
        fs::write(self.root.join("unready"), "").expect("write the mark that makes restarts unready");
    }

    /// Takes the page that readiness probes ask for away: the server runs, and is not ready.
    pub fn hide_health(&self) {
        let _ = fs::remove_file(self.public.join("htdocs/health"));
    }

    /// Puts that page back.
    pub fn show_health(&self) {
        fs::write(self.public.join("htdocs/health"), "ready\n").expect("write the health page");
    }

    /// The ids of the orders that it took, in their order; an id that was taken twice stands there twice.
    pub fn orders(&self) -> Vec<orders::Id> {
        let text = fs::read_to_string(self.public.join("orders")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The access log's place.
    pub fn access_log_path(&self) -> PathBuf {
        self.root.join("access.log")
    }

    /// Renames the access log as logrotate does, and lets Apache open a new one: `apachectl graceful`.
    pub fn rotate_access_log(&self) {
        let log = self.access_log_path();
        fs::rename(&log, log.with_extension("log.1")).expect("rename the access log");
        self.k("graceful");
    }

    /// Its access log, a line per request: time in µs since 1970, client's port, request line, status, bytes.
    pub fn access_log(&self) -> String {
        fs::read_to_string(self.access_log_path()).unwrap_or_default()
    }

    /// What reached [`RECORD`], a line per request: method, query, and the body in hexadecimal digits.
    pub fn recorded(&self) -> String {
        fs::read_to_string(self.public.join("recorded")).unwrap_or_default()
    }

    /// From now on a line of the error log that contains this text is no surprise.
    pub fn expect_error(&mut self, text: &str) {
        self.expected.push(text.to_owned());
    }

    fn error_log(&self) -> PathBuf {
        self.root.join("error.log")
    }

    /// Runs `apache2 -k ACTION` on this instance.
    #[track_caller]
    fn k(&self, action: &str) {
        let mut command = self.place.command("apache2");
        command.arg("-d").arg(&self.root).arg("-f").arg(self.root.join("httpd.conf")).args(["-k", action]);
        run(&self.place, command);
    }

    fn write_files(&self) {
        let htdocs = self.public.join("htdocs");
        fs::create_dir_all(&htdocs).expect("create htdocs");
        fs::write(htdocs.join("page.html"), "0123456789abcdef".repeat(PAGE_BYTES / 16))
            .expect("write the page");
        self.show_health();
        // The workers run under another user's name than we, who are root in a container.
        for written in ["orders", "recorded"].map(|name| self.public.join(name)) {
            fs::write(&written, "").expect("create what the workers write");
            fs::set_permissions(&written, fs::Permissions::from_mode(0o666)).expect("let the workers write");
        }
        scripts::write(&self.public, &self.root, &self.restart_command());
        self.write_config();
    }

    fn write_config(&self) {
        fs::write(self.root.join("httpd.conf"), self.config()).expect("write httpd.conf");
    }

    fn config(&self) -> String {
        let Self { name, address, root, public, more, .. } = self;
        let (root, public) = (root.display(), public.display());
        let (mpm, cgi, workers) = if self.preforks {
            ("mpm_prefork", "cgi", "ServerLimit 32\nMaxRequestWorkers 32\n".to_owned())
        } else {
            let threads = "ServerLimit 4\nThreadsPerChild 32\nMaxRequestWorkers 128\n";
            ("mpm_event", "cgid", format!("{threads}ScriptSock \"{public}/cgid\"\n"))
        };
        let modules = [mpm, "authz_core", "mime", "alias", "env", "headers", "reqtimeout", cgi]
            .map(|m| format!("LoadModule {m}_module {MODULES}/mod_{m}.so\n"))
            .concat();
        // Only root can, and must, change to another user.
        let user = if rustix::process::geteuid().is_root() { "User www-data\nGroup www-data\n" } else { "" };
        format!(
            r#"ServerRoot "{root}"
{modules}{user}ServerName localhost
Listen {address}
PidFile "{root}/httpd.pid"
ErrorLog "{root}/error.log"
LogLevel warn
LogFormat "%{{usec}}t %{{remote}}p \"%r\" %>s %B" plain
CustomLog "{root}/access.log" plain
StartServers 1
{workers}# Longer than any test: an idle connection ends when a test says so.
KeepAlive On
KeepAliveTimeout 120
MaxKeepAliveRequests 0
Timeout 60
# Graceful stops don't wait for ever.
GracefulShutdownTimeout 5
TypesConfig /dev/null
Header always set X-Server "{name}"
DocumentRoot "{public}/htdocs"
ScriptAlias /cgi/ "{public}/cgi/"
<Directory "{public}">
    AllowOverride None
    Require all granted
</Directory>
{more}"#
        )
    }
}

impl Drop for Apache {
    fn drop(&mut self) {
        let pid = self.pid();
        if thread::panicking() {
            if let Some(pid) = pid {
                let _ = send(pid, Signal::TERM);
            }
            return;
        }
        assert!(pid.is_some() || self.may_be_dead, "{} died: see {}", self.name, self.error_log().display());
        self.stop();
        let log = fs::read_to_string(self.error_log()).unwrap_or_default();
        let surprises: Vec<&str> = log
            .lines()
            .filter(|line| is_error(line) && !self.expected.iter().any(|e| line.contains(e)))
            .collect();
        assert!(
            surprises.is_empty(),
            "{} logged errors that nobody expected:\n{}",
            self.name,
            surprises.join("\n")
        );
    }
}

/// Whether a line of the error log, `[time] [module:level] …`, reports an error or worse.
fn is_error(line: &str) -> bool {
    [":error]", ":crit]", ":alert]", ":emerg]"].iter().any(|level| line.contains(level))
}

/// Runs a short command of the test to its end; fails the test if it fails.
#[track_caller]
fn run(place: &Place, command: Command) {
    let text = format!("{command:?}");
    let out = output(command);
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        place.fail(&format!("{text} ended with {}: {said}", out.status));
    }
}
