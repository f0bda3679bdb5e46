//! Which processes are an instance's, and their end.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::MARKER;
use super::usage::tag_of;
use crate::launch::LaunchError;
use crate::sys::{self, Pid, ProcessTable, Signal};

/// How long processes may take to end by themselves after they were asked to.
const GRACE: Duration = Duration::from_secs(2);

/// How often is looked whether they have.
const POLL: Duration = Duration::from_millis(25);

/// How long killed processes may take to be gone. Only a process stuck in the kernel takes longer.
const KILL_DEADLINE: Duration = Duration::from_secs(5);

/// Whose processes are meant.
#[derive(Clone)]
pub(super) enum Belonging {
    /// Those of the instance in this directory, whose main process is, or was, this one.
    Instance(Option<Pid>, PathBuf),
    /// Those of all instances in directories below this one.
    Below(PathBuf),
}

impl Belonging {
    /// Looks, aside: on a busy host this is thousands of small files.
    pub(super) async fn find(&self) -> io::Result<Vec<Pid>> {
        let belonging = self.clone();
        tokio::task::spawn_blocking(move || belonging.find_now()).await.map_err(io::Error::other)?
    }

    fn find_now(&self) -> io::Result<Vec<Pid>> {
        ProcessTable::read().map(|table| self.members(&table))
    }

    pub(super) fn members(&self, table: &ProcessTable) -> Vec<Pid> {
        let (root, dir, tail) = match self {
            Self::Instance(root, dir) => (*root, dir, &b""[..]),
            Self::Below(dir) => (None, dir, &b"/"[..]),
        };
        let tags: HashSet<u64> = match self {
            Self::Instance(_, dir) => [tag_of(dir)].into(),
            Self::Below(dir) => std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| tag_of(&entry.path())).collect(),
        };
        let mark = [MARKER.as_bytes(), b"=", dir.as_os_str().as_encoded_bytes(), tail].concat();
        match self {
            Self::Instance(..) => table.members(root, |line| line == mark, &tags),
            Self::Below(_) => table.members(root, |line| line.starts_with(&mark), &tags),
        }
    }
}

/// Asks all of them to end, waits, kills what is left, and again what those started meanwhile. Not being able to look is no
/// reason to think that there is nothing.
pub(super) async fn end_all(belonging: Belonging) -> Result<(), LaunchError> {
    let first = belonging.find().await;
    if first.as_ref().is_ok_and(Vec::is_empty) {
        return Ok(());
    }
    for pid in first.iter().flatten() {
        // A shell ignores TERM and heeds HUP; for nearly everything else it is the other way round.
        let _ = sys::signal(*pid, Signal::TERM);
        let _ = sys::signal(*pid, Signal::HUP);
        // A stopped process acts on neither until it is continued.
        let _ = sys::signal(*pid, Signal::CONT);
    }
    let asked = Instant::now();
    loop {
        sleep(POLL).await;
        let left = belonging.find().await;
        let kill = asked.elapsed() > GRACE;
        match &left {
            Ok(left) if left.is_empty() => return Ok(()),
            Ok(left) if kill => left.iter().for_each(|pid| drop(sys::signal(*pid, Signal::KILL))),
            Ok(_) | Err(_) => {}
        }
        if asked.elapsed() > GRACE + KILL_DEADLINE {
            return Err(left.map_or_else(LaunchError::Look, |left| LaunchError::Unkillable(left.len())));
        }
    }
}
