//! Which instances the operator has stopped: they stay so until somebody starts them on purpose, also when the daemon is restarted
//! meanwhile, and its records of them with it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::instance::Instance;
use super::machine::Event;
use super::registry::Instances;
use crate::model::{InstanceId, InstanceState};
use crate::sys;

/// The names, and the file that they are in as JSON; none until one is named, as in tests.
#[derive(Debug, Default)]
pub(super) struct Held(Mutex<(BTreeSet<InstanceId>, Option<PathBuf>)>);

impl Held {
    fn open(&self, path: PathBuf) -> BTreeSet<InstanceId> {
        let ids: BTreeSet<InstanceId> = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|e| {
                tracing::error!("{} cannot be read ({e}): what the operator has stopped can be started again", path.display());
                BTreeSet::new()
            }),
            // The first time.
            Err(_) => BTreeSet::new(),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (ids.clone(), Some(path));
        ids
    }

    fn has(&self, id: &InstanceId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.contains(id)
    }

    /// Notes that `id` is held, or is not any more. Blocks on the disk, when that changes something.
    pub(super) fn set(&self, id: &InstanceId, held: bool) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = if held { now.0.insert(id.clone()) } else { now.0.remove(id) };
        if !changed {
            return;
        }
        let Some(path) = &now.1 else { return };
        let written = serde_json::to_vec(&now.0).map_err(std::io::Error::from).and_then(|text| sys::write_atomic(path, &text));
        if let Err(e) = written {
            // It holds all the same, for as long as this daemon runs.
            tracing::error!(instance = %id, "{} cannot be written: {e}", path.display());
        }
    }
}

impl Instances {
    /// Keeps the names of held ones in the file `path` from now on, and holds those that an earlier daemon has left there.
    pub fn keep_held_at(&self, path: PathBuf) {
        for id in self.0.held.open(path) {
            self.hold_if_noted(&self.instance(&id));
        }
    }

    /// Holds an instance that is noted as held. To be called of each that is taken over, whenever that is: the launcher knows nothing of
    /// it, and what comes from there takes the place of what was held before.
    pub(super) fn hold_if_noted(&self, instance: &Arc<Instance>) {
        if !self.0.held.has(&instance.id) {
            return;
        }
        if instance.status().state == InstanceState::Running {
            let (instances, instance) = (self.clone(), Arc::clone(instance));
            self.0.tasks.spawn(async move { instances.stop_by(&instance, Event::HoldWanted).await });
        } else {
            instance.tell(Event::HoldWanted);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_until_they_are_lifted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("held.json");
        let id = |text: &str| text.parse::<InstanceId>().unwrap();
        let held = Held::default();
        assert!(held.open(path.clone()).is_empty());
        held.set(&id("alice"), true);
        held.set(&id("bob"), true);
        held.set(&id("alice"), false);
        assert_eq!(Held::default().open(path.clone()), [id("bob")].into());
        std::fs::write(&path, "{").unwrap();
        assert!(Held::default().open(path).is_empty());
    }
}
