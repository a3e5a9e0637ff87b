//! What is wrong with a document.

use std::{cell::RefCell, fmt, ops::Range};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// So many mistakes are shown of one document; a file with more is not the file that was meant.
const MISTAKES_SHOWN: usize = 40;

/// One thing that is wrong, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake {
    /// The bytes of the text that it is about.
    pub place: Range<usize>,
    /// What is the matter: one clause.
    pub title: String,
    /// What stands beside the place: what was expected there. May be empty.
    pub label: String,
    /// What would be right, where that isn't plain from the label.
    pub help: Option<String>,
}

impl Mistake {
    /// A mistake at `place`; `title` says what is the matter, `label` what was expected there.
    pub fn new(place: Range<usize>, title: impl Into<String>, label: impl Into<String>) -> Self {
        Self { place, title: title.into(), label: label.into(), help: None }
    }

    /// Adds what would be right.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// The mistakes found so far. Shared by all readers of one document.
#[derive(Default, Debug)]
pub(crate) struct Mistakes(RefCell<Vec<Mistake>>);

impl Mistakes {
    pub(crate) fn add(&self, mistake: Mistake) {
        self.0.borrow_mut().push(mistake);
    }

    pub(crate) fn into_vec(self) -> Vec<Mistake> {
        self.0.into_inner()
    }
}

/// A document that can't be used, with all that is wrong in it, in the order of the text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invalid {
    name: String,
    text: String,
    mistakes: Vec<Mistake>,
}

impl Invalid {
    pub(crate) fn new(name: &str, text: &str, mut mistakes: Vec<Mistake>) -> Self {
        mistakes.sort_by_key(|mistake| mistake.place.start);
        mistakes.dedup();
        Self { name: name.to_owned(), text: text.to_owned(), mistakes }
    }

    /// All that is wrong, in the order of the text.
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }

    /// The mistakes for people: each with file, line, column and the line itself; in colours for a terminal.
    pub fn render(&self, colours: bool) -> String {
        let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
        let mut parts = Vec::new();
        for mistake in self.mistakes.iter().take(MISTAKES_SHOWN) {
            let annotation =
                AnnotationKind::Primary.span(self.clamp(&mistake.place)).label(mistake.label.as_str());
            let group = Level::ERROR
                .primary_title(mistake.title.as_str())
                .element(Snippet::source(&self.text).path(&self.name).annotation(annotation))
                .elements(mistake.help.iter().map(|help| Level::HELP.message(help.as_str())));
            parts.push(renderer.render(&[group]));
        }
        let count = self.mistakes.len();
        let errors = if count == 1 { "error" } else { "errors" };
        let shown = if count > MISTAKES_SHOWN {
            format!(", of which the first {MISTAKES_SHOWN} are shown")
        } else {
            String::new()
        };
        parts.push(format!("{}: {count} {errors}{shown}", self.name));
        parts.join("\n\n")
    }

    /// `place` within the text and on the borders of characters, whatever it was.
    fn clamp(&self, place: &Range<usize>) -> Range<usize> {
        let start = self.text.floor_char_boundary(place.start.min(self.text.len()));
        let end = self.text.ceil_char_boundary(place.end.clamp(start, self.text.len()));
        start..end
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Invalid {}
