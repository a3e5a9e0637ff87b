//! HAProxy's options.

use std::ffi::OsString;

use super::BACKGROUND;

/// HAProxy's options in words that can be told apart: `-db` is one option there, and `-sf` takes all that follows.
pub(super) fn haproxy_options(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words = arguments.into_iter().peekable();
    let mut read: Vec<OsString> = words.next().into_iter().collect();
    while let Some(word) = words.next() {
        let Some(text) = word.to_str() else {
            read.push(word);
            continue;
        };
        match text {
            // A condition may begin as an option does.
            "-cc" => {
                let mut condition = OsString::from("--cc");
                if let Some(word) = words.next() {
                    condition.push("=");
                    condition.push(word);
                }
                read.push(condition);
            }
            background if BACKGROUND.contains(&background) => read.push(BACKGROUND[0].into()),
            // The name of a peer, and limits that the configuration has: nothing of it is used.
            "-L" | "-n" | "-m" | "-N" => drop(words.next()),
            "-vv" => read.push("-v".into()),
            "-sf" | "-st" => {
                let long = format!("-{text}");
                let is_number =
                    |word: &OsString| word.to_str().is_some_and(|text| text.parse::<u32>().is_ok());
                while let Some(pid) = words.next_if(is_number) {
                    read.extend([long.clone().into(), pid]);
                }
            }
            "-d" | "-db" | "-dM" | "-dr" | "-dV" | "-q" | "-V" | "-W" | "-Ws" | "-de" | "-dp" | "-dG"
            | "-dS" | "-dR" => {}
            // A value that looks like an option belongs to the one before it.
            "-f" | "-p" | "-x" | "--cc" | "--config" => {
                read.push(word);
                read.extend(words.next());
            }
            _ => read.push(word),
        }
    }
    read
}
