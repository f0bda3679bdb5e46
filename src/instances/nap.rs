//! One that nobody uses and that stays because something of its user's runs. It has less of the processors and disks when others want
//! them, and its processes stand still where its class says so. Whoever comes for it has it as it was.

use std::sync::Arc;
use std::time::Duration;

use super::instance::{Cell, Instance};
use super::registry::Shared;
use crate::launch::LaunchError;
use crate::model::InstanceId;

/// How long whoever comes waits for processes that stood still: systemd takes some milliseconds for it.
const THAW: Duration = Duration::from_secs(10);

/// The first and the longest time between two tries to have one back as it was.
const AGAIN: Duration = Duration::from_millis(200);
const AGAIN_AT_MOST: Duration = Duration::from_secs(10);

/// How far an instance has been set back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Nap {
    /// It has all that it may have.
    #[default]
    Awake,
    /// It has less than others when processors or disks are short; or may have, of what an earlier daemon has left.
    Drowsy,
    /// Its processes stand still, too.
    Frozen,
}

impl Shared {
    /// Whether `id` is one whose processes may stand still.
    pub(super) fn freezes(&self, id: &InstanceId) -> bool {
        self.settings().unused(id).freeze && self.launcher.freezes()
    }

    /// Sets one back that nobody uses, unless somebody comes for it, and has `bytes` of its memory pushed out.
    pub(super) async fn rest(self: &Arc<Self>, instance: &Arc<Instance>, bytes: u64, freeze: bool) {
        let rested = {
            // Whoever wants it awake waits for this, so nothing under it may wait for long: the broker refuses what it cannot do at once.
            let _turn = instance.turn.lock().await;
            if !begin_nap(instance, Nap::Drowsy) {
                return;
            }
            match self.launcher.lower(&instance.id).await {
                // It is said to stand still only now, because whoever comes waits until it does not.
                Ok(()) if freeze && begin_nap(instance, Nap::Frozen) => self.launcher.freeze(&instance.id).await,
                Ok(()) if freeze => return,
                lowered => lowered,
            }
        };
        if let Err(e) = rested {
            match e {
                LaunchError::Conflict(_) => tracing::info!(instance = %instance.id, "an unused instance is not set back yet: {e}"),
                e => tracing::warn!(instance = %instance.id, "an unused instance is not set back: {e}"),
            }
            return self.wake(instance, &mut instance.cell());
        }
        if freeze {
            tracing::info!(instance = %instance.id, "instance unused, and something of the user's keeps it: frozen");
        }
        if let Err(e) = self.launcher.trim(&instance.id, bytes).await {
            tracing::debug!(instance = %instance.id, "not trimmed: {e}");
        }
    }

    /// Sees to it that it is as it was, in the background, until that has worked.
    pub(super) fn wake(self: &Arc<Self>, instance: &Arc<Instance>, cell: &mut Cell) {
        if cell.nap == Nap::Awake || cell.waking {
            return;
        }
        cell.waking = true;
        let (shared, instance) = (Arc::clone(self), Arc::clone(instance));
        self.tasks.spawn(async move {
            let mut pause = AGAIN;
            while !shared.wake_now(&instance).await {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(AGAIN_AT_MOST);
            }
        });
    }

    /// False when that did not work.
    async fn wake_now(&self, instance: &Instance) -> bool {
        let _turn = instance.turn.lock().await;
        let id = &instance.id;
        let nap = instance.cell().nap;
        let failed = |e| tracing::warn!(instance = %id, "an instance is not given back what it had: {e}");
        if nap == Nap::Frozen {
            if self.launcher.thaw(id).await.map_err(failed).is_err() {
                return false;
            }
            let mut cell = instance.cell();
            // Its run may have ended meanwhile, and the next one has all that it may have.
            if cell.nap == Nap::Frozen {
                cell.nap = Nap::Drowsy;
                instance.publish(&cell, Vec::new());
            }
        }
        if instance.cell().nap == Nap::Drowsy && self.launcher.raise(id).await.map_err(failed).is_err() {
            return false;
        }
        let mut cell = instance.cell();
        cell.nap = Nap::Awake;
        cell.waking = false;
        // Nobody looks at one that stands still. It does not any more, and may be unused.
        instance.list(&mut cell);
        true
    }
}

/// Notes that it is set back so far, unless somebody has come for it or it is set back farther. Under the lock, and before it is done:
/// whoever comes from now on sees to it that it is undone.
fn begin_nap(instance: &Instance, nap: Nap) -> bool {
    let mut cell = instance.cell();
    if !cell.machine.is_idle() || cell.waking || cell.nap > nap {
        return false;
    }
    cell.nap = nap;
    instance.publish(&cell, Vec::new());
    true
}

impl Instance {
    /// Comes back when its processes do not stand still, at once nearly always; false when they still do after a while.
    pub(super) async fn thawed(&self) -> bool {
        if self.peek(|status| !status.frozen) {
            return true;
        }
        let mut follow = self.follow();
        let thawed = follow.wait_for(|status| !status.frozen);
        matches!(tokio::time::timeout(THAW, thawed).await, Ok(Ok(_)))
    }
}
