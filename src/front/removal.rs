//! Forgets instances that nobody has used for as long as `[instances] remove_after` says. What they have stays where it is, and who opens
//! one has it back.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{MissedTickBehavior, interval};

use super::app::App;
use super::disks::moment;
use crate::launch::Known;
use crate::model::InstanceId;
use crate::telemetry::metrics;

/// How often is looked. What is said of the future is right to this.
const LOOK: Duration = Duration::from_secs(3600);

/// When `id` is going to be removed, unless somebody uses it before.
pub(super) fn when(app: &App, id: &InstanceId, now: SystemTime) -> Option<SystemTime> {
    let after = app.live().config.instances.idle.remove_after?;
    if app.store.is_removed(id) || !app.instances.may_be_removed(id) {
        return None;
    }
    app.removals.when(Some(after), app.store.last_used(id), now)
}

/// Looks for ever.
pub(super) async fn run(app: Arc<App>) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if app.live().config.instances.idle.remove_after.is_none() {
            // Also to take down since when it was in force.
            app.removals.when(None, None, SystemTime::now());
            continue;
        }
        match app.instances.inventory().await {
            Ok(all) => {
                let app = Arc::clone(&app);
                // Aside: a file or two of each.
                let looking = tokio::task::spawn_blocking(move || all.iter().for_each(|known| look(&app, known)));
                if looking.await.is_err() {
                    return;
                }
            }
            Err(e) => tracing::debug!("cannot look for what nobody uses: {e}"),
        }
    }
}

fn look(app: &App, Known { id, .. }: &Known) {
    let (now, life) = (SystemTime::now(), app.store.life(id));
    if when(app, id, now).is_none_or(|when| when > now) {
        return;
    }
    let files = app.instances.files(id);
    let last_used = app.store.last_used(id).and_then(moment).unwrap_or_default();
    match app.store.set_removed(id, life, now) {
        Ok(()) => {
            metrics().removed();
            tracing::warn!(
                instance = %id, last_used, files = %files.display(),
                "instance {id} removed: last used {last_used}. Its files stay in {}; whoever opens it has it back", files.display()
            );
        }
        Err(e) => tracing::warn!(instance = %id, "not removed: {e}"),
    }
}
