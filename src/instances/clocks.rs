//! Since when each running instance has been unused, on disk, so that a daemon that comes back goes on counting.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::model::InstanceId;
use crate::sys;

/// The clocks' file.
pub struct IdleClocks {
    path: PathBuf,
    written: Option<Clocks>,
}

/// Seconds of the epoch; none while somebody uses it.
type Clocks = BTreeMap<InstanceId, Option<u64>>;

impl IdleClocks {
    /// The clocks kept at `path`.
    pub fn new(path: PathBuf) -> Self {
        Self { path, written: None }
    }

    /// How long `id` has been unused at `now`, as far as an earlier daemon has written it down. One that was in use, or that
    /// nothing is known of, begins anew: stopping it too late is better than too early.
    pub fn read(&self, now: SystemTime) -> impl Fn(&InstanceId) -> Duration + use<> {
        let clocks: Clocks = std::fs::read(&self.path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        move |id| {
            let since = clocks.get(id).copied().flatten().and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
            since.and_then(|since| now.duration_since(since).ok()).unwrap_or_default()
        }
    }

    /// Writes the clocks down when they have changed. Blocks on the disk.
    ///
    /// # Errors
    /// When the disk is full; the next call tries again.
    pub fn write(&mut self, clocks: BTreeMap<InstanceId, Option<SystemTime>>) -> io::Result<()> {
        let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).map(|since| since.as_secs()).ok();
        let clocks: Clocks = clocks.into_iter().map(|(id, since)| (id, since.and_then(seconds))).collect();
        if self.written.as_ref() == Some(&clocks) {
            return Ok(());
        }
        sys::write_atomic(&self.path, &serde_json::to_vec(&clocks)?)?;
        self.written = Some(clocks);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_time_goes_on_and_a_use_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("idle.json");
        let id = |text: &str| text.parse::<InstanceId>().unwrap();
        let then = UNIX_EPOCH + Duration::from_secs(1_000_000);
        IdleClocks::new(path.clone()).write([(id("idle"), Some(then)), (id("used"), None)].into()).unwrap();
        let idle = IdleClocks::new(path.clone()).read(then + Duration::from_secs(90));
        assert_eq!(idle(&id("idle")), Duration::from_secs(90));
        assert_eq!((idle(&id("used")), idle(&id("other"))), (Duration::ZERO, Duration::ZERO));
        // A clock that was set back, and a file that is no use.
        assert_eq!(IdleClocks::new(path.clone()).read(UNIX_EPOCH)(&id("idle")), Duration::ZERO);
        std::fs::write(&path, "{").unwrap();
        assert_eq!(IdleClocks::new(path).read(then)(&id("idle")), Duration::ZERO);
    }
}
