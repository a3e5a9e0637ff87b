//! HAProxy's options.

use std::ffi::OsString;

use super::BACKGROUND;

/// A command line in words that can be told apart.
#[derive(Default, Debug)]
pub(super) struct Options {
    /// The words, the program first.
    pub(super) words: Vec<OsString>,
    /// Options of HAProxy's that are taken and change nothing here, although they would there, and why.
    pub(super) ignored: Vec<String>,
}

/// Options with a value that has no meaning here, and what is said to them; nothing where nobody can miss them.
const IGNORED: &[(&str, &str)] = &[
    ("-L", ""),
    (
        "-S",
        "there is no master process: commands are taken at `stats socket`, and SIGUSR2 starts the program anew",
    ),
    ("-m", "no memory is reserved: limit that of the service, `MemoryMax=` in its unit"),
    ("-n", "write `maxconn` into the global section"),
    ("-N", "write `maxconn` into the defaults"),
];

/// HAProxy's options in words that can be told apart: `-db` is one option there, and `-sf` takes all that follows.
pub(super) fn haproxy_options(arguments: impl IntoIterator<Item = OsString>) -> Options {
    let mut words = arguments.into_iter().peekable();
    let mut read: Vec<OsString> = words.next().into_iter().collect();
    let mut ignored = Vec::new();
    while let Some(word) = words.next() {
        let Some(text) = word.to_str() else {
            read.push(word);
            continue;
        };
        if let Some((name, why)) = IGNORED.iter().find(|(name, _)| *name == text) {
            drop(words.next());
            if !why.is_empty() {
                ignored.push(format!("'{name}' is ignored: {why}"));
            }
            continue;
        }
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
            "-vv" => read.push("-v".into()),
            "-sf" | "-st" => {
                let long = format!("-{text}");
                let is_number =
                    |word: &OsString| word.to_str().is_some_and(|text| text.parse::<u32>().is_ok());
                while let Some(pid) = words.next_if(is_number) {
                    read.extend([long.clone().into(), pid]);
                }
            }
            "-dW" => read.push("--zero-warning".into()),
            // All others with this letter tune its insides, or have it tell more.
            _ if text.starts_with("-d") => {}
            "-q" | "-V" | "-W" | "-Ws" => {}
            // Only files follow; behind a verb they are its own.
            "--" if read.get(1).is_none_or(|first| first.as_encoded_bytes().starts_with(b"-")) => {
                read.extend(words.by_ref().flat_map(|file| ["-f".into(), file]));
            }
            "--" => {
                read.push(word);
                read.extend(words.by_ref());
            }
            // A value that looks like an option belongs to the one before it.
            "-f" | "-p" | "-x" | "-C" | "--cc" | "--config" => {
                read.push(word);
                read.extend(words.next());
            }
            _ => read.push(word),
        }
    }
    Options { words: read, ignored }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &str, ignored: usize) {
        let options = haproxy_options(line.split(' ').map(OsString::from));
        let words: Vec<_> = options.words.iter().map(|word| word.to_string_lossy()).collect();
        assert_eq!(words.join(" "), expected, "{line}");
        assert_eq!(options.ignored.len(), ignored, "{line}: {:?}", options.ignored);
    }

    #[test]
    fn what_haproxy_takes_is_told_apart() {
        check("p -db -f a -dC -dKall -dZ", "p -f a", 0);
        check("p -f a -- b -c", "p -f a -f b -f -c", 0);
        check("p -- a", "p -f a", 0);
        check("p check -- -a", "p check -- -a", 0);
        check("p -Ws -f a -S /run/m.sock -p b", "p -f a -p b", 1);
        check("p -C /etc -f a -n 100 -L me", "p -C /etc -f a", 1);
        check("p -f a -sf 1 2 -st 3", "p -f a --sf 1 --sf 2 --st 3", 0);
        check("p -x -f -f a -dW -vv", "p -x -f -f a --zero-warning -v", 0);
        check("p -cc -x", "p --cc=-x", 0);
    }
}
