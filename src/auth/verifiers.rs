//! The passwords in force: one of the service, and those of instances that have their own.
//!
//! Each has an *epoch*, a random value that every session of it is bound to. It stays the same while the password does, over
//! restarts and new hashes of the same password; with another password it is another, and all sessions of the old one end. What
//! epochs there are is kept in a file beside the session key: never a password, only hashes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::AuthError;
use super::keys::random;
use super::password::Hash;
use crate::config::PasswordSource;
use crate::model::{InstanceId, Password};
use crate::sys;

/// The service-wide password's name in the file; no instance can have it.
const SERVICE: &str = "*";

/// What sessions are bound to. Says nothing of the password.
pub(super) type Epoch = [u8; 16];

/// One password in force.
#[derive(Clone, Debug)]
pub(super) struct Verifier {
    pub(super) hash: Hash,
    pub(super) epoch: Epoch,
}

/// All passwords in force.
#[derive(Clone, Debug)]
pub(super) struct Verifiers {
    service: Verifier,
    instances: BTreeMap<InstanceId, Verifier>,
    path: PathBuf,
    kept: BTreeMap<String, Kept>,
}

/// One line of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    hash: String,
    epoch: String,
    /// The hash in the configuration that `hash` stands for, when it was made from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    configured: Option<String>,
}

impl Verifiers {
    /// Takes `service` and `instances` into force, with the epochs that `path` keeps for passwords that have not changed. Hashes
    /// what is not hashed yet: about a tenth of a second each.
    pub(super) fn open(
        path: PathBuf,
        service: &PasswordSource,
        instances: &BTreeMap<InstanceId, PasswordSource>,
    ) -> Result<Self, AuthError> {
        let old = read(&path);
        let mut kept = BTreeMap::new();
        let mut verifier = |name: &str, scope: String, source: &PasswordSource| {
            let line = keep(old.get(name), &scope, source)?;
            let hash = Hash::parse(&line.hash).map_err(|why| AuthError::Hash { scope, why })?;
            let epoch = parse_epoch(&line.epoch).ok_or(AuthError::Random)?;
            kept.insert(name.to_owned(), line);
            Ok::<_, AuthError>(Verifier { hash, epoch })
        };
        let service = verifier(SERVICE, "the service".to_owned(), service)?;
        let instances = instances
            .iter()
            .map(|(id, source)| Ok((id.clone(), verifier(id.as_str(), format!("instance {id}"), source)?)))
            .collect::<Result<_, AuthError>>()?;
        if kept != old {
            write(&path, &kept)?;
        }
        Ok(Self { service, instances, path, kept })
    }

    /// The password that opens `id`.
    pub(super) fn of(&self, id: &InstanceId) -> &Verifier {
        self.instances.get(id).unwrap_or(&self.service)
    }

    /// Whether `id` has a password of its own.
    pub(super) fn has_own(&self, id: &InstanceId) -> bool {
        self.instances.contains_key(id)
    }

    /// The same with another hash of the password that opens `id`, if it is still `old`. The epoch stays. Blocks on the disk.
    pub(super) fn renewed(&self, id: &InstanceId, old: &Hash, new: Hash) -> Result<Self, AuthError> {
        let mut renewed = self.clone();
        let name = if self.instances.contains_key(id) { id.as_str() } else { SERVICE };
        let verifier = renewed.instances.get_mut(id).unwrap_or(&mut renewed.service);
        if verifier.hash == *old {
            if let Some(line) = renewed.kept.get_mut(name) {
                new.as_str().clone_into(&mut line.hash);
            }
            verifier.hash = new;
            write(&renewed.path, &renewed.kept)?;
        }
        Ok(renewed)
    }
}

/// The line for `source`, the old one if it is still about the same password.
fn keep(old: Option<&Kept>, scope: &str, source: &PasswordSource) -> Result<Kept, AuthError> {
    let usable = old.and_then(|line| {
        let hash = Hash::parse(&line.hash).ok()?;
        parse_epoch(&line.epoch).map(|_| (line, hash))
    });
    match source {
        PasswordSource::Plain(password) => match usable {
            Some((line, hash)) if line.configured.is_none() && hash.admits(password) => {
                let hash = if hash.is_outdated() { Hash::of(password)? } else { hash };
                Ok(Kept { hash: hash.as_str().to_owned(), ..line.clone() })
            }
            _ => fresh(&Hash::of(password)?, None),
        },
        PasswordSource::Hashed(text) => {
            let hash = Hash::parse(text).map_err(|why| AuthError::Hash { scope: scope.to_owned(), why })?;
            match usable {
                Some((line, _)) if line.configured.as_ref() == Some(text) => Ok(line.clone()),
                _ => fresh(&hash, Some(text.clone())),
            }
        }
    }
}

fn fresh(hash: &Hash, configured: Option<String>) -> Result<Kept, AuthError> {
    let epoch: Epoch = random()?;
    Ok(Kept { hash: hash.as_str().to_owned(), epoch: hex::encode(epoch), configured })
}

fn parse_epoch(text: &str) -> Option<Epoch> {
    hex::decode(text).ok()?.try_into().ok()
}

/// A file that cannot be read counts as empty: everybody signs in again.
fn read(path: &Path) -> BTreeMap<String, Kept> {
    let Ok(content) = fs::read(path) else { return BTreeMap::new() };
    serde_json::from_slice(&content).unwrap_or_else(|e| {
        tracing::error!("{} is broken, everybody has to sign in again: {e}", path.display());
        BTreeMap::new()
    })
}

fn write(path: &Path, kept: &BTreeMap<String, Kept>) -> Result<(), AuthError> {
    let content = serde_json::to_vec_pretty(kept).unwrap_or_default();
    sys::write_atomic(path, &content).map_err(|source| AuthError::File { path: path.to_owned(), source })
}

/// Whether `password` opens what `verifier` guards, and the hash to replace the verifier's when that is outdated. Slow.
pub(super) fn verify(verifier: &Verifier, password: &Password) -> (bool, Option<Hash>) {
    if !verifier.hash.admits(password) {
        return (false, None);
    }
    let renewed = if verifier.hash.is_outdated() { Hash::of(password).ok() } else { None };
    (true, renewed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    // Cheap, and outdated for that reason.
    const CHEAP: &str = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQxMjM0NTY3OA$";

    fn cheap(text: &str) -> String {
        use argon2::{Algorithm, Argon2, Params, Version};
        let mut out = [0; 32];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).unwrap());
        argon2.hash_password_into(text.as_bytes(), b"somesalt12345678", &mut out).unwrap();
        let encoded = argon2::password_hash::phc::Output::new(&out).unwrap();
        format!("{CHEAP}{encoded}")
    }

    fn plain(text: &str) -> PasswordSource {
        PasswordSource::Plain(Password::new(text).unwrap())
    }

    #[test]
    fn epochs_follow_the_password_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("verifiers.json");
        let open = |source: &PasswordSource| Verifiers::open(path.clone(), source, &BTreeMap::new()).unwrap();
        let alice = "alice".parse().unwrap();
        let first = open(&plain("one"));
        let again = open(&plain("one"));
        assert_eq!(again.of(&alice).epoch, first.of(&alice).epoch);
        assert_eq!(again.of(&alice).hash, first.of(&alice).hash, "not even hashed again");
        let changed = open(&plain("two"));
        assert_ne!(changed.of(&alice).epoch, first.of(&alice).epoch);
        assert_ne!(open(&plain("one")).of(&alice).epoch, first.of(&alice).epoch, "the sessions of back then stay ended");
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("\"one\"") && text.contains("argon2id"), "{text}");
        fs::write(&path, "half a fi").unwrap();
        assert_ne!(open(&plain("one")).of(&alice).epoch, changed.of(&alice).epoch);
    }

    #[test]
    fn a_hash_is_renewed_without_ending_sessions() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("verifiers.json");
        let source = PasswordSource::Hashed(cheap("secret"));
        let verifiers = Verifiers::open(path.clone(), &source, &BTreeMap::new()).unwrap();
        let id = "alice".parse().unwrap();
        let before = verifiers.of(&id).clone();
        let (right, renewed) = verify(&before, &Password::new("secret").unwrap());
        assert!(right);
        let verifiers = verifiers.renewed(&id, &before.hash, renewed.unwrap()).unwrap();
        assert!(!verifiers.of(&id).hash.is_outdated());
        // The configuration still says the old one: the new one stands for it.
        let again = Verifiers::open(path, &source, &BTreeMap::new()).unwrap();
        assert_eq!((again.of(&id).epoch, &again.of(&id).hash), (before.epoch, &verifiers.of(&id).hash));
        assert_eq!(verify(again.of(&id), &Password::new("other").unwrap()), (false, None));
    }

    #[test]
    fn an_instances_own_password_is_the_only_one() {
        let dir = tempfile::tempdir().unwrap();
        let own = BTreeMap::from([("alice".parse().unwrap(), PasswordSource::Hashed(cheap("hers")))]);
        let service = PasswordSource::Hashed(cheap("everybodys"));
        let verifiers = Verifiers::open(dir.path().join("v"), &service, &own).unwrap();
        let opens = |id: &str, text: &str| verify(verifiers.of(&id.parse().unwrap()), &Password::new(text).unwrap()).0;
        assert!(opens("alice", "hers") && opens("bob", "everybodys"));
        assert!(!opens("alice", "everybodys") && !opens("bob", "hers"));
    }

    #[test]
    fn a_broken_hash_says_whose() {
        let dir = tempfile::tempdir().unwrap();
        let own = BTreeMap::from([("alice".parse().unwrap(), PasswordSource::Hashed("$argon2id$x".into()))]);
        let error = Verifiers::open(dir.path().join("v"), &plain("x"), &own).unwrap_err().to_string();
        assert!(error.contains("instance alice") && error.contains("hoody-code password"), "{error}");
    }
}
