//! The sessions that ended before their time: signed out one by one, or revoked all at once. Kept in a file, so that a restart
//! revives none.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::AuthError;
use super::keys::random;
use super::token::{Seconds, SessionId};
use crate::model::InstanceId;
use crate::sys;

/// The most single sessions that are remembered, per instance and of all; only who signs in and out all day gets there. Past that
/// all sessions of the instance end, or all that the same password opens: who has the service's can make up as many names as he
/// likes, but nobody signs out those who have a password of their own.
const MOST_OF_INSTANCE: usize = 1000;
const MOST: usize = 20_000;

/// How long past their expiry ended sessions are remembered, in seconds: the clock may be set back by as much.
const GRACE: Seconds = 24 * 3600;

/// What is remembered. A change makes a new one, to be saved and then put into the old one's place, so that nobody who reads waits
/// for the disk.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    path: PathBuf,
    kept: Kept,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// All sessions are bound to it: another value ends them all.
    #[serde(default)]
    mark: String,
    /// Takes its place for the sessions of instances without a password of their own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    shared: String,
    #[serde(default)]
    instances: BTreeMap<String, OfInstance>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct OfInstance {
    /// The same for the sessions of this instance.
    #[serde(default)]
    mark: String,
    /// Ended sessions and when they would have ended anyway.
    #[serde(default)]
    sessions: BTreeMap<String, Seconds>,
}

impl Ended {
    /// What `path` remembers. A broken file ends everything: who had signed out must not be signed in again.
    pub(super) fn open(path: PathBuf) -> Result<Self, AuthError> {
        let kept = match fs::read(&path) {
            Ok(content) => serde_json::from_slice(&content).map_err(|e| e.to_string()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Kept::default()),
            Err(e) => Err(e.to_string()),
        };
        match kept {
            Ok(kept) => Ok(Self { path, kept }),
            Err(e) => {
                tracing::error!("{} is broken, everybody has to sign in again: {e}", path.display());
                let ended = Self { path, kept: Kept::default() }.with_everything()?;
                ended.save()?;
                Ok(ended)
            }
        }
    }

    /// What every session of `instance` is bound to, which has a password of its own or not.
    pub(super) fn marks(&self, instance: &InstanceId, has_own: bool) -> [&[u8]; 2] {
        let own = self.kept.instances.get(instance.as_str()).map_or("", |line| &line.mark);
        let all = if has_own || self.kept.shared.is_empty() { &self.kept.mark } else { &self.kept.shared };
        [all.as_bytes(), own.as_bytes()]
    }

    /// Whether this one session has ended.
    pub(super) fn contains(&self, instance: &InstanceId, id: &SessionId) -> bool {
        let line = self.kept.instances.get(instance.as_str());
        line.is_some_and(|line| !line.sessions.is_empty() && line.sessions.contains_key(&hex::encode(id)))
    }

    /// And one session more. `has_own` says of an instance whether it has a password of its own.
    pub(super) fn with(
        &self,
        instance: &InstanceId,
        id: &SessionId,
        expires: Seconds,
        now: Seconds,
        has_own: impl Fn(&str) -> bool,
    ) -> Result<Self, AuthError> {
        let mut kept = self.kept.clone();
        for line in kept.instances.values_mut() {
            line.sessions.retain(|_, expires| expires.saturating_add(GRACE) > now);
        }
        kept.instances.retain(|_, line| !line.sessions.is_empty() || !line.mark.is_empty());
        let line = kept.instances.entry(instance.to_string()).or_default();
        line.sessions.insert(hex::encode(id), expires);
        if line.sessions.len() > MOST_OF_INSTANCE {
            *line = OfInstance { mark: mark()?, sessions: BTreeMap::new() };
        }
        // Those that have their own are as many as the configuration says.
        let shared = kept.instances.iter().filter(|(name, _)| !has_own(name));
        if shared.map(|(_, line)| line.sessions.len() + 1).sum::<usize>() > MOST {
            kept.shared = mark()?;
            kept.instances.retain(|name, _| has_own(name));
        }
        Ok(self.of(kept))
    }

    /// And all sessions of `instance`.
    pub(super) fn with_instance(&self, instance: &InstanceId) -> Result<Self, AuthError> {
        let mut kept = self.kept.clone();
        kept.instances.insert(instance.to_string(), OfInstance { mark: mark()?, sessions: BTreeMap::new() });
        Ok(self.of(kept))
    }

    /// And all sessions there are.
    pub(super) fn with_everything(&self) -> Result<Self, AuthError> {
        Ok(self.of(Kept { mark: mark()?, ..Kept::default() }))
    }

    /// Blocks until it is on the disk.
    pub(super) fn save(&self) -> Result<(), AuthError> {
        let content = serde_json::to_vec(&self.kept).unwrap_or_default();
        sys::write_atomic(&self.path, &content).map_err(|source| AuthError::File { path: self.path.clone(), source })
    }

    fn of(&self, kept: Kept) -> Self {
        Self { path: self.path.clone(), kept }
    }

    /// As many names as there may be, with one session each.
    #[cfg(test)]
    pub(super) fn fill(&mut self, name: impl Fn(usize) -> String) {
        let line = OfInstance { mark: String::new(), sessions: BTreeMap::from([(String::new(), Seconds::MAX)]) };
        self.kept.instances.extend((0..MOST / 2).map(|n| (name(n), line.clone())));
    }
}

fn mark() -> Result<String, AuthError> {
    random::<16>().map(hex::encode)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn id(n: usize) -> SessionId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&n.to_be_bytes());
        id
    }

    #[test]
    fn one_by_one_and_over_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ended.json");
        let (alice, bob) = ("alice".parse().unwrap(), "bob".parse().unwrap());
        let mut ended = Ended::open(path.clone()).unwrap();
        let before = ended.marks(&alice, false).map(<[u8]>::to_vec);
        ended = ended.with(&alice, &id(1), 1000, 10, |_| false).unwrap();
        ended.save().unwrap();
        for ended in [&ended, &Ended::open(path).unwrap()] {
            assert!(ended.contains(&alice, &id(1)) && !ended.contains(&alice, &id(2)) && !ended.contains(&bob, &id(1)));
            assert_eq!(ended.marks(&alice, false).map(<[u8]>::to_vec), before, "the others go on");
        }
        // Remembered past its end, but not for ever.
        ended = ended.with(&bob, &id(2), 5000, 1000 + GRACE - 1, |_| false).unwrap();
        assert!(ended.contains(&alice, &id(1)));
        ended = ended.with(&bob, &id(3), 5000, 1000 + GRACE, |_| false).unwrap();
        assert!(!ended.contains(&alice, &id(1)) && ended.contains(&bob, &id(2)));
    }

    #[test]
    fn all_of_one_and_all() {
        let dir = tempfile::tempdir().unwrap();
        let (alice, bob) = ("alice".parse().unwrap(), "bob".parse().unwrap());
        let mut ended = Ended::open(dir.path().join("ended.json")).unwrap();
        let marks = |ended: &Ended| [&alice, &bob].map(|id| ended.marks(id, false).concat());
        let first = marks(&ended);
        ended = ended.with_instance(&alice).unwrap();
        let second = marks(&ended);
        assert!(second[0] != first[0] && second[1] == first[1]);
        ended = ended.with_everything().unwrap();
        let third = marks(&ended);
        assert!(third[0] != second[0] && third[0] != first[0] && third[1] != second[1]);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let alice = "alice".parse().unwrap();
        let mut ended = Ended::open(dir.path().join("ended.json")).unwrap();
        let many = (0..MOST_OF_INSTANCE).map(|n| (hex::encode(id(n)), 1_000_000)).collect();
        ended.kept.instances.insert("alice".into(), OfInstance { mark: String::new(), sessions: many });
        let before = ended.marks(&alice, false).concat();
        ended = ended.with(&alice, &id(MOST_OF_INSTANCE + 1), 1_000_000, 10, |_| false).unwrap();
        assert_ne!(ended.marks(&alice, false).concat(), before, "they all end together");
        assert!(ended.kept.instances["alice"].sessions.is_empty());
    }

    #[test]
    fn a_broken_file_ends_everything() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ended.json");
        fs::write(&path, "{\"mark\":\"x\",\"inst").unwrap();
        let alice = "alice".parse().unwrap();
        let mark = Ended::open(path.clone()).unwrap().marks(&alice, false).concat();
        assert_eq!(mark.len(), 32);
        assert_eq!(Ended::open(path).unwrap().marks(&alice, false).concat(), mark);
    }
}
