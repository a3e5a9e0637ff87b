//! What the doctor finds.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// How it is.
    pub level: Level,
    /// What was looked at; a stable name in `snake_case`.
    pub about: String,
    /// What was found, for people.
    pub text: String,
    /// What to do about it; nothing where it is well.
    pub cure: Option<String>,
    /// `FILE:LINE`, where it stands in a file.
    pub place: Option<String>,
}

/// How a thing is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Well.
    Ok,
    /// Not known, or not as good as it could be.
    Warning,
    /// A drain would fail, or hurt somebody.
    Failure,
}

impl Finding {
    /// It is well.
    pub fn ok(about: &str, text: impl Into<String>) -> Self {
        Self { level: Level::Ok, about: about.to_owned(), text: text.into(), cure: None, place: None }
    }

    /// It could be better.
    pub fn warning(about: &str, text: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { level: Level::Warning, cure: Some(cure.into()), ..Self::ok(about, text) }
    }

    /// It would fail.
    pub fn failure(about: &str, text: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { level: Level::Failure, cure: Some(cure.into()), ..Self::ok(about, text) }
    }

    /// It stands there.
    #[must_use]
    pub fn at(self, place: String) -> Self {
        Self { place: Some(place), ..self }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "FAILS",
        })
    }
}
