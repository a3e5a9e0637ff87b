//! The files as sections of directives: comments are kept, `.if` is obeyed, and variables have their values.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use super::{
    Source, condition, lexer,
    message::{Messages, Place, Severity},
};

/// `.if` within each other at most; HAProxy's number.
const MOST_NESTED: usize = 16;

/// A directive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Directive {
    pub(super) place: Place,
    /// At least one.
    pub(super) words: Vec<String>,
    /// The comments above it, and the one behind it.
    pub(super) comments: Vec<String>,
}

/// A section.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Section {
    /// Its own line.
    pub(super) head: Directive,
    pub(super) directives: Vec<Directive>,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Sections {
    pub(super) sections: Vec<Section>,
    /// Comments behind the last directive.
    pub(super) trailer: Vec<String>,
}

/// The words that begin a section.
pub(super) const HEADS: [&str; 19] = [
    "global",
    "defaults",
    "frontend",
    "backend",
    "listen",
    "userlist",
    "peers",
    "resolvers",
    "mailers",
    "cache",
    "program",
    "ring",
    "http-errors",
    "fcgi-app",
    "log-forward",
    "crt-list",
    "traces",
    "dynamic-update",
    "namespace_list",
];

impl Directive {
    /// Its word of this index, where it has one.
    pub(super) fn word(&self, index: usize) -> Option<&str> {
        self.words.get(index).map(String::as_str)
    }

    /// Its words from this index on.
    pub(super) fn words_from(&self, index: usize) -> &[String] {
        self.words.get(index..).unwrap_or_default()
    }
}

/// One block between `.if` and `.endif`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    /// It counts.
    Taken,
    /// A later one may.
    Dropped,
    /// None of the later ones does: one before has counted, or the whole does not.
    Over,
}

/// A level of `.if`, and whether its `.else` has come.
struct Level {
    block: Block,
    has_else: bool,
    place: Place,
}

/// What environment variables say: the process's own, and what `setenv` and its like change.
struct Variables<'e> {
    environment: &'e condition::Environment<'e>,
    changed: RefCell<HashMap<String, Option<String>>>,
}

impl Variables<'_> {
    fn value(&self, name: &str) -> Option<String> {
        match self.changed.borrow().get(name) {
            Some(changed) => changed.clone(),
            None => (self.environment)(name),
        }
    }

    /// `setenv`, `presetenv` and `unsetenv` hold for the lines behind them.
    fn obey(&self, words: &[String]) {
        let mut changed = self.changed.borrow_mut();
        match words {
            [verb, name, value] if verb == "setenv" => {
                changed.insert(name.clone(), Some(value.clone()));
            }
            [verb, name, value] if verb == "presetenv" => {
                let is_set =
                    changed.get(name).map_or_else(|| (self.environment)(name).is_some(), Option::is_some);
                if !is_set {
                    changed.insert(name.clone(), Some(value.clone()));
                }
            }
            [verb, names @ ..] if verb == "unsetenv" => {
                changed.extend(names.iter().map(|name| (name.clone(), None)));
            }
            _ => {}
        }
    }
}

/// Reads all files, one after the other.
pub(super) fn read(
    sources: &[Source],
    environment: &condition::Environment<'_>,
    messages: &mut Messages,
) -> Sections {
    let variables = Variables { environment, changed: RefCell::default() };
    let mut reader = Reader { variables, messages, levels: Vec::new(), read: Sections::default() };
    for source in sources {
        reader.file(source);
        if reader.messages.is_hopeless() {
            break;
        }
    }
    reader.read
}

struct Reader<'r> {
    variables: Variables<'r>,
    messages: &'r mut Messages,
    levels: Vec<Level>,
    read: Sections,
}

impl Reader<'_> {
    fn file(&mut self, source: &Source) {
        let file: Arc<str> = source.name.as_str().into();
        let lines = source.text.lines().count();
        for (line, text) in (1..).zip(source.text.lines()) {
            let place = Place { file: file.clone(), line };
            if self.messages.is_hopeless() {
                self.messages.alert(&place, "too many fatal errors, stopping now.");
                return;
            }
            if text.contains('\0') {
                self.messages.alert(&place, "Stray NUL character.");
                return;
            }
            self.line(&place, text);
        }
        let end = Place { file, line: lines.max(1) };
        if !source.text.is_empty() && !source.text.ends_with('\n') {
            self.messages.alert(&end, "Missing LF on last line, file might have been truncated.");
        }
        if let Some(level) = self.levels.first() {
            self.messages.alert(&level.place.clone(), "no '.endif' follows this '.if' in its file.");
            self.levels.clear();
        }
    }

    fn line(&mut self, place: &Place, text: &str) {
        let text = text.trim_ascii_start();
        let section = self.read.sections.last().map(|section| section.head.words.join(" "));
        let line = lexer::split(text, &|name| match name {
            ".LINE" => Some(place.line.to_string()),
            ".FILE" => Some(place.file.to_string()),
            ".SECTION" => section.clone(),
            name => self.variables.value(name),
        });
        let lexer::Line { words, comment } = match line {
            Ok(line) => line,
            // What is left out need not even be words.
            Err(_) if self.is_dropped() && !text.starts_with('.') => return,
            Err(fault) => return self.messages.alert(place, format!("{fault}: {text}")),
        };
        match words.first() {
            Some(word) if word.starts_with('.') && self.block(place, &words) => {}
            _ if self.is_dropped() => {}
            Some(word) if word.starts_with('.') => self.message(place, &words),
            Some(_) => self.directive(place, words, comment),
            None => self.read.trailer.extend(comment),
        }
    }

    fn is_dropped(&self) -> bool {
        self.levels.last().is_some_and(|level| level.block != Block::Taken)
    }

    /// `.if`, `.elif`, `.else` and `.endif`; false for anything else.
    fn block(&mut self, place: &Place, words: &[String]) -> bool {
        let word = words[0].as_str();
        let condition = words[1..].join(" ");
        match word {
            ".if" if self.levels.len() + 1 >= MOST_NESTED => {
                self.messages.alert(place, format!("too many nested '.if', max is {MOST_NESTED}."));
                // So that its `.endif` finds it; nothing can be used any more.
                self.levels.push(Level { block: Block::Over, has_else: false, place: place.clone() });
            }
            ".if" => {
                let block =
                    if self.is_dropped() { Block::Over } else { self.choose(place, word, &condition) };
                self.levels.push(Level { block, has_else: false, place: place.clone() });
            }
            ".elif" | ".else" | ".endif" if self.levels.is_empty() => {
                self.messages.alert(place, format!("lone '{word}' with no matching '.if'."));
            }
            ".else" | ".endif" if !condition.is_empty() => {
                self.messages.alert(place, format!("Unexpected argument '{condition}' for '{word}'."));
            }
            ".elif" | ".else" => {
                let level = self.levels.last().expect("there is one, see above");
                if level.has_else {
                    self.messages.alert(place, format!("'{word}' after '.else' is not permitted."));
                    return true;
                }
                let block = match level.block {
                    Block::Taken | Block::Over => Block::Over,
                    Block::Dropped if word == ".else" => Block::Taken,
                    Block::Dropped => self.choose(place, word, &condition),
                };
                let level = self.levels.last_mut().expect("there is one, see above");
                (level.block, level.has_else) = (block, word == ".else");
            }
            ".endif" => drop(self.levels.pop()),
            _ => return false,
        }
        true
    }

    fn choose(&mut self, place: &Place, word: &str, condition: &str) -> Block {
        match condition::holds(condition, &|name| self.variables.value(name)) {
            Ok(true) => Block::Taken,
            Ok(false) => Block::Dropped,
            Err(error) => {
                self.messages.alert(place, format!("{error} in '{word}'."));
                Block::Over
            }
        }
    }

    /// `.alert`, `.warning`, `.notice` and `.diag`.
    fn message(&mut self, place: &Place, words: &[String]) {
        let severity = match words[0].as_str() {
            ".alert" => Some(Severity::Alert),
            ".warning" => Some(Severity::Warning),
            ".notice" => Some(Severity::Notice),
            ".diag" => None,
            unknown => return self.messages.alert(place, format!("unknown directive '{unknown}'.")),
        };
        if let Some(word) = words.get(2) {
            let text = format!(
                "Unexpected argument '{word}' for '{}'. Use quotes if the message should contain spaces.",
                words[0]
            );
            return self.messages.alert(place, text);
        }
        if let Some(severity) = severity {
            let text = format!("'{}'.", words.get(1).map_or("", String::as_str));
            self.messages.say(severity, Some(place.clone()), text);
        }
    }

    fn directive(&mut self, place: &Place, words: Vec<String>, comment: Option<String>) {
        let mut comments = std::mem::take(&mut self.read.trailer);
        comments.extend(comment);
        let directive = Directive { place: place.clone(), words, comments };
        if HEADS.contains(&directive.words[0].as_str()) {
            self.read.sections.push(Section { head: directive, directives: Vec::new() });
            return;
        }
        match self.read.sections.last_mut() {
            Some(section) => {
                if section.head.words[0] == "global" {
                    self.variables.obey(&directive.words);
                }
                section.directives.push(directive);
            }
            None => {
                self.messages
                    .alert(place, format!("unknown keyword '{}' out of section.", directive.words[0]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(text: &str) -> (Vec<String>, String) {
        let sources = [Source { name: "a.cfg".into(), text: text.into() }];
        let mut messages = Messages::default();
        let read = read(&sources, &|name| (name == "ON").then(|| "1".to_owned()), &mut messages);
        let flat = read
            .sections
            .iter()
            .flat_map(|section| std::iter::once(&section.head).chain(&section.directives))
            .map(|directive| directive.words.join(" "))
            .collect();
        (flat, messages.render(1))
    }

    #[test]
    fn conditions_choose_lines() {
        let text = "global\n.if defined(ON)\n a\n.if 0\n b\n.else\n c\n.endif\n.elif 1\n d\n.else\n e\n.endif\n\
                    .if 0\n 'broken\n.if 1\n x\n.endif\n.elif 0\n f\n.elif 1\n g\n.else\n h\n.endif\n";
        let (words, messages) = read_all(text);
        assert_eq!((words, messages), (["global", "a", "c", "g"].map(str::to_owned).to_vec(), String::new()));
    }

    #[test]
    fn variables_that_the_file_sets_hold_from_there_on() {
        let text = "global\n setenv A 1\n x \"$A\"\n presetenv A 2\n presetenv B 3\n y \"$A$B\"\n unsetenv A\n z \"$A\"\n";
        let (words, _) = read_all(text);
        assert_eq!([&*words[2], &*words[5], &*words[7]], ["x 1", "y 13", "z "]);
    }

    #[test]
    fn a_file_says_its_own_messages() {
        let (_, messages) =
            read_all("global\n.notice \"a b\"\n.warning c\n.diag d\n.alert e\n.x\n.notice a b\n");
        assert_eq!(
            messages,
            "[NOTICE]   (1) : config : parsing [a.cfg:2] : 'a b'.\n\
             [WARNING]  (1) : config : parsing [a.cfg:3] : 'c'.\n\
             [ALERT]    (1) : config : parsing [a.cfg:5] : 'e'.\n\
             [ALERT]    (1) : config : parsing [a.cfg:6] : unknown directive '.x'.\n\
             [ALERT]    (1) : config : parsing [a.cfg:7] : Unexpected argument 'b' for '.notice'. Use quotes if the message should contain spaces.\n\
             [ALERT]    (1) : config : Fatal errors found in configuration."
        );
    }

    #[test]
    fn each_slip_is_reported() {
        for (text, expected) in [
            ("x\n", "unknown keyword 'x' out of section."),
            ("global", "Missing LF on last line"),
            (".endif\n", "lone '.endif'"),
            (".if 1\n", "no '.endif' follows"),
            (".if 1\n.else\n.else\n.endif\n", "'.else' after '.else'"),
            (".if foo(\n.endif\n", "in '.if'."),
            ("global\n a 'b\n", "unmatched quote at position 3: a 'b"),
        ] {
            let (_, messages) = read_all(text);
            assert!(messages.contains(expected), "{text}: {messages}");
        }
        let (_, messages) = read_all(&".if 1\n".repeat(1000));
        assert!(messages.contains("too many nested '.if', max is 16."));
        let (_, messages) = read_all(&"x\n".repeat(1000));
        assert!(messages.contains("too many fatal errors"));
    }
}
