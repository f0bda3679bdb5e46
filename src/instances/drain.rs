//! A host that is being emptied: nothing new starts on it, what runs goes on until nobody uses it, or until a time is up.
//!
//! It is on disk, so that a daemon that comes back in the middle of it goes on with it. Who asks: the operator, by the control socket.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::instance::Instance;
use super::machine::Event;
use super::registry::Instances;
use crate::model::InstanceState;
use crate::sys;

/// How long an instance has been unused when it is stopped, if the operator does not say.
pub const DRAIN_IDLE: Duration = Duration::from_secs(600);

/// The most bytes read of the record.
const MAX_FILE: u64 = 4096;

/// What the operator has asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// Since when, in seconds of the epoch.
    pub since: u64,
    /// When everything that still runs is stopped, in seconds of the epoch; none: never.
    pub until: Option<u64>,
    /// How long an instance has been unused when it is stopped, in seconds.
    pub idle_seconds: u64,
}

impl Drain {
    /// One that begins at `now`; `deadline` counts from there.
    pub fn begin(now: SystemTime, deadline: Option<Duration>, idle: Duration) -> Self {
        let since = epoch(now);
        Self { since, until: deadline.map(|deadline| since.saturating_add(deadline.as_secs())), idle_seconds: idle.as_secs() }
    }

    /// Whether what runs is stopped at `now`, however it is used.
    fn is_over(&self, now: SystemTime) -> bool {
        self.until.is_some_and(|until| epoch(now) >= until)
    }

    /// Whether an instance is stopped that nobody has used for `unused`; none while somebody does.
    fn is_idle(&self, unused: Option<Duration>) -> bool {
        unused.is_some_and(|unused| unused.as_secs() >= self.idle_seconds)
    }
}

fn epoch(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The drain in force, and its record.
#[derive(Debug, Default)]
pub(super) struct DrainState {
    now: Mutex<(Option<Drain>, Option<PathBuf>)>,
}

impl DrainState {
    fn get(&self) -> Option<Drain> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    pub(super) fn is_on(&self) -> bool {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).0.is_some()
    }

    fn open(&self, path: PathBuf) {
        let drain = match read(&path) {
            Ok(drain) => Some(drain),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => {
                // Somebody meant it: a host that takes nobody in is noticed, and one that fills up again under its operator's hands is worse.
                tracing::error!("{} cannot be read ({e}): the host is drained until somebody ends that", path.display());
                Some(Drain::begin(SystemTime::now(), None, DRAIN_IDLE))
            }
        };
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = (drain, Some(path));
    }

    fn set(&self, drain: Option<Drain>) -> io::Result<()> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &now.1 {
            match &drain {
                Some(drain) => sys::write_atomic(path, &serde_json::to_vec(drain)?)?,
                None => match fs::remove_file(path) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                    _ => {}
                },
            }
        }
        now.0 = drain;
        Ok(())
    }
}

fn read(path: &PathBuf) -> io::Result<Drain> {
    use io::Read;
    let mut text = Vec::new();
    fs::File::open(path)?.take(MAX_FILE).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

impl Instances {
    /// Keeps the drain in the file `path` from now on, and goes on with the one that an earlier daemon has left there.
    pub fn keep_drain_at(&self, path: PathBuf) {
        self.0.drain.open(path);
    }

    /// The drain in force.
    pub fn drain(&self) -> Option<Drain> {
        self.0.drain.get()
    }

    /// Begins a drain, changes the one in force, or ends it.
    ///
    /// # Errors
    /// When that cannot be written down; nothing has changed then.
    pub fn set_drain(&self, drain: Option<Drain>) -> io::Result<()> {
        self.0.drain.set(drain)
    }

    /// Stops what the drain in force wants stopped at `now`. Comes back at once: a stop has its own deadline.
    pub fn go_on_draining(&self, now: SystemTime) {
        let Some(drain) = self.drain() else { return };
        let running = |instance: &&Arc<Instance>| instance.peek(|status| status.state == InstanceState::Running);
        let running: Vec<_> = self.table().values().filter(running).cloned().collect();
        for instance in running {
            let unused = instance.cell().machine.idle_for(Instant::now());
            let stops = if drain.is_over(now) {
                let (instances, instance) = (self.clone(), Arc::clone(&instance));
                tokio::spawn(async move { instances.stop_by(&instance, Event::StopWanted).await });
                true
            } else {
                // Whoever has begun to use it since we looked keeps it: stopped, it would not come back to them.
                drain.is_idle(unused) && self.0.retire(&instance)
            };
            if stops {
                tracing::info!(instance = %instance.id, "stopped: the host is being drained");
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_used_goes_on_until_the_time_is_up() {
        let (hour, minute) = (Duration::from_secs(3600), Duration::from_secs(60));
        let drain = Drain::begin(at(1000), Some(hour), minute);
        assert!(!drain.is_over(at(1000)) && !drain.is_over(at(4599)) && drain.is_over(at(4600)));
        assert!(!drain.is_idle(None) && !drain.is_idle(Some(Duration::from_secs(59))) && drain.is_idle(Some(minute)));
        let patient = Drain::begin(at(1000), None, minute);
        assert!(!patient.is_over(at(1 << 40)));
    }

    #[test]
    fn it_outlives_the_daemon_and_a_broken_record_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("drain.json");
        let opened = || {
            let state = DrainState::default();
            state.open(path.clone());
            state
        };
        assert!(!opened().is_on());
        let drain = Drain::begin(at(1000), Some(DRAIN_IDLE), DRAIN_IDLE);
        opened().set(Some(drain.clone())).unwrap();
        assert_eq!(opened().get(), Some(drain));
        fs::write(&path, "{").unwrap();
        assert!(opened().is_on());
        opened().set(None).unwrap();
        assert!(!opened().is_on() && !path.exists());
        opened().set(None).unwrap();
    }
}
