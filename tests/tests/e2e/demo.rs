//! The demo leaves nothing behind, however it ends. That it ends with success is checked by running it.

use std::{fs, time::Duration};

use drain_tests::{
    Place,
    child::Child,
    place::{MARK, built, holds},
};
use rustix::process::Signal;

/// Until shoppers are about; it may have to build the agent and the proxy first.
const BEGIN_LIMIT: Duration = Duration::from_mins(5);
/// Until the last process has ended.
const END_LIMIT: Duration = Duration::from_secs(10);

/// A demo in which shoppers are about.
fn running(place: &Place) -> Child {
    let mut command = place.command(built("demo"));
    command.arg("--stay").env("TMPDIR", place.public());
    let demo = Child::start(place, place.dir(), "demo", command, |_| false);
    place.wait_for("shoppers in the demo", BEGIN_LIMIT, || {
        let text = demo.log_text();
        holds(text.contains("| shop1 up") && directories(place) == 1, || text)
    });
    demo
}

/// The demos' directories that are there.
fn directories(place: &Place) -> usize {
    let entries = fs::read_dir(place.public()).expect("read the public directory").flatten();
    entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"drain-demo-")).count()
}

/// What still runs of those that the test has started, but for its guardian's shell.
fn processes(place: &Place) -> Vec<String> {
    let mark = format!("{MARK}={}", place.dir().display()).into_bytes();
    let numbers = fs::read_dir("/proc").expect("read /proc").flatten();
    numbers
        .filter(|process| {
            let environment = fs::read(process.path().join("environ")).unwrap_or_default();
            environment.split(|&byte| byte == 0).any(|variable| variable == mark)
        })
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .map(|words| String::from_utf8_lossy(&words).replace('\0', " "))
        .filter(|words| !words.is_empty())
        .collect()
}

fn wait_for_the_last_process(place: &Place) {
    place.wait_for("the end of all processes of the demo", END_LIMIT, || {
        let processes = processes(place);
        holds(processes.is_empty(), || processes.join("\n"))
    });
}

#[test]
fn a_demo_that_is_killed_leaves_no_process() {
    let place = Place::new("a_demo_that_is_killed_leaves_no_process");
    let mut demo = running(&place);
    // Three shops, three agents, the proxy and the demo.
    place.wait_for("all processes of the demo", END_LIMIT, || {
        let processes = processes(&place);
        holds(processes.len() >= 8, || processes.join("\n"))
    });
    demo.crash();
    wait_for_the_last_process(&place);
}

#[test]
fn a_demo_that_is_ended_leaves_neither_process_nor_directory() {
    let place = Place::new("a_demo_that_is_ended_leaves_neither_process_nor_directory");
    let mut demo = running(&place);
    demo.may_end();
    demo.signal(Signal::TERM);
    let status = place.wait_for("the demo's end", END_LIMIT, || demo.ended().ok_or(demo.log_text()));
    place.check(status.success(), "the demo lost something, or could not be ended");
    wait_for_the_last_process(&place);
    place.check(directories(&place) == 0, "the demo's directory is still there");
}
