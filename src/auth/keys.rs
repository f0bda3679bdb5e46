//! The secret that sessions are signed with, and the password that is made when nobody has set one. Both lie in a directory of
//! their own, 0700, in files that only the daemon's user can read. Blocks on the disk.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::error::AuthError;
use crate::model::Password;
use crate::sys;

/// Bytes of the secret: what HMAC-SHA256 can make full use of.
pub(super) const KEY_BYTES: usize = 32;

/// Characters of a made password. Nobody mixes any of them up, and there are 32: five bits each.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Characters of a made password, in groups: 100 bits, which no throttle needs to protect.
const GROUPS: usize = 5;
const GROUP: usize = 4;

/// The secret in `path`, made when missing. One that others may have read, or that is none, is replaced: everybody signs in
/// again, which is better than a stranger who does not have to.
pub(super) fn session_key(path: &Path) -> Result<[u8; KEY_BYTES], AuthError> {
    match read_private(path, KEY_BYTES) {
        Ok(Private::Good(content)) => match content.try_into() {
            Ok(key) => return Ok(key),
            Err(_) => tracing::error!("{} is no key: a new one is made, and everybody has to sign in again", path.display()),
        },
        Ok(Private::Exposed) => {
            tracing::error!("{} could be read by others: a new one is made, and everybody has to sign in again", path.display());
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(AuthError::File { path: path.to_owned(), source }),
    }
    let key: [u8; KEY_BYTES] = random()?;
    sys::write_atomic(path, &key).map_err(|source| AuthError::File { path: path.to_owned(), source })?;
    Ok(key)
}

/// The password in `path`, made when missing; the second value says whether it was. A file that others can read is narrowed: it
/// is the operator's to change the password.
pub(super) fn made_password(path: &Path) -> Result<(Password, bool), AuthError> {
    let failed = |source| AuthError::File { path: path.to_owned(), source };
    match fs::read(path) {
        Ok(content) => {
            let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
            if mode & 0o077 != 0 {
                tracing::warn!("{} could be read by others; it is made private now, but change the password", path.display());
                fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
            }
            let password = Password::from_line(&content);
            password.map(|password| (password, false)).map_err(|source| AuthError::Made { path: path.to_owned(), source })
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let text = random_password()?;
            sys::write_atomic(path, format!("{text}\n").as_bytes()).map_err(failed)?;
            let password = Password::new(text).map_err(|source| AuthError::Made { path: path.to_owned(), source })?;
            Ok((password, true))
        }
        Err(e) => Err(failed(e)),
    }
}

/// Random bytes.
pub(super) fn random<const N: usize>() -> Result<[u8; N], AuthError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| AuthError::Random)?;
    Ok(bytes)
}

fn random_password() -> Result<String, AuthError> {
    let bytes: [u8; GROUPS * GROUP] = random()?;
    let groups = bytes.chunks(GROUP).map(|group| group.iter().map(|b| char::from(ALPHABET[usize::from(b % 32)])).collect::<String>());
    Ok(groups.collect::<Vec<_>>().join("-"))
}

enum Private {
    Good(Vec<u8>),
    Exposed,
}

fn read_private(path: &Path, expected: usize) -> io::Result<Private> {
    let file = fs::File::open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        return Ok(Private::Exposed);
    }
    let mut content = Vec::new();
    file.take(expected as u64 + 1).read_to_end(&mut content)?;
    Ok(Private::Good(content))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_kept_and_replaced_when_it_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let first = session_key(&path).unwrap();
        assert_eq!(session_key(&path).unwrap(), first);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for broken in [&b""[..], &first[..31], &[&first[..], b"x"].concat()] {
            fs::write(&path, broken).unwrap();
            assert_ne!(session_key(&path).unwrap(), first, "{} bytes", broken.len());
        }
        let second = session_key(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let third = session_key(&path).unwrap();
        assert_ne!(third, second, "others could read it");
        assert_eq!(session_key(&path).unwrap(), third);
    }

    #[test]
    fn a_made_password() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        let (password, made) = made_password(&path).unwrap();
        let text = String::from_utf8(password.as_bytes().to_vec()).unwrap();
        assert!(made && text.len() == 24 && text.split('-').all(|group| group.len() == 4), "{text}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(made_password(&path).unwrap(), (password, false));
        fs::write(&path, "mine\n").unwrap();
        assert_eq!(made_password(&path).unwrap().0, Password::new("mine").unwrap());
        fs::write(&path, "").unwrap();
        assert!(matches!(made_password(&path), Err(AuthError::Made { .. })));
    }
}
