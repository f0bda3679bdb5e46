//! When an instance that nobody has used for long is forgotten: out of the operator's list, with all that it has kept. Off unless the
//! operator asks for it, and announced before it happens.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::sys;

/// How long the setting has been in force at least before it takes its first: who lists instances meanwhile sees what is coming.
const NOTICE: Duration = Duration::from_secs(24 * 3600);

/// The setting, and since when it is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct InForce {
    after_seconds: u64,
    /// Seconds of the epoch.
    since: u64,
}

/// Since when instances are removed after how long, on disk.
#[derive(Debug)]
pub struct Removals {
    path: PathBuf,
    /// As it is on disk; none until it was read.
    known: Mutex<Option<Option<InForce>>>,
}

impl Removals {
    /// What is kept at `path`.
    pub fn new(path: PathBuf) -> Self {
        Self { path, known: Mutex::default() }
    }

    /// When one that was used last at `last_used` goes, if nobody uses it before; `after` is the setting. None when it stays:
    /// nothing is ever removed, or nobody knows when it was used. Blocks on the disk when the setting has changed.
    pub fn when(&self, after: Option<Duration>, last_used: Option<SystemTime>, now: SystemTime) -> Option<SystemTime> {
        let in_force = self.in_force(after, now)?;
        due(in_force, last_used?)
    }

    fn in_force(&self, after: Option<Duration>, now: SystemTime) -> Option<InForce> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let stored = *known.get_or_insert_with(|| serde_json::from_slice(&std::fs::read(&self.path).ok()?).ok());
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let wanted = after.map(|after| after.as_secs());
        // A time to come is that of a clock that was set back.
        if stored.map(|stored| stored.after_seconds) == wanted && stored.is_none_or(|stored| stored.since <= now) {
            return stored;
        }
        let new = wanted.map(|after_seconds| InForce { after_seconds, since: now });
        let written = match &new {
            Some(new) => serde_json::to_vec(new).map_err(std::io::Error::from).and_then(|text| sys::write_atomic(&self.path, &text)),
            None => std::fs::remove_file(&self.path),
        };
        if let Err(e) = written {
            // The notice begins anew with the next daemon: later is better than too early.
            tracing::warn!("{} cannot be written: {e}", self.path.display());
        }
        *known = Some(new);
        new
    }
}

fn due(in_force: InForce, last_used: SystemTime) -> Option<SystemTime> {
    let unused = last_used.checked_add(Duration::from_secs(in_force.after_seconds))?;
    let announced = UNIX_EPOCH.checked_add(Duration::from_secs(in_force.since))?.checked_add(NOTICE)?;
    Some(unused.max(announced))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3600;

    fn day(days: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(20_000 * DAY + days * DAY)
    }

    #[test]
    fn what_was_not_used_for_long_goes_and_not_before_a_days_notice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("remove-after.json");
        let removals = Removals::new(path.clone());
        let month = Some(Duration::from_secs(30 * DAY));
        assert_eq!(removals.when(None, Some(day(0)), day(100)), None);
        assert!(!path.exists(), "off is nothing to remember");
        assert_eq!(removals.when(month, None, day(100)), None, "nobody knows when it was used");
        assert_eq!(removals.when(month, Some(day(90)), day(100)), Some(day(120)));
        assert_eq!(removals.when(month, Some(day(0)), day(100)), Some(day(101)), "not on the day on which it was turned on");
        // Another daemon, later.
        let removals = Removals::new(path.clone());
        assert_eq!(removals.when(month, Some(day(0)), day(102)), Some(day(101)));
        let week = Some(Duration::from_secs(7 * DAY));
        assert_eq!(removals.when(week, Some(day(90)), day(102)), Some(day(103)), "a shorter time is news");
        assert_eq!(removals.when(None, Some(day(0)), day(102)), None);
        assert_eq!(removals.when(week, Some(day(0)), day(110)), Some(day(111)), "off for a while, it is news again");
        assert_eq!(removals.when(week, Some(day(0)), day(50)), Some(day(51)), "a clock that was set back");
        std::fs::write(&path, "{").unwrap();
        assert_eq!(Removals::new(path).when(week, Some(day(0)), day(120)), Some(day(121)));
    }
}
