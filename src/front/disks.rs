//! What instances take on the disk: counted in the background, one after the other, and told as it was counted last.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use super::app::App;
use crate::instances::Disks;
use crate::model::{DiskUse, InstanceId};

/// How often is looked whose turn it is.
const LOOK: Duration = Duration::from_secs(2);

/// How long one count may take; longer than its own limit.
const DEADLINE: Duration = Duration::from_secs(40);

/// The room that an instance's files take.
#[derive(Serialize)]
pub(super) struct Shown {
    pub(super) bytes: u64,
    complete: bool,
    /// When it was counted (RFC 3339).
    measured: Option<String>,
}

/// What is known of `id`, also while it does not run.
pub(super) fn shown(app: &App, id: &InstanceId) -> Option<Shown> {
    let (DiskUse { bytes, complete }, counted) = app.store.disk(id)?;
    Some(Shown { bytes, complete, measured: moment(counted) })
}

/// A time as answers have it (RFC 3339, to the second).
pub(super) fn moment(time: SystemTime) -> Option<String> {
    Some(jiff::Timestamp::try_from(time).ok()?.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Counts for ever.
pub(super) async fn run(app: Arc<App>) {
    let mut disks = Disks::new(app.store.clone());
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let clocks = app.instances.idle_clocks();
        let looking = tokio::task::spawn_blocking(move || {
            let next = disks.next(&clocks, SystemTime::now());
            (disks, next)
        });
        // Only a panic ends it; the loop that spawned us ends the process then.
        let Ok((kept, next)) = looking.await else { return };
        disks = kept;
        if let Some(id) = next {
            count(&app, id).await;
        }
    }
}

async fn count(app: &App, id: InstanceId) {
    // One that stands still answers nothing, and writes nothing.
    if app.instances.status(&id).0.frozen {
        return;
    }
    let life = app.store.life(&id);
    let Some((run, connector)) = app.instances.reach(&id) else { return };
    let counted = tokio::time::timeout(DEADLINE, connector.disk()).await;
    let disk = match counted.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())) {
        Ok(disk) => disk,
        Err(e) => return tracing::debug!(instance = %id, "cannot tell what it takes on the disk: {e}"),
    };
    // One that was removed meanwhile is not remembered anew.
    if app.instances.reach(&id).is_none_or(|(now, _)| now != run) {
        return;
    }
    let store = app.store.clone();
    let writing = tokio::task::spawn_blocking(move || {
        store.set_disk(&id, life, &disk).unwrap_or_else(|e| tracing::warn!(instance = %id, "{e}"));
    });
    drop(writing.await);
}
