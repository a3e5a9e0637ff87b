//! The files that a configuration stands in.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use drain_config::Document;

use super::{LoadError, haproxy::Source};

/// The texts of these files. Of a directory they are those of all its files `*.cfg`, by their names (HAProxy: `-f`).
pub(super) fn sources(paths: &[PathBuf]) -> Result<Vec<Source>, LoadError> {
    let mut sources = Vec::new();
    for path in paths {
        if path.is_dir() {
            let files = in_directory(path).map_err(|source| unreadable(path, source))?;
            for file in files {
                sources.push(source(&file)?);
            }
        } else {
            sources.push(source(path)?);
        }
    }
    match paths {
        // Nothing but directories, and nothing in them.
        [first, ..] if sources.is_empty() => Err(LoadError::Empty { path: first.clone() }),
        _ => Ok(sources),
    }
}

fn source(path: &Path) -> Result<Source, LoadError> {
    let text = Document::text_of(path).map_err(|source| unreadable(path, source))?;
    Ok(Source { name: path.display().to_string(), text })
}

fn unreadable(path: &Path, source: io::Error) -> LoadError {
    LoadError::Unreadable { path: path.to_owned(), source }
}

fn in_directory(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".cfg") && !name.starts_with('.') && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_directory_each_cfg_is_read_by_its_name() {
        let directory = std::env::temp_dir().join(format!("drain-proxy-files-{}", std::process::id()));
        fs::create_dir_all(directory.join("sub.cfg")).unwrap();
        let read = || sources(std::slice::from_ref(&directory));
        assert!(matches!(read(), Err(LoadError::Empty { .. })));
        for name in ["20.cfg", "10.cfg", ".x.cfg", "30.conf"] {
            fs::write(directory.join(name), name).unwrap();
        }
        let texts: Vec<_> = read().unwrap().into_iter().map(|source| source.text).collect();
        assert_eq!(texts, ["10.cfg", "20.cfg"]);
        fs::remove_dir_all(&directory).unwrap();
    }
}
