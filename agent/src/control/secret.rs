//! Files that not everybody may read: keys and tokens.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// A key has some kilobytes, and so have sixty tokens; more is another file.
const LARGEST_BYTES: u64 = 64 * 1024;

/// What nobody but the owner and the group may do: read and write.
const FOR_OTHERS: u32 = 0o006;

/// Why a secret is not taken from its file.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It is none: everybody knows it.
    #[error(
        "everybody on this host may read or write {path} (mode {mode:03o}), so it is no secret any more; make a new \
         one, and `chmod o-rwx {path}`",
        path = path.display()
    )]
    NotSecret {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The system refused.
    #[error("can't read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What was said.
        source: io::Error,
    },
    /// It is surely something else.
    #[error("expected at most {LARGEST_BYTES} bytes in {}, found more; is it the right file?", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

/// The text of a file that only its owner and its group may read.
pub fn read(path: &Path) -> Result<String, SecretError> {
    let unreadable = |source| SecretError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    // Of what is open, not of what has the name by now.
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o777;
    if mode & FOR_OTHERS != 0 {
        return Err(SecretError::NotSecret { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.take(LARGEST_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > LARGEST_BYTES {
        return Err(SecretError::TooLarge { path: path.to_owned() });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::scratch::Scratch;

    fn written(scratch: &Scratch, text: &str, mode: u32) -> PathBuf {
        let path = scratch.join("secret");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn what_everybody_may_read_is_no_secret() {
        let scratch = Scratch::new("secret-mode");
        for mode in [0o644, 0o604, 0o602] {
            let error = read(&written(&scratch, "x", mode)).unwrap_err();
            assert!(matches!(error, SecretError::NotSecret { .. }), "{error}");
            assert!(error.to_string().contains(&format!("mode {mode:03o}")), "{error}");
        }
        for mode in [0o600, 0o640, 0o400, 0o601] {
            assert_eq!(read(&written(&scratch, "x", mode)).unwrap(), "x", "{mode:o}");
        }
    }

    #[test]
    fn another_file_is_not_taken() {
        let scratch = Scratch::new("secret-large");
        let large = "x".repeat(LARGEST_BYTES as usize + 1);
        assert!(matches!(read(&written(&scratch, &large, 0o600)).unwrap_err(), SecretError::TooLarge { .. }));
        assert!(matches!(read(&scratch.join("none")).unwrap_err(), SecretError::Unreadable { .. }));
    }
}
