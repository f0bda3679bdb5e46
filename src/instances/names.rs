//! Names of which something is remembered. A password that opens every name opens as many as somebody makes up.

use std::fs;
use std::io;
use std::path::Path;

use super::error::{NeverStarted, StoreError};
use super::store::LAST_USED;
use crate::model::InstanceId;

/// The most instances that were never started of which something is remembered. Those that were have cost a place among the running ones.
const MOST_NEVER_STARTED: usize = 256;

/// Whether something may be remembered of `id` below `dir`: of an instance of which there is something already, or while there is room.
///
/// # Errors
/// When there is none.
pub(super) fn admit(dir: &Path, id: &InstanceId) -> Result<(), StoreError> {
    let own = dir.join(id.as_str());
    if own.is_dir() {
        return Ok(());
    }
    let all = fs::read_dir(dir).into_iter().flatten().flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let never_started = all.filter(|entry| !entry.path().join(LAST_USED).exists());
    // Two who come at the same moment may both find the last place: it is a bound, not a count.
    if never_started.take(MOST_NEVER_STARTED).count() == MOST_NEVER_STARTED {
        return Err(StoreError { action: "make", path: own, source: io::Error::other(NeverStarted) });
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::instances::{LastOpened, Sender, StateStore, Update};

    #[tokio::test]
    async fn made_up_names_leave_no_more_than_so_many_directories() {
        let dir = tempfile::tempdir().unwrap();
        let store = StateStore::open(dir.path().join("state")).unwrap();
        let id = |name: &str| name.parse::<InstanceId>().unwrap();
        let key = |name: &str| store.mint_key(&id(name), store.life(&id(name)));
        let used = |name: &str| store.set_last_used(&id(name), store.life(&id(name)), SystemTime::now()).unwrap();
        let alice = key("alice").unwrap();
        used("alice");
        for n in 0..MOST_NEVER_STARTED {
            key(&format!("made-up-{n}")).unwrap();
        }
        assert!(key("bob").unwrap_err().is_of_a_name_too_many());
        let opened = LastOpened { folder: Some("/a".into()), workspace: None };
        assert!(store.set_last_opened(&id("bob"), store.life(&id("bob")), &opened).is_err());
        let change = async |name: &str| {
            let changes = [("k".to_owned(), Some("v".to_owned()))].into();
            let (turn, life) = (store.roaming().turn(&id(name)).await, store.life(&id(name)));
            let sender = Sender { page: "p".into(), sequence: 1 };
            store.roaming().update(&id(name), turn, life, "global".into(), sender, Update { changes, ..Update::default() }).await
        };
        assert!(change("bob").await.is_err());
        assert_eq!(fs::read_dir(dir.path().join("state")).unwrap().count(), MOST_NEVER_STARTED + 1);
        // Those that there are go on, and so do those that are started.
        assert_eq!((key("alice").unwrap(), key("made-up-7").is_ok(), change("made-up-7").await.is_ok()), (alice, true, true));
        used("bob");
        key("bob").unwrap();
        change("bob").await.unwrap();
        store.forget(&id("made-up-7")).unwrap();
        key("carol").unwrap();
        assert!(key("dave").is_err());
    }
}
