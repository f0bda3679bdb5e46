//! When the files of each running instance are counted anew. A walk through a home costs more than a look at its processes, and who asks
//! gets what was counted last: nothing is ever counted because somebody asks.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use super::store::StateStore;
use crate::model::InstanceId;

/// How old a count gets while somebody uses the instance.
const OFTEN: Duration = Duration::from_secs(600);

/// How old it gets in any case: a job of a user who has gone writes as well.
const SELDOM: Duration = Duration::from_secs(2 * 3600);

/// When those that run were counted last, or were tried to be.
pub struct Disks {
    store: StateStore,
    tried: HashMap<InstanceId, SystemTime>,
}

impl Disks {
    /// Counts that are kept in `store`.
    pub fn new(store: StateStore) -> Self {
        Self { store, tried: HashMap::new() }
    }

    /// The one whose turn it is, as if it had been counted. `clocks` says of those that run since when they are unused, none of
    /// those that are in use. Blocks on the disk.
    pub fn next(&mut self, clocks: &BTreeMap<InstanceId, Option<SystemTime>>, now: SystemTime) -> Option<InstanceId> {
        self.tried.retain(|id, _| clocks.contains_key(id));
        for id in clocks.keys() {
            if !self.tried.contains_key(id)
                && let Some((_, counted)) = self.store.disk(id)
            {
                self.tried.insert(id.clone(), counted);
            }
        }
        let due = clocks.iter().filter(|(id, since)| is_due(self.tried.get(*id).copied(), **since, now));
        let id = due.map(|(id, _)| id).min_by_key(|id| self.tried.get(*id))?.clone();
        self.tried.insert(id.clone(), now);
        Some(id)
    }
}

/// `unused`: since when, none for one that is in use.
fn is_due(counted: Option<SystemTime>, unused: Option<SystemTime>, now: SystemTime) -> bool {
    let Some(counted) = counted else { return true };
    // From the future: the clock was set back.
    let Ok(age) = now.duration_since(counted) else { return true };
    age >= SELDOM || (age >= OFTEN && unused.is_none_or(|since| since >= counted))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::DiskUse;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
    }

    #[test]
    fn what_is_used_is_counted_often_and_the_rest_seldom() {
        assert!(is_due(None, None, at(0)));
        assert!(!is_due(Some(at(0)), None, at(599)) && is_due(Some(at(0)), None, at(600)));
        let unused = Some(at(100));
        assert!(!is_due(Some(at(200)), unused, at(7000)), "nobody has used it since");
        assert!(is_due(Some(at(0)), unused, at(600)) && is_due(Some(at(200)), unused, at(7400)));
        assert!(is_due(Some(at(9000)), unused, at(0)), "a clock that was set back");
    }

    #[test]
    fn each_has_its_turn_and_a_new_daemon_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let store = StateStore::open(dir.path().join("state")).unwrap();
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|id| id.parse::<InstanceId>().unwrap());
        let clocks = [(alice.clone(), None), (bob.clone(), None), (carol.clone(), None)].into();
        let disk = DiskUse { bytes: 7, complete: true };
        store.set_disk(&bob, store.life(&bob), &disk).unwrap();
        let (known, counted) = store.disk(&bob).unwrap();
        assert_eq!(known, disk);
        let later = counted + Duration::from_secs(60);
        let mut disks = Disks::new(store);
        assert_eq!([0, 1, 2].map(|_| disks.next(&clocks, later)), [Some(alice.clone()), Some(carol.clone()), None]);
        let later = later + OFTEN;
        assert_eq!([0, 1].map(|_| disks.next(&clocks, later)), [Some(bob), Some(alice.clone())], "the oldest first");
        let left = [(alice, None)].into();
        assert_eq!(disks.next(&left, later), None);
        assert_eq!(disks.tried.len(), 1, "who does not run is forgotten");
    }
}
