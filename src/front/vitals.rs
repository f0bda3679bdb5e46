//! What the process uses and how its disk does, found out aside and kept for a moment: anybody may ask for it, as often as he likes.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::app::App;
use crate::engine::Engine;
use crate::sys;

/// Below this much room on the data disk, editors begin to fail in strange ways: settings, logs and backups no longer fit.
const LEAST_DISK: u64 = 64 << 20;

/// How long what was found out is taken for what is.
const FRESH: Duration = Duration::from_secs(1);

/// How long the disk may take to say something. One that hangs is out of order.
const DISK_PATIENCE: Duration = Duration::from_secs(3);

/// What takes system calls, and a disk, to find out.
#[derive(Clone)]
pub(super) struct Found {
    /// What the process uses.
    pub(super) used: sys::Resources,
    /// Bytes that still fit where instances' state is kept.
    pub(super) free: Option<u64>,
    /// What is wrong, in the words of health.
    pub(super) reasons: Vec<&'static str>,
}

/// The last look at what the process uses and at what its disk does.
pub(super) struct Vitals {
    last: Mutex<Option<(Instant, Found)>>,
    /// One look at a time, held by the look: a disk that hangs takes one thread, however many ask.
    turn: Arc<Semaphore>,
}

impl Default for Vitals {
    fn default() -> Self {
        Self { last: Mutex::default(), turn: Arc::new(Semaphore::new(1)) }
    }
}

impl Vitals {
    fn fresh(&self) -> Option<Found> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(at, _)| at.elapsed() < FRESH).map(|(_, found)| found.clone())
    }

    /// What there is, and what is wrong with it.
    pub(super) async fn look(&self, app: &App) -> Found {
        if let Some(found) = self.fresh() {
            return found;
        }
        let looking = async {
            let turn = Arc::clone(&self.turn).acquire_owned().await.ok()?;
            if let Some(found) = self.fresh() {
                return Some(found);
            }
            let (engine, data_dir) = (app.engine.clone(), app.live().config.server.data_dir.clone());
            let found = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                look(&engine, &data_dir)
            });
            let found = found.await.ok()?;
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), found.clone()));
            Some(found)
        };
        let found = tokio::time::timeout(DISK_PATIENCE, looking).await.ok().flatten();
        found.unwrap_or_else(|| Found { used: sys::Resources::unknown(), free: None, reasons: vec!["data_dir_not_writable"] })
    }
}

fn look(engine: &Engine, data_dir: &Path) -> Found {
    let (used, mut reasons) = match sys::resources() {
        Ok(used) => (used, Vec::new()),
        Err(_) => (sys::Resources::unknown(), vec!["resources_unreadable"]),
    };
    if !engine.node().is_file() || !engine.root().is_dir() {
        reasons.push("engine_missing");
    }
    let free = sys::free_disk(data_dir).ok();
    match free {
        Some(free) if free < LEAST_DISK => reasons.push("disk_full"),
        Some(_) => {}
        None => reasons.push("data_dir_missing"),
    }
    // Without a name: nothing of it is left, whatever happens.
    if tempfile::tempfile_in(data_dir).is_err() {
        reasons.push("data_dir_not_writable");
    }
    if used.fds.saturating_mul(10) > used.fd_limit.saturating_mul(9) {
        reasons.push("descriptors_exhausted");
    }
    Found { used, free, reasons }
}
