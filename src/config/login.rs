//! How users prove who they are, and where the passwords come from.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::checked::ListenAddress;
use super::error::ConfigError;
use super::load::duration;
use super::raw;
use crate::model::{InstanceId, Password};

/// The most bytes of a file that holds a password or a hash.
const MAX_FILE: u64 = 4096;

/// How long a session lasts when nothing else is said: as long as people leave a tab on a phone.
const SESSION: Duration = Duration::from_secs(30 * 24 * 3600);

/// Browsers cut a cookie's life after this (RFC 6265bis, section 5.5: 400 days).
const LONGEST_SESSION: Duration = Duration::from_secs(400 * 24 * 3600);

/// The checked `[login]`, passwords read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Whether a password is asked for; else everybody who can connect may come in.
    pub required: bool,
    /// The password of every instance that has none of its own; none: one is made.
    pub service: Option<PasswordSource>,
    /// Instances with a password of their own, which is then the only one that opens them.
    pub instances: BTreeMap<InstanceId, PasswordSource>,
    /// How long a session lasts.
    pub session: Duration,
}

/// A password, or what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordSource {
    /// The password itself.
    Plain(Password),
    /// Its argon2 hash, a PHC string.
    Hashed(String),
}

/// What the command line says of passwords.
#[derive(Clone, Debug, Default)]
pub struct PasswordFlags {
    /// `--password`
    pub password: Option<Password>,
    /// `--password-file`
    pub password_file: Option<PathBuf>,
    /// `--hashed-password-file`
    pub hashed_password_file: Option<PathBuf>,
}

/// Checks `[login]` and reads the files that it names.
pub(super) fn check(auth: Option<&str>, raw: raw::Login, flags: &PasswordFlags, listen: &[ListenAddress]) -> Result<Login, ConfigError> {
    let required = match auth {
        Some("none") => false,
        Some("password") | None => true,
        Some(other) => return Err(ConfigError::value("auth", format!("'{other}' is neither 'password' nor 'none'"))),
    };
    if !required {
        check_only_local(listen)?;
    }
    let session = session(raw.session.as_deref(), SESSION)?;
    if !required {
        return Ok(Login { required, service: None, instances: BTreeMap::new(), session });
    }
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let configured = raw::Source {
        hashed_password: raw.hashed_password,
        hashed_password_file: raw.hashed_password_file,
        password_file: raw.password_file,
    };
    let service = match from_flags(flags)? {
        Some(source) => Some(source),
        None => match from_credentials(credentials.as_deref(), "")? {
            Some(source) => Some(source),
            None => from_source(configured)?,
        },
    };
    let mut instances = BTreeMap::new();
    for (name, source) in raw.instances {
        let id = name.parse::<InstanceId>().map_err(|e| ConfigError::value("login.instances", format!("'{name}': {e}")))?;
        let source = match from_credentials(credentials.as_deref(), &format!(".{id}"))? {
            Some(source) => Some(source),
            None => from_source(source)?,
        };
        let source = source.ok_or_else(|| ConfigError::value("login.instances", format!("'{name}' says nothing of its password")))?;
        instances.insert(id, source);
    }
    Ok(Login { required, service, instances, session })
}

/// How long a session lasts.
pub(super) fn session(text: Option<&str>, default: Duration) -> Result<Duration, ConfigError> {
    let session = duration("session", text, default)?;
    if session < Duration::from_secs(60) || session > LONGEST_SESSION {
        return Err(ConfigError::value("session", "lasts from one minute to 400 days"));
    }
    Ok(session)
}

/// Without a login, whoever can connect is in: that must not be everybody.
fn check_only_local(listen: &[ListenAddress]) -> Result<(), ConfigError> {
    for address in listen {
        if let ListenAddress::Tcp(address) | ListenAddress::Tls(address) | ListenAddress::Redirect(address) = address
            && !address.ip().is_loopback()
        {
            let message = format!("without a login, {address} would be open to everybody: use a loopback address or unix:PATH");
            return Err(ConfigError::value("listen", message));
        }
    }
    Ok(())
}

fn from_flags(flags: &PasswordFlags) -> Result<Option<PasswordSource>, ConfigError> {
    match (&flags.password, &flags.password_file, &flags.hashed_password_file) {
        (None, None, None) => Ok(None),
        (Some(password), None, None) => Ok(Some(PasswordSource::Plain(password.clone()))),
        (None, Some(path), None) => plain_file(path).map(Some),
        (None, None, Some(path)) => hashed_file(path).map(Some),
        _ => Err(ConfigError::value("--password", "say one of --password, --password-file and --hashed-password-file")),
    }
}

/// systemd's `LoadCredential=password:…` or `hashed-password:…` (systemd.exec(5)); `suffix` is `.ID` for an instance's own.
fn from_credentials(dir: Option<&Path>, suffix: &str) -> Result<Option<PasswordSource>, ConfigError> {
    let Some(dir) = dir else { return Ok(None) };
    let hashed = dir.join(format!("hashed-password{suffix}"));
    if hashed.exists() {
        return hashed_file(&hashed).map(Some);
    }
    let plain = dir.join(format!("password{suffix}"));
    if plain.exists() { plain_file(&plain).map(Some) } else { Ok(None) }
}

pub(super) fn from_source(source: raw::Source) -> Result<Option<PasswordSource>, ConfigError> {
    match (source.hashed_password, source.hashed_password_file, source.password_file) {
        (None, None, None) => Ok(None),
        (Some(hash), None, None) => hashed("hashed_password", hash).map(Some),
        (None, Some(path), None) => hashed_file(&path).map(Some),
        (None, None, Some(path)) => plain_file(&path).map(Some),
        _ => Err(ConfigError::value("login", "say one of hashed_password, hashed_password_file and password_file")),
    }
}

fn plain_file(path: &Path) -> Result<PasswordSource, ConfigError> {
    let password = Password::from_line(&read(path)?);
    password.map(PasswordSource::Plain).map_err(|e| ConfigError::value("password_file", format!("{}: {e}", path.display())))
}

fn hashed_file(path: &Path) -> Result<PasswordSource, ConfigError> {
    let text = String::from_utf8(read(path)?).unwrap_or_default();
    hashed("hashed_password_file", text.trim().to_owned())
        .map_err(|_| ConfigError::value("hashed_password_file", format!("{}: {NOT_A_HASH}", path.display())))
}

const NOT_A_HASH: &str = "is not an argon2 hash ($argon2id$…): make one with 'hoody-code password'";

/// Only the look of it; `auth` reads it in earnest. The value is not shown: somebody may have put the password itself there.
fn hashed(key: &'static str, text: String) -> Result<PasswordSource, ConfigError> {
    if text.starts_with("$argon2") { Ok(PasswordSource::Hashed(text)) } else { Err(ConfigError::value(key, NOT_A_HASH)) }
}

fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o004 != 0 {
        tracing::warn!("{} can be read by everybody on this machine: chmod o= it", path.display());
    }
    let mut content = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 > MAX_FILE {
        return Err(ConfigError::value("password_file", format!("{} is larger than {MAX_FILE} bytes", path.display())));
    }
    Ok(content)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
