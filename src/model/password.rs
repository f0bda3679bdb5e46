//! A password on its way from whoever knows it to whoever hashes it.

use std::fmt;

/// The most bytes of a password. Long enough for every manager's longest; short enough that nobody can make us hash megabytes.
pub const MAX_PASSWORD: usize = 1024;

/// A password: some bytes, never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Vec<u8>);

/// Bytes that are no password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPassword {
    /// There are none.
    #[error("a password has at least one byte")]
    Empty,
    /// There are too many.
    #[error("a password has at most {MAX_PASSWORD} bytes")]
    TooLong,
    /// There is a zero byte, which no keyboard types: most likely the wrong file.
    #[error("a password has no zero byte")]
    Nul,
}

impl Password {
    /// Takes the bytes as they are.
    ///
    /// # Errors
    /// When there are none, too many, or zero bytes among them.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, InvalidPassword> {
        let bytes = bytes.into();
        match bytes.len() {
            0 => Err(InvalidPassword::Empty),
            n if n > MAX_PASSWORD => Err(InvalidPassword::TooLong),
            _ if bytes.contains(&0) => Err(InvalidPassword::Nul),
            _ => Ok(Self(bytes)),
        }
    }

    /// Takes a file's or a pipe's content: one line, whose end does not belong to it.
    ///
    /// # Errors
    /// As [`Password::new`].
    pub fn from_line(bytes: &[u8]) -> Result<Self, InvalidPassword> {
        let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        Self::new(line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// The bytes, for hashing.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        assert_eq!(Password::new(""), Err(InvalidPassword::Empty));
        assert_eq!(Password::new(vec![b'a'; MAX_PASSWORD + 1]), Err(InvalidPassword::TooLong));
        assert_eq!(Password::new("a\0b"), Err(InvalidPassword::Nul));
        Password::new(vec![b'a'; MAX_PASSWORD]).unwrap();
    }

    #[test]
    fn a_line_end_is_no_part_of_it() {
        for text in ["secret", "secret\n", "secret\r\n"] {
            assert_eq!(Password::from_line(text.as_bytes()).unwrap().as_bytes(), b"secret", "{text:?}");
        }
        assert_eq!(Password::from_line(b" a \n\n").unwrap().as_bytes(), b" a \n");
        assert_eq!(Password::from_line(b"\n"), Err(InvalidPassword::Empty));
    }

    #[test]
    fn nobody_sees_it() {
        assert_eq!(format!("{:?}", Password::new("secret").unwrap()), "Password(…)");
    }
}
