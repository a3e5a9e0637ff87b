//! `load-server-state-from-file`: where a backend's servers find their state of before, which a script has saved with
//! `show servers state`.

use std::path::{Path, PathBuf};

use super::{
    message::Messages,
    section::Directive,
    settings::Reading,
    toml::{self, Piece},
};

/// What the `global` section says of such files.
#[derive(Clone, Default, Debug)]
pub(super) struct StateFiles {
    /// `server-state-file`.
    of_all: Option<Said>,
    /// `server-state-base`: the directory of those that are no absolute paths.
    base: Option<Said>,
}

/// What a backend says of its own.
#[derive(Clone, Default, Debug)]
pub(super) struct StateFile {
    /// `load-server-state-from-file`, and where that was said.
    from: Option<(From, Directive)>,
    /// `server-state-file-name`; without one it is the backend's name.
    name: Option<Said>,
}

/// A path, and where it was said.
type Said = (String, Directive);

/// Which file it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum From {
    /// That of the `global` section.
    Global,
    /// The backend's own.
    Local,
}

impl StateFiles {
    /// Warns of what no backend makes use of; each of `backends` has one of these.
    pub(super) fn warn_of_unused<'b>(
        &self,
        backends: impl Iterator<Item = &'b StateFile>,
        messages: &mut Messages,
    ) {
        let from: Vec<From> = backends.filter_map(|own| Some(own.from.as_ref()?.0)).collect();
        let unused = [
            (&self.of_all, !from.contains(&From::Global), "load-server-state-from-file global"),
            (&self.base, from.is_empty(), "load-server-state-from-file"),
        ];
        for (said, is_unused, wanted) in unused {
            let Some((_, directive)) = said.as_ref().filter(|_| is_unused) else { continue };
            let text = format!("'{}' has no effect: no backend has '{wanted}'.", directive.words[0]);
            messages.warn(&directive.place, text);
        }
    }
}

impl StateFile {
    /// A section that inherits it has no comments of it.
    pub(super) fn forget_comments(&mut self) {
        if let Some((_, directive)) = &mut self.from {
            directive.comments.clear();
        }
    }

    /// The file for `backend`, as TOML has it; `None`: nothing is loaded.
    pub(super) fn piece(&self, backend: &str, files: &StateFiles, messages: &mut Messages) -> Option<Piece> {
        let from = self.from.as_ref().map(|(from, _)| *from);
        if let Some((_, named)) = self.name.as_ref().filter(|_| from != Some(From::Local)) {
            let text = format!(
                "'server-state-file-name' has no effect for backend '{backend}', which has no 'load-server-state-from-file local'"
            );
            messages.warn(&named.place, text);
        }
        let (from, directive) = self.from.as_ref()?;
        let path = |said: &Option<Said>| said.as_ref().map(|(path, _)| path.clone());
        let file = match from {
            From::Local => path(&self.name).unwrap_or_else(|| backend.to_owned()),
            From::Global => {
                let file = path(&files.of_all);
                if file.is_none() {
                    let text =
                        "'load-server-state-from-file global' has no effect without 'server-state-file'";
                    messages.warn(&directive.place, text);
                }
                file?
            }
        };
        let path =
            path(&files.base).map_or_else(|| PathBuf::from(&file), |base| Path::new(&base).join(&file));
        if !path.is_absolute() {
            let text = format!(
                "'load-server-state-from-file' : '{}' is no absolute path: begin it with '/', or write \
                 `server-state-base DIRECTORY` into the global section.",
                path.display()
            );
            messages.alert(&directive.place, text);
            return None;
        }
        Some(Piece::of(toml::text(&path.to_string_lossy()), directive, 1))
    }
}

/// `server-state-file FILE`
pub(super) fn of_all(reading: &mut Reading<'_>, directive: &Directive) {
    if let Some(file) = reading.only(directive, "a file's path") {
        reading.global.state_files.of_all = Some((file.to_owned(), directive.clone()));
    }
}

/// `server-state-base DIRECTORY`
pub(super) fn base(reading: &mut Reading<'_>, directive: &Directive) {
    if let Some(directory) = reading.only(directive, "a directory's path") {
        reading.global.state_files.base = Some((directory.to_owned(), directive.clone()));
    }
}

/// `load-server-state-from-file { global | local | none }`
pub(super) fn load(reading: &mut Reading<'_>, directive: &Directive) {
    let Some(word) = reading.only(directive, "'global', 'local' or 'none'") else { return };
    let from = match word {
        "global" => Some(From::Global),
        "local" => Some(From::Local),
        "none" => None,
        other => {
            let text = format!(
                "'load-server-state-from-file' expects 'global', 'local' or 'none', but '{other}' follows."
            );
            return reading.alert(&directive.place, text);
        }
    };
    reading.settings.state_file.from = from.map(|from| (from, directive.clone()));
}

/// `server-state-file-name [FILE | use-backend-name]`
pub(super) fn name(reading: &mut Reading<'_>, directive: &Directive) {
    let name = match reading.arguments(directive) {
        [] => None,
        [only] if only == "use-backend-name" => None,
        [only] => Some((only.clone(), directive.clone())),
        [_, further, ..] => {
            let text = format!("'server-state-file-name' expects one file at most, but '{further}' follows.");
            return reading.alert(&directive.place, text);
        }
    };
    reading.settings.state_file.name = name;
}
