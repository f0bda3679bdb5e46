//! `hoody-code password`: reads a password, for its hash to be printed.

use std::io::{self, IsTerminal, Read};

use crate::model::{InvalidPassword, MAX_PASSWORD, Password};
use crate::sys;

/// No password was read.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The input broke off.
    #[error("cannot read a password: {0}")]
    Read(#[from] io::Error),
    /// What was read is none.
    #[error(transparent)]
    Invalid(#[from] InvalidPassword),
    /// What was typed the second time is something else.
    #[error("these were two different passwords")]
    Different,
}

/// Reads a password from standard input: twice and unseen from a terminal, once from a pipe.
///
/// # Errors
/// When there is none.
pub fn read() -> Result<Password, PasswordError> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        let password = Password::new(sys::read_hidden("Password: ")?)?;
        if sys::read_hidden("Again: ")? != password.as_bytes() {
            return Err(PasswordError::Different);
        }
        return Ok(password);
    }
    let mut content = Vec::new();
    // One line end more than a password has, and one byte more than that, to see that it is too long.
    stdin.lock().take(MAX_PASSWORD as u64 + 3).read_to_end(&mut content)?;
    Ok(Password::from_line(&content)?)
}
