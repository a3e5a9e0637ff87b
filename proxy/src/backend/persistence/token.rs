//! What tells one user from another.

/// Letters of a token: 62^12 of them are 71 bits, so that no two users of a site ever share one.
pub(super) const LETTERS: usize = 12;

/// A user's token, made at random when the user gets its first cookie.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Token([u8; LETTERS]);

impl Token {
    /// A new one.
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| fastrand::alphanumeric() as u8))
    }

    /// A token as we give them; what a client has made up is not sent back to it.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let letters: [u8; LETTERS] = text.try_into().ok()?;
        letters.iter().all(u8::is_ascii_alphanumeric).then_some(Self(letters))
    }

    /// Its letters.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
