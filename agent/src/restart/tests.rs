//! Restarts of real processes. Each server is a small Python program with as many workers as are wanted, which
//! it replaces on SIGHUP.

use std::{fs, net::TcpListener, num::NonZeroU16, os::unix::fs::MetadataExt, path::PathBuf};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::timeout;

use super::*;
use crate::scratch::Scratch;

/// Longer than anything here takes, unless it hangs for good.
const PATIENCE: Duration = Duration::from_secs(20);

/// Ports that the kernel gives to nobody who does not ask for them.
const BELOW_CLIENTS: std::ops::Range<u16> = 12_000..32_768;

const SERVER: &str = r"
import os, signal, socket, sys
port, workers, ready = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(('127.0.0.1', port))
listener.listen()
children = []
def fork_all(*_):
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    children.clear()
    for _ in range(workers):
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            while True: signal.pause()
        children.append(child)
def stop(*_):
    for child in children:
        os.kill(child, signal.SIGKILL)
    os._exit(0)
signal.signal(signal.SIGHUP, fork_all)
signal.signal(signal.SIGTERM, stop)
fork_all()
open(ready, 'w').write(str(os.getpid()))
while True: signal.pause()
";

/// A place for one server: its port, its program, and the file that holds its pid.
struct Place {
    directory: PathBuf,
    port: NonZeroU16,
}

impl Place {
    fn new(test: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("drain-restart-{}-{test}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("server.py"), SERVER).unwrap();
        // Not from bind(0): the kernel would give it to somebody else before the server has it.
        let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
        let port = std::iter::repeat_with(|| fastrand::u16(BELOW_CLIENTS)).find(free).unwrap();
        Self { directory, port: NonZeroU16::new(port).unwrap() }
    }

    /// Shell text that starts a server with so many workers and returns when it listens.
    fn start(&self, workers: u32) -> String {
        format!(
            "cd {}; rm -f pid; python3 server.py {} {workers} pid >/dev/null 2>&1 & \
             until [ -s {}/pid ]; do sleep 0.01; done",
            self.directory.display(),
            self.port,
            self.directory.display(),
        )
    }

    /// Shell text that sends a signal to the server.
    fn signal(&self, signal: &str) -> String {
        format!("kill -{signal} $(cat {}/pid)", self.directory.display())
    }

    fn restarter(&self, script: &str, proof: Proof) -> Restarter {
        self.restarter_within(PATIENCE, script, proof)
    }

    fn restarter_within(&self, timeout: Duration, script: &str, proof: Proof) -> Restarter {
        let restart = config::Restart {
            by: By::Command(sh(script)),
            timeout,
            proof,
            stop: Some(sh(&self.signal("TERM"))),
            retries: 0,
            retry_after: PATIENCE,
            on_failure: config::OnFailure::Stay,
            warm_up: config::WarmUp { paths: Vec::new(), timeout: PATIENCE },
        };
        let run = config::Run { name: "upgrade".into(), command: sh("echo upgraded"), timeout: PATIENCE };
        let transcript = Arc::new(Transcript::beside(&self.directory.join("state")));
        Restarter::new(&restart, &[run], Doors::at_ports(&[self.port]), &transcript)
    }

    /// Gives little time, for what can't succeed.
    fn impatient(&self, script: &str, proof: Proof) -> Restarter {
        self.restarter_within(Duration::from_millis(1), script, proof)
    }

    async fn started(&self, workers: u32) -> Identity {
        let restarter = self.restarter(&self.start(workers), Proof::Process);
        restarter.restart(&mark(), &Identity::default()).await.unwrap();
        restarter.identity().await.unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let pid = fs::read_to_string(self.directory.join("pid")).ok().and_then(|p| p.parse().ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn sh(script: &str) -> Vec<String> {
    ["/bin/sh", "-c", script].map(str::to_owned).into()
}

async fn run(script: &str, limit: Duration) -> Result<Done, CommandError> {
    let scratch = Scratch::new("run");
    command(&scratch, &sh(script)).start(limit, &mark()).await?.end().await
}

fn command(scratch: &Scratch, argv: &[String]) -> Command {
    Command::new("restart command", argv, Arc::new(Transcript::beside(&scratch.join("state"))))
}

/// Waits until these hold the transcript: between its fork and its program any process of this one holds all that is
/// open.
async fn held_by(transcript: &Transcript, holders: &[String]) {
    let mut found = Vec::new();
    let held = async {
        loop {
            found = transcript.holders().await.unwrap();
            if found == holders {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(timeout(PATIENCE, held).await.is_ok(), "expected {holders:?}, found {found:?}");
}

fn kill(process: &Process) {
    kill_process(Pid::from_raw(process.pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
}

fn mark() -> Mark {
    Mark::new("shop", 1, "boot", Moment::now())
}

/// The process whose number is the output's last word.
async fn named_by(output: &Output) -> Process {
    let pid = output.to_string().split_whitespace().last().unwrap().parse().unwrap();
    let found = process::blocking(move || process::find(&[pid])).await.unwrap();
    found
        .into_values()
        .next()
        .map_or_else(|| Process { pid, started_seconds: 0, name: "ended".into() }, |found| found.process)
}

#[tokio::test]
async fn output_and_errors_are_kept_in_order() {
    let done = run("echo one; echo two >&2; echo three", PATIENCE).await.unwrap();
    assert_eq!(done.output.to_string(), "one\ntwo\nthree");
}

#[tokio::test]
async fn a_failing_command_says_why() {
    let error = run("echo bad configuration >&2; exit 3", PATIENCE).await.unwrap_err().to_string();
    assert!(error.contains("exit status: 3: bad configuration"), "{error}");
}

#[tokio::test]
async fn a_command_that_does_not_exist_could_not_be_run() {
    let scratch = Scratch::new("nowhere");
    let command = command(&scratch, &["/nowhere/apachectl".to_owned()]);
    let error = command.start(PATIENCE, &mark()).await.unwrap_err();
    assert!(matches!(error, CommandError::Start { .. }), "{error}");
}

#[tokio::test]
async fn a_command_reads_nothing_and_hears_nothing_of_systemd() {
    let done = run("cat; echo [$NOTIFY_SOCKET$LISTEN_FDS]", PATIENCE).await.unwrap();
    assert_eq!(done.output.to_string(), "[]");
}

#[tokio::test]
async fn a_command_knows_which_restart_it_belongs_to() {
    let mark = mark();
    let scratch = Scratch::new("mark");
    let command = command(&scratch, &sh(&format!("echo ${VARIABLE}")));
    let done = command.start(PATIENCE, &mark).await.unwrap().end().await.unwrap();
    assert_eq!(done.output.to_string(), mark.as_str());
}

#[tokio::test]
async fn a_server_that_inherits_the_mark_is_not_taken_for_the_command() {
    let place = Place::new("inherits");
    let mark = mark();
    place.restarter(&place.start(0), Proof::Process).restart(&mark, &Identity::default()).await.unwrap();
    let marked = mark.carried().await.unwrap();
    assert!(marked.command.is_none() && marked.others, "{marked:?}");
    assert!(Mark::new("shop", 2, "boot", Moment::now()).carried().await.unwrap().is_empty());
}

#[tokio::test]
async fn at_its_limit_a_command_is_ended_with_its_process_group() {
    let error = run("sleep 100 & echo $!; wait", Duration::from_millis(200)).await.unwrap_err();
    let CommandError::TimedOut { output, .. } = error else { panic!("{error}") };
    assert!(!named_by(&output).await.is_running().await.unwrap());
}

#[tokio::test]
async fn a_command_that_was_ended_without_a_word_is_told_as_a_whole_sentence() {
    let error = run("sleep 100", Duration::from_millis(200)).await.unwrap_err();
    assert!(error.to_string().ends_with("so it was ended; it has said nothing"), "{error}");
    let error = run("exit 3", Duration::from_secs(20)).await.unwrap_err();
    assert!(error.to_string().ends_with("found exit status: 3; it has said nothing"), "{error}");
}

#[tokio::test]
async fn a_command_that_ignores_sigterm_is_killed() {
    let script = "trap '' TERM; echo $$; while :; do sleep 0.1; done";
    let error = run(script, Duration::from_millis(200)).await.unwrap_err();
    let CommandError::TimedOut { output, .. } = error else { panic!("{error}") };
    assert!(!named_by(&output).await.is_running().await.unwrap());
}

#[tokio::test]
async fn a_server_that_keeps_the_output_does_not_hold_the_end_and_is_told_of_once() {
    let scratch = Scratch::new("keeps");
    let transcript = Arc::new(Transcript::beside(&scratch.join("state")));
    let command = Command::new("restart command", &sh("sleep 100 & echo $!"), Arc::clone(&transcript));
    let running = command.start(PATIENCE, &mark()).await.unwrap();
    let done = timeout(PATIENCE, running.end()).await.unwrap().unwrap();
    let server = named_by(&done.output).await;
    held_by(&transcript, &[format!("sleep (pid {})", server.pid)]).await;
    assert!(transcript.tell_of_holders().await);
    assert!(!transcript.tell_of_holders().await, "once is enough");
    kill(&server);
    held_by(&transcript, &[]).await;
}

#[tokio::test]
async fn a_command_that_does_not_stop_writing_fills_no_disk() {
    let scratch = Scratch::new("fills");
    let transcript = Arc::new(Transcript::beside(&scratch.join("state")));
    let command = Command::new("restart command", &sh("yes"), Arc::clone(&transcript));
    let error = command.start(Duration::from_millis(300), &mark()).await.unwrap().end().await.unwrap_err();
    let CommandError::TimedOut { output, .. } = error else { panic!("{error}") };
    assert!(output.to_string().ends_with("y\ny"), "{output}");
    transcript.cut().await;
    let left = fs::metadata(scratch.join("state.output")).unwrap();
    assert!(left.blocks() * 512 <= 1024 * 1024, "{} blocks", left.blocks());
}

#[tokio::test]
async fn a_new_process_is_proof() {
    let place = Place::new("process");
    let before = place.started(0).await;
    assert_eq!((before.main.len(), before.workers.len()), (1, 0));
    let script = format!("{}; {}", place.signal("TERM"), place.start(0));
    let restarter = place.restarter(&script, Proof::Process);
    assert!(restarter.has_not_happened(&before).await.unwrap());
    restarter.restart(&mark(), &before).await.unwrap();
    assert!(!restarter.has_not_happened(&before).await.unwrap());
    let after = restarter.identity().await.unwrap();
    assert!(!after.main[0].is(&before.main[0]));
}

#[tokio::test]
async fn an_identity_survives_the_state_file() {
    let place = Place::new("state");
    let before = place.started(1).await;
    let text = serde_json::to_string(&before).unwrap();
    let read: Identity = serde_json::from_str(&text).unwrap();
    assert!(place.restarter("true", Proof::Process).has_not_happened(&read).await.unwrap());
    assert!(read.main[0].is(&before.main[0]));
}

#[tokio::test]
async fn a_command_that_leaves_the_old_process_is_no_restart() {
    let place = Place::new("same");
    let before = place.started(0).await;
    let restarter = place.impatient("true", Proof::Process);
    let running =
        place.restarter("echo nothing changed", Proof::Process).begin(&Then::Restart, &mark()).await.unwrap();
    let error = restarter.end(running, &before).await.unwrap_err();
    assert_eq!(error.output().map(ToString::to_string).as_deref(), Some("nothing changed"));
    assert!(error.to_string().ends_with("; the command said: nothing changed"), "{error}");
    assert!(matches!(error, RestartError::Proof { error: ProofError::Remain { .. }, .. }), "{error}");
}

#[tokio::test]
async fn new_workers_under_the_old_parent_are_proof_where_workers_are_asked_for() {
    let place = Place::new("workers");
    let before = place.started(2).await;
    assert_eq!((before.main.len(), before.workers.len()), (1, 2));
    let hup = place.signal("HUP");
    place.restarter(&hup, Proof::Workers).restart(&mark(), &before).await.unwrap();
    let after = place.restarter(&hup, Proof::Workers).identity().await.unwrap();
    assert!(after.main[0].is(&before.main[0]));
    let running = place.restarter("true", Proof::Process).begin(&Then::Restart, &mark()).await.unwrap();
    let error = place.impatient("true", Proof::Process).end(running, &before).await.unwrap_err();
    assert!(matches!(error, RestartError::Proof { error: ProofError::Remain { .. }, .. }), "{error}");
}

#[tokio::test]
async fn where_nobody_listened_it_is_proof_that_somebody_does() {
    let place = Place::new("dead");
    let nobody = place.restarter("true", Proof::Process).identity().await.unwrap();
    assert!(nobody.is_empty());
    let running = place.restarter("true", Proof::Process).begin(&Then::Restart, &mark()).await.unwrap();
    let error = place.impatient("true", Proof::Process).end(running, &nobody).await.unwrap_err();
    assert!(matches!(error, RestartError::Proof { error: ProofError::NobodyListens { .. }, .. }), "{error}");
    let restarter = place.restarter(&place.start(0), Proof::Process);
    assert!(restarter.has_not_happened(&nobody).await.unwrap());
    restarter.restart(&mark(), &nobody).await.unwrap();
    assert!(!restarter.has_not_happened(&nobody).await.unwrap());
}

#[tokio::test]
async fn the_command_of_an_earlier_agent_is_waited_for() {
    let scratch = Scratch::new("orphan");
    let command = command(&scratch, &sh("sleep 100"));
    let running = command.start(PATIENCE, &mark()).await.unwrap();
    let process = running.process().clone();
    let place = Place::new("orphan");
    let restarter = place.impatient("true", Proof::None);
    let nobody = Identity::default();
    let error =
        restarter.end_orphan(&Then::Restart, Some(&process), Moment::now(), &nobody).await.unwrap_err();
    assert!(matches!(error, RestartError::Orphan { .. }), "{error}");
    assert!(!process.is_running().await.unwrap());
    assert!(running.end().await.is_err());
    restarter.end_orphan(&Then::Restart, Some(&process), Moment::now(), &nobody).await.unwrap();
}

#[tokio::test]
async fn a_server_is_stopped_when_its_processes_are_gone() {
    let place = Place::new("stopped");
    let before = place.started(0).await;
    let restarter = place.restarter("true", Proof::Process);
    let done = restarter.ended(restarter.begin(&Then::Stop, &mark()).await.unwrap()).await.unwrap();
    restarter.proved(&Then::Stop, done, &before).await.unwrap();
    assert!(restarter.identity().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_stop_that_leaves_the_server_has_failed() {
    let place = Place::new("unstopped");
    let before = place.started(0).await;
    let restarter = place.impatient("true", Proof::Process);
    let running = restarter.begin(&Then::Run("upgrade".into()), &mark()).await.unwrap();
    let done = restarter.ended(running).await.unwrap();
    let error = restarter.proved(&Then::Stop, done, &before).await.unwrap_err();
    assert!(matches!(error, RestartError::Proof { error: ProofError::NotGone { .. }, .. }), "{error}");
}

#[tokio::test]
async fn a_command_of_the_configuration_needs_no_proof_and_must_be_there() {
    let place = Place::new("run");
    let before = place.started(0).await;
    let restarter = place.restarter("true", Proof::Process);
    let upgrade = Then::Run("upgrade".into());
    let done = restarter.ended(restarter.begin(&upgrade, &mark()).await.unwrap()).await.unwrap();
    let done = restarter.proved(&upgrade, done, &before).await.unwrap();
    assert_eq!(done.output.to_string(), "upgraded");
    let error = restarter.begin(&Then::Run("reboot".into()), &mark()).await.unwrap_err();
    assert!(error.to_string().contains("run:reboot"), "{error}");
}
