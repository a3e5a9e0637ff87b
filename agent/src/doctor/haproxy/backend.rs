//! A backend of the file, and what is said of it as a whole.

use std::time::Duration;

use super::{
    super::Finding,
    ABOUT,
    file::{Line, Section},
    server_line::{Server, time},
};

/// The least `timeout check`: an agent that has just begun lets checks wait for its first verdict, 300 ms at most.
const TIMEOUT_CHECK: Duration = Duration::from_millis(500);

/// A backend with all that it inherits.
pub(super) struct Backend<'a> {
    /// What it is called by.
    pub(super) file: &'a str,
    pub(super) section: &'a Section,
    /// Itself first.
    lineage: Vec<&'a Section>,
}

impl<'a> Backend<'a> {
    /// The one that `section` describes; `lineage` is that and those from which it inherits.
    pub(super) fn new(
        file: &'a str,
        section: &'a Section,
        lineage: impl Iterator<Item = &'a Section>,
    ) -> Self {
        Self { file, section, lineage: lineage.collect() }
    }

    /// Its servers, with what its `default-server` lines say of them.
    pub(super) fn servers(&self) -> impl Iterator<Item = Server> {
        let of = |section: &'_ Section, number: usize| {
            section
                .lines
                .iter()
                .filter(move |line| line.words[0] == "default-server" && line.number < number)
                .cloned()
                .collect::<Vec<Line>>()
        };
        self.section.lines.iter().filter(|line| line.words[0] == "server").filter_map(move |line| {
            let inherited = self.lineage[1..].iter().rev().flat_map(|section| of(section, usize::MAX));
            let defaults: Vec<Line> = inherited.chain(of(self.section, line.number)).collect();
            Server::read(defaults.iter(), line)
        })
    }

    /// The line that begins with `words` and holds for this backend; nothing where `no` takes it back.
    fn says(&self, words: &[&str]) -> Option<&Line> {
        let begins = |line: &&Line, with: &[&str]| {
            line.words.len() >= with.len() && line.words.iter().zip(with).all(|(own, with)| own == with)
        };
        let no: Vec<&str> = std::iter::once("no").chain(words.iter().copied()).collect();
        let said = self.lineage.iter().find_map(|section| {
            section.lines.iter().rev().find(|line| begins(line, words) || begins(line, &no))
        })?;
        (said.words[0] != "no").then_some(said)
    }

    /// A line of its file.
    pub(super) fn place(&self, line: usize) -> String {
        format!("{}:{line}", self.file)
    }

    /// What is said of the whole backend; `by_http`: its servers are checked by HTTP.
    pub(super) fn options(&self, by_http: bool) -> Vec<Finding> {
        let name = &self.section.name;
        let here = || self.place(self.section.number);
        let mut findings = Vec::new();
        if !by_http {
            // The agent protocol needs nothing of it.
        } else if self.says(&["option", "httpchk"]).is_none() {
            findings.push(
                Finding::failure(
                    ABOUT,
                    format!("backend {name} only connects: it sees neither 404 nor 500"),
                    "add `option httpchk`",
                )
                .at(here()),
            );
        } else {
            findings.extend(self.checks());
        }
        if let Some(line) = self.says(&["option", "persist"]) {
            findings.push(
                Finding::failure(
                    ABOUT,
                    format!("backend {name} sends users with a cookie to a server that is DOWN, so that a restart meets them"),
                    "take `option persist` out",
                )
                .at(self.place(line.number)),
            );
        }
        if let Some(line) = self.says(&["force-persist"]) {
            findings.push(
                Finding::warning(
                    ABOUT,
                    format!("backend {name} sends some users to a server that is DOWN"),
                    "see that the condition of `force-persist` is for tests only",
                )
                .at(self.place(line.number)),
            );
        }
        if self.says(&["option", "redispatch"]).is_none() {
            findings.push(
                Finding::warning(
                    ABOUT,
                    format!(
                        "backend {name} leaves requests that wait for this server in its queue when it goes"
                    ),
                    "add `option redispatch`",
                )
                .at(here()),
            );
        }
        findings
    }

    /// What is said of its HTTP checks.
    fn checks(&self) -> Vec<Finding> {
        let name = &self.section.name;
        let here = || self.place(self.section.number);
        let mut findings = Vec::new();
        if self.says(&["http-check", "disable-on-404"]).is_none() {
            findings.push(
                Finding::failure(
                    ABOUT,
                    format!("backend {name} takes 404 for a failure: a soft drain moves the users at once"),
                    "add `http-check disable-on-404`",
                )
                .at(here()),
            );
        }
        if self.says(&["http-check", "send-state"]).is_none() {
            findings.push(
                Finding::warning(
                    ABOUT,
                    format!("backend {name} does not send its state: the agent counts answers, and nothing is proved"),
                    "add `http-check send-state`",
                )
                .at(here()),
            );
        }
        let limit = self.says(&["timeout", "check"]);
        match limit.map(|line| (line, line.words.get(2).and_then(|word| time(word)))) {
            Some((line, Some(limit))) if limit < TIMEOUT_CHECK => findings.push(
                Finding::warning(
                    ABOUT,
                    format!("backend {name} gives a check only {limit:?}: under load it fails, and drains by itself"),
                    "set `timeout check 2s`",
                )
                .at(self.place(line.number)),
            ),
            Some(_) => {}
            None => findings.push(
                Finding::warning(
                    ABOUT,
                    format!("backend {name} has no `timeout check`: connection and answer together must fit into `inter`"),
                    "set `timeout check 2s`",
                )
                .at(here()),
            ),
        }
        findings
    }
}
