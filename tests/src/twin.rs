//! HAProxy and drain-proxy by one `haproxy.cfg`.

use std::{fs, process::Command};

use crate::{
    child::Child,
    place::{Place, built},
};

/// The real one, and ours.
pub const PROGRAMS: [&str; 2] = ["haproxy", "drain-proxy"];

/// One of the [`PROGRAMS`], without its arguments.
pub fn command(place: &Place, program: &str) -> Command {
    if program == "haproxy" { place.command(program) } else { place.command(built(program)) }
}

/// Starts one of the [`PROGRAMS`] by this configuration, in a folder of its name. HAProxy has one thread: it gives a line of
/// its log up rather than wait for another thread that is writing one.
pub fn run(place: &Place, program: &str, config: &str) -> Child {
    let dir = place.subdir(program);
    let file = dir.join("haproxy.cfg");
    fs::write(&file, format!("global\n    nbthread 1\n{config}")).expect("write haproxy.cfg");
    let mut command = command(place, program);
    command.arg("-db").arg("-f").arg(&file);
    Child::start(place, &dir, program, command, |line| {
        line.contains("segfault") || line.contains("panicked at")
    })
}
