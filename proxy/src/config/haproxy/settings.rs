//! What a proxy section comes to: first what it inherits, then directive after directive.
//!
//! A `defaults` section is such a value, too; a `frontend`, `backend` or `listen` begins as a copy of it. So what a
//! later line says replaces what an earlier one did, and `no …` takes back what was inherited, in HAProxy's order.

use super::{
    check::CheckSettings,
    keyword::Keywords,
    message::{Messages, Place},
    section::Directive,
    server::Server,
    server_state::StateFile,
    statistics::StatisticsSettings,
    toml::{Origin, Piece},
};

/// Which of the two halves of a proxy a key belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Front,
    Back,
}

/// What a proxy speaks.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Mode {
    /// HAProxy's default.
    #[default]
    Tcp,
    Http,
}

/// What lines of the access log look like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum LogLines {
    Http,
    Clf,
    Tcp,
    /// `log-format`, as TOML has it.
    Own(Piece),
}

/// A log line, or the word `global`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum LogTo {
    /// Those of the global section.
    Global(Directive),
    This(super::log::Target),
}

/// What a proxy section comes to.
#[derive(Clone, Default, Debug)]
pub(super) struct Settings {
    pub(super) mode: Mode,
    /// It was said to be off.
    pub(super) disabled: bool,
    /// Keys that are as they are; one for each name and side.
    pub(super) values: Vec<(Side, &'static str, Piece)>,
    pub(super) log_lines: Option<LogLines>,
    pub(super) logs: Vec<LogTo>,
    pub(super) log_tag: Option<Piece>,
    /// `unique-id-format` and `unique-id-header`.
    pub(super) unique_id: [Option<Piece>; 2],
    pub(super) captured_request: Vec<Piece>,
    pub(super) captured_response: Vec<Piece>,
    pub(super) check: CheckSettings,
    pub(super) default_server: Keywords,
    pub(super) servers: Vec<Server>,
    pub(super) binds: Vec<Piece>,
    pub(super) accept_proxy: Option<Piece>,
    pub(super) default_backend: Option<(String, Origin)>,
    pub(super) acls: Vec<Piece>,
    pub(super) request_rules: Vec<Piece>,
    /// `redirect` lines come after all others.
    pub(super) redirects: Vec<Piece>,
    pub(super) response_rules: Vec<Piece>,
    pub(super) after_rules: Vec<Piece>,
    pub(super) use_backend: Vec<Piece>,
    /// `force-persist` and `ignore-persist`.
    pub(super) persistence: Vec<Piece>,
    /// Those that are named in `use_backend`, to be looked for when all sections are known.
    pub(super) used: Vec<(String, Origin)>,
    /// Each with its status, and the key of the table that it stands in.
    pub(super) error_pages: Vec<(u16, &'static str, Piece)>,
    pub(super) monitor_fail: Vec<Piece>,
    pub(super) statistics: StatisticsSettings,
    pub(super) state_file: StateFile,
    /// Its number, where it is said.
    pub(super) id: Option<(u32, Piece)>,
}

impl Settings {
    /// Sets a key; where it was set before, this counts.
    pub(super) fn set(&mut self, side: Side, key: &'static str, piece: Piece) {
        self.unset(side, key);
        self.values.push((side, key, piece));
    }

    pub(super) fn unset(&mut self, side: Side, key: &'static str) {
        self.values.retain(|(of, name, _)| (*of, *name) != (side, key));
    }

    pub(super) fn value(&self, side: Side, key: &str) -> Option<&Piece> {
        self.values.iter().find(|(of, name, _)| *of == side && *name == key).map(|(.., piece)| piece)
    }

    /// What a proxy that inherits from this begins with. Comments stay where they stand.
    pub(super) fn inherited(&self) -> Self {
        let mut inherited = self.clone();
        inherited.check.inherit();
        let lists = [
            &mut inherited.acls,
            &mut inherited.request_rules,
            &mut inherited.redirects,
            &mut inherited.response_rules,
            &mut inherited.after_rules,
            &mut inherited.monitor_fail,
        ];
        lists.into_iter().flatten().for_each(|piece| piece.comments.clear());
        inherited.error_pages.iter_mut().for_each(|(.., piece)| piece.comments.clear());
        inherited.values.iter_mut().for_each(|(.., piece)| piece.comments.clear());
        inherited.statistics.forget_comments();
        inherited.state_file.forget_comments();
        for log in &mut inherited.logs {
            match log {
                LogTo::Global(directive) => directive.comments.clear(),
                LogTo::This(target) => target.directive.comments.clear(),
            }
        }
        inherited
    }
}

/// What kind of section it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Global,
    Defaults,
    Frontend,
    Backend,
    Listen,
}

impl Kind {
    /// HAProxy's word for it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Defaults => "defaults",
            Self::Frontend => "frontend",
            Self::Backend => "backend",
            Self::Listen => "listen",
        }
    }

    /// Whether it takes requests (`Front`) or sends them to servers (`Back`).
    pub(super) const fn has(self, side: Side) -> bool {
        match self {
            Self::Global => false,
            Self::Defaults | Self::Listen => true,
            Self::Frontend => matches!(side, Side::Front),
            Self::Backend => matches!(side, Side::Back),
        }
    }
}

/// A section while it is read.
pub(super) struct Reading<'r> {
    pub(super) kind: Kind,
    pub(super) name: &'r str,
    pub(super) settings: &'r mut Settings,
    pub(super) messages: &'r mut Messages,
    /// `global` and what it says of the process.
    pub(super) global: &'r mut super::global::Global,
    /// How many of the directive's words are its name.
    pub(super) words: usize,
    /// It begins with `no`, which is no word of it.
    pub(super) negated: bool,
}

impl Reading<'_> {
    /// The words behind the directive's name.
    pub(super) fn arguments<'d>(&self, directive: &'d Directive) -> &'d [String] {
        directive.words_from(self.words)
    }

    pub(super) fn name_of(&self, directive: &Directive) -> String {
        directive.words[..self.words.min(directive.words.len())].join(" ")
    }

    pub(super) fn piece(&self, value: impl Into<String>, directive: &Directive) -> Piece {
        Piece::of(value, directive, self.words)
    }

    pub(super) fn alert(&mut self, place: &Place, text: impl Into<String>) {
        self.messages.alert(place, text);
    }

    /// The only argument; reports where there is none or more than one.
    pub(super) fn only<'d>(&mut self, directive: &'d Directive, what: &str) -> Option<&'d str> {
        match self.arguments(directive) {
            [only] => Some(only.as_str()),
            [] => {
                let text = format!("'{}' expects {what}.", self.name_of(directive));
                self.alert(&directive.place, text);
                None
            }
            [_, further, ..] => {
                let text = format!(
                    "'{}' expects {what} and nothing else, but '{further}' follows.",
                    self.name_of(directive)
                );
                self.alert(&directive.place, text);
                None
            }
        }
    }
}
