//! The log as systemd and people read it.

use std::{
    env,
    fs::{self, File},
    net::TcpListener,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{self, Command},
};

/// Starts an agent that can't get its port, with its stderr in a file; gives what it has logged. `stream` makes
/// `JOURNAL_STREAM` of the file.
fn logged(test: &str, stream: impl Fn(&File) -> Option<String>) -> String {
    let directory = env::temp_dir().join(format!("drain-agent-log-{}-{test}", process::id()));
    fs::create_dir_all(&directory).unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let log: PathBuf = directory.join("log");
    let file = File::create(&log).unwrap();
    let mut agent = Command::new(env!("CARGO_BIN_EXE_drain-agent"));
    agent
        .args(["--listen", &taken.local_addr().unwrap().to_string(), "--port", "1", "--command", "true"])
        .args(["--state", directory.join("s.json").to_str().unwrap()])
        .args(["--socket", directory.join("s.sock").to_str().unwrap()])
        .env_remove("JOURNAL_STREAM")
        .envs(stream(&file).map(|stream| ("JOURNAL_STREAM", stream)))
        .stderr(file);
    assert!(!agent.status().unwrap().success());
    let text = fs::read_to_string(&log).unwrap();
    fs::remove_dir_all(&directory).unwrap();
    text
}

fn stream_of(file: &File) -> String {
    let file = file.metadata().unwrap();
    format!("{}:{}", file.dev(), file.ino())
}

/// On a host with a journal that is where the lines go, and a test may not read there; those that go to it are tested
/// beside `Journal`.
#[test]
fn the_journal_gets_priorities_and_no_times() {
    let text = logged("journal", |file| Some(stream_of(file)));
    if Path::new("/run/systemd/journal/socket").exists() {
        return assert_eq!(text, "");
    }
    assert!(text.starts_with("<3>can't listen"), "{text}");
}

#[test]
fn people_get_times_and_levels() {
    let text = logged("people", |_| None);
    assert!(text.starts_with("20") && text.contains("ERROR can't listen"), "{text}");
}

#[test]
fn an_inherited_variable_alone_makes_no_journal() {
    let text = logged("inherited", |_| Some("1:1".into()));
    assert!(text.starts_with("20"), "{text}");
}
