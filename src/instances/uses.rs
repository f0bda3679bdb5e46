//! When each instance was used last, on disk, for operators who wonder who still comes.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use super::roaming::Life;
use super::store::StateStore;
use crate::model::InstanceId;

/// How exact it is for an instance that is in use all the time: not worth a write every few seconds.
const COARSE: Duration = Duration::from_secs(60);

/// What was written of those that run.
pub struct Uses {
    store: StateStore,
    written: HashMap<InstanceId, SystemTime>,
}

impl Uses {
    /// Uses that are remembered in `store`.
    pub fn new(store: StateStore) -> Self {
        Self { store, written: HashMap::new() }
    }

    /// Writes down what has changed: `clocks` says of those that run since when they are unused, none of those that are in use; and in
    /// which life that was. Blocks on the disk.
    pub fn write(&mut self, clocks: &BTreeMap<InstanceId, (Option<SystemTime>, Life)>, now: SystemTime) {
        self.written.retain(|id, _| clocks.contains_key(id));
        for (id, (since, life)) in clocks {
            let (used, least) = since.map_or((now, COARSE), |since| (since, Duration::from_secs(1)));
            let is_news = self.written.get(id).is_none_or(|written| used.duration_since(*written).is_ok_and(|newer| newer >= least));
            if !is_news {
                continue;
            }
            match self.store.set_last_used(id, *life, used) {
                Ok(()) => drop(self.written.insert(id.clone(), used)),
                Err(e) => tracing::warn!(instance = %id, "{e}"),
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_last_use_stays_when_it_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let store = StateStore::open(dir.path().join("state")).unwrap();
        let mut uses = Uses::new(store.clone());
        let alice: InstanceId = "alice".parse().unwrap();
        let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds);
        let mut look = |since: Option<SystemTime>, now| {
            uses.write(&[(alice.clone(), (since, store.life(&alice)))].into(), now);
            store.last_used(&alice)
        };
        assert_eq!(look(None, at(0)), Some(at(0)));
        assert_eq!(look(None, at(5)), Some(at(0)), "coarse while it goes on");
        assert_eq!(look(None, at(61)), Some(at(61)));
        assert_eq!(look(Some(at(63)), at(65)), Some(at(63)), "exact when it is over");
        assert_eq!(look(Some(at(63)), at(300)), Some(at(63)));
    }
}
