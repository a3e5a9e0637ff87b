//! What becomes of a restart command's output, with a real agent that restarts and dies.

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use drain_agent::clock::Moment;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Longer than anything here may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// An agent that guards this test, which listens. Nobody asks it for the server's health, and it does not mind.
struct Agent {
    directory: PathBuf,
    _server: TcpListener,
    process: Child,
}

impl Agent {
    fn start(test: &str, script: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("drain-output-{test}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let config = directory.join("shop.toml");
        let text = format!(
            "listen = '127.0.0.1:0'\nstate = '{0}/state.json'\ncontrol.socket = '{0}/sock'\n\
             server = {{ ports = [{1}], ready = {{ rise = 1, interval = '50ms' }} }}\n\
             restart = {{ command = ['/bin/sh', '-c', '{script}', '{0}'], proof = 'none' }}\n\
             [drain]\nacknowledge = {{ limit = '100ms', at_limit = 'proceed' }}\n\
             hard = {{ quiet = '100ms', limit = '200ms' }}\nmin_remaining = 0\n",
            directory.display(),
            server.local_addr().unwrap().port(),
        );
        fs::write(&config, text).unwrap();
        let process = Self::launch(&config);
        let agent = Self { directory, _server: server, process };
        agent.wait_for("it to answer", || agent.drainctl(&["status"]).contains(" is up"));
        agent
    }

    fn launch(config: &PathBuf) -> Child {
        let log = fs::File::create(config.with_file_name("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_drain-agent"));
        command.arg("--config").arg(config).env_remove("JOURNAL_STREAM");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    fn drainctl(&self, words: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drainctl"));
        let output = command.arg("--socket").arg(self.directory.join("sock")).args(words).output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.directory.join(file)).unwrap_or_default()
    }

    /// The process whose number the command has written to this file.
    fn pid(&self, file: &str) -> Option<Pid> {
        self.read(file).trim().parse().ok().and_then(Pid::from_raw)
    }

    fn wait_for(&self, what: &str, holds: impl Fn() -> bool) {
        let start = Moment::now();
        while !holds() {
            assert!(
                Moment::now().since(start) < DEADLINE,
                "waited for {what}; the log:\n{}",
                self.read("log")
            );
            thread::yield_now();
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        for (file, whole_group) in [("group", true), ("server", false)] {
            let Some(pid) = self.pid(file) else { continue };
            let _ = if whole_group {
                kill_process_group(pid, Signal::KILL)
            } else {
                kill_process(pid, Signal::KILL)
            };
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn a_command_that_still_writes_survives_the_agents_end() {
    let script = "cd $0; echo $$ >group; while :; do echo writing; echo x >>count; sleep 0.01; done";
    let mut agent = Agent::start("survives", script);
    agent.signal(Signal::USR2);
    let written = |agent: &Agent| agent.read("count").len();
    agent.wait_for("the command to write", || written(&agent) > 0);
    agent.process.kill().unwrap();
    agent.process.wait().unwrap();
    let before = written(&agent);
    agent.wait_for("the command to go on", || written(&agent) > before + 40);
    assert!(agent.read("state.json.output").ends_with("writing\n"));
}

#[test]
fn a_server_that_keeps_the_output_is_warned_of() {
    let script = "cd $0; sleep 100 & echo $! >server";
    let agent = Agent::start("warned", script);
    assert!(agent.drainctl(&["restart", "--hard"]).contains("restarted"));
    agent.wait_for("the warning", || agent.read("log").contains("output is still open"));
    let log = agent.read("log");
    assert!(log.contains("sleep (pid ") && log.contains("state.json.output"), "{log}");
}
