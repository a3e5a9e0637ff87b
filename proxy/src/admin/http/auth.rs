//! Who is let in: HTTP's basic authentication (RFC 7617).

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use thiserror::Error;

use crate::config::{Account, Password};

/// Longer than any password, so that a wrong path reads no log into memory.
const LONGEST_PASSWORD: u64 = 1024;

/// Of a file's mode: everybody may read it, or others than its owner may write it.
const TOO_OPEN: u32 = 0o026;

/// A password that can't be used.
#[derive(Debug, Error)]
pub enum PasswordError {
    /// The file can't be read.
    #[error("can't read the password file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others can read or change it.
    #[error(
        "the password file {} has mode {mode:04o}: expected that only its owner and group can read it, and only its \
         owner can write it (chmod 640 {})",
        path.display(),
        path.display()
    )]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// There is nothing in it.
    #[error("the password file {} has no password: expected one in its first line", .0.display())]
    Empty(PathBuf),
    /// There is too much.
    #[error("the password file {} is longer than {LONGEST_PASSWORD} bytes: expected a line", .0.display())]
    TooLong(PathBuf),
}

/// Those who are let in.
#[derive(Clone, Default, Eq, PartialEq)]
pub(super) struct Guests(Vec<Vec<u8>>);

impl Guests {
    /// Reads the passwords of these.
    pub(super) fn of(accounts: &[Account]) -> Result<Self, PasswordError> {
        let one = |account: &Account| {
            let password = match &account.password {
                Password::File(path) => password_in(path)?,
                Password::Given(password) => password.to_string(),
            };
            Ok(format!("{}:{password}", account.user).into_bytes())
        };
        accounts.iter().map(one).collect::<Result<_, _>>().map(Self)
    }

    /// Whether whoever sends this `Authorization` is let in.
    pub(super) fn admit(&self, authorization: Option<&str>) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let credentials = authorization
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
            .and_then(|(_, text)| BASE64_STANDARD.decode(text.trim()).ok());
        // All are compared, each for as long as any: how long it takes tells nothing.
        credentials
            .is_some_and(|given| self.0.iter().fold(false, |found, account| found | is_same(account, &given)))
    }
}

/// Says nothing of passwords.
impl fmt::Debug for Guests {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} guests", self.0.len())
    }
}

/// Whether the two are equal, in a time that does not depend on where they differ.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differs = one.iter().zip(other).fold(0, |differs, (one, other)| differs | (one ^ other));
    one.len() == other.len() && std::hint::black_box(differs) == 0
}

fn password_in(path: &Path) -> Result<String, PasswordError> {
    let unreadable = |source| PasswordError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.mode() & 0o7777;
    if mode & TOO_OPEN != 0 {
        return Err(PasswordError::TooOpen { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.take(LONGEST_PASSWORD + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > LONGEST_PASSWORD {
        return Err(PasswordError::TooLong(path.to_owned()));
    }
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(PasswordError::Empty(path.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn given(user: &str, password: &str) -> Account {
        Account { user: user.into(), password: Password::Given(password.into()) }
    }

    fn basic(credentials: &str) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(credentials))
    }

    #[test]
    fn everybody_is_let_in_where_nobody_is_named() {
        let guests = Guests::of(&[]).unwrap();
        assert!(guests.admit(None) && guests.admit(Some("Basic x")));
    }

    #[test]
    fn only_those_who_are_named_are_let_in_with_their_own_password() {
        let guests = Guests::of(&[given("ops", "s:3cret"), given("eve", "other")]).unwrap();
        for credentials in ["ops:s:3cret", "eve:other"] {
            assert!(guests.admit(Some(&basic(credentials))), "{credentials}");
        }
        for credentials in ["ops:other", "ops", "ops:", "ops:s:3cret2", "", "eve:s:3cret", ":"] {
            assert!(!guests.admit(Some(&basic(credentials))), "{credentials}");
        }
        assert!(!guests.admit(None) && !guests.admit(Some("Basic ***")) && !guests.admit(Some("Bearer x")));
    }

    #[test]
    fn a_password_that_everybody_can_read_is_refused() {
        let path = std::env::temp_dir().join(format!("drain-proxy-password-{}", std::process::id()));
        let read = |text: &str, mode: u32| {
            let _ = fs::remove_file(&path);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let read = password_in(&path);
            fs::remove_file(&path).unwrap();
            read
        };
        assert_eq!(read("s3cret\n", 0o640).unwrap(), "s3cret");
        assert_eq!(read("s3cret", 0o400).unwrap(), "s3cret");
        let text = read("s3cret\n", 0o644).unwrap_err().to_string();
        assert!(text.contains("has mode 0644") && text.contains("chmod 640"), "{text}");
        assert!(matches!(read("s3cret\n", 0o660), Err(PasswordError::TooOpen { .. })));
        assert!(matches!(read("\nx", 0o600), Err(PasswordError::Empty(_))));
        assert!(matches!(read(&"x".repeat(2000), 0o600), Err(PasswordError::TooLong(_))));
        assert!(matches!(password_in(&path), Err(PasswordError::Unreadable { .. })));
    }
}
