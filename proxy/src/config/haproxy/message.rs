//! What is said of a haproxy.cfg, in HAProxy's form: `[ALERT]    (4711) : config : parsing [shop.cfg:3] : …`.

use std::{fmt, sync::Arc};

/// Where something stands.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// The file, as the command line names it.
    pub file: Arc<str>,
    /// The line, from one.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.file, self.line)
    }
}

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    /// The configuration can't be used.
    Alert,
    /// Something is ignored, or done in another way.
    Warning,
    /// What the configuration itself wants to be said.
    Notice,
}

/// One thing that is said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about; `None`: the whole.
    pub place: Option<Place>,
    /// One sentence.
    pub text: String,
}

impl Message {
    /// As HAProxy would print it, by the process of this number.
    pub fn render(&self, process: u32) -> String {
        let label = match self.severity {
            Severity::Alert => "[ALERT]   ",
            Severity::Warning => "[WARNING] ",
            Severity::Notice => "[NOTICE]  ",
        };
        match &self.place {
            Some(place) => format!("{label} ({process}) : config : parsing [{place}] : {}", self.text),
            None => format!("{label} ({process}) : config : {}", self.text),
        }
    }
}

/// So many fatal errors are reported; a file with more is not the file that was meant (HAProxy's number).
const MOST_ALERTS: usize = 50;

/// All that has been said so far.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Messages(Vec<Message>);

impl Messages {
    /// The configuration can't be used.
    pub fn alert(&mut self, place: &Place, text: impl Into<String>) {
        self.say(Severity::Alert, Some(place.clone()), text);
    }

    /// Something is ignored, or done in another way.
    pub fn warn(&mut self, place: &Place, text: impl Into<String>) {
        self.say(Severity::Warning, Some(place.clone()), text);
    }

    /// The same of something that stands in no file.
    pub fn warn_of_all(&mut self, text: impl Into<String>) {
        self.say(Severity::Warning, None, text);
    }

    /// Whether something is ignored, or done in another way.
    pub fn has_warnings(&self) -> bool {
        self.0.iter().any(|message| message.severity == Severity::Warning)
    }

    pub(super) fn say(&mut self, severity: Severity, place: Option<Place>, text: impl Into<String>) {
        self.0.push(Message { severity, place, text: text.into() });
    }

    /// Where something stands that can't be used.
    pub(super) fn alerted(&self) -> impl Iterator<Item = &Place> {
        let alerts = self.0.iter().filter(|message| message.severity == Severity::Alert);
        alerts.filter_map(|message| message.place.as_ref())
    }

    /// Whether the configuration can't be used.
    pub fn is_fatal(&self) -> bool {
        self.0.iter().any(|message| message.severity == Severity::Alert)
    }

    /// Whether so much is wrong that reading on helps nobody.
    pub(super) fn is_hopeless(&self) -> bool {
        self.0.iter().filter(|message| message.severity == Severity::Alert).count() >= MOST_ALERTS
    }

    /// Each, in the order of the files' lines as far as they have one; what is about the whole comes last.
    pub fn sorted(&self) -> Vec<&Message> {
        let mut sorted: Vec<_> = self.0.iter().collect();
        let mut files: Vec<&str> = Vec::new();
        for message in &sorted {
            if let Some(place) = &message.place
                && !files.contains(&&*place.file)
            {
                files.push(&place.file);
            }
        }
        let order = |message: &&Message| {
            let place = message.place.as_ref();
            place.map_or((usize::MAX, 0), |place| {
                (files.iter().position(|file| *file == &*place.file).unwrap_or(usize::MAX), place.line)
            })
        };
        sorted.sort_by_key(order);
        sorted
    }

    /// All of them as HAProxy would print them, one a line, with its last words where they are fatal.
    pub fn render(&self, process: u32) -> String {
        let mut lines: Vec<_> = self.sorted().iter().map(|message| message.render(process)).collect();
        if self.is_fatal() {
            lines.push(format!("[ALERT]    ({process}) : config : Fatal errors found in configuration."));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_haproxys_form() {
        let place = Place { file: "shop.cfg".into(), line: 3 };
        let mut messages = Messages::default();
        messages.alert(&place, "unknown keyword 'x'");
        messages.warn(&Place { line: 1, ..place }, "ignored");
        assert_eq!(
            messages.render(47),
            "[WARNING]  (47) : config : parsing [shop.cfg:1] : ignored\n\
             [ALERT]    (47) : config : parsing [shop.cfg:3] : unknown keyword 'x'\n\
             [ALERT]    (47) : config : Fatal errors found in configuration."
        );
    }
}
