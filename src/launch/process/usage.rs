//! What instances use, from one look at all processes of the host.

use std::collections::HashMap;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::MARKER;
use crate::engine::processes;
use crate::model::Usage;
use crate::sys::{self, Pid, ProcessTable};

/// For how long a look at who belongs to whom is good: whoever asks for all instances in turn causes one.
const FRESH: Duration = Duration::from_millis(500);

/// Processes by the directory of their instance.
type Groups = HashMap<Vec<u8>, Vec<Pid>>;

/// The processes of all instances.
#[derive(Default)]
pub(super) struct Members {
    last: Mutex<Option<(Instant, Arc<Groups>)>>,
    /// The directories by their tags, of all instances that were ever launched.
    tags: Mutex<HashMap<u64, Vec<u8>>>,
}

impl Members {
    /// The instance in `dir` is about to be launched.
    pub(super) fn note(&self, dir: &Path) {
        let mut tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        tags.insert(tag_of(dir), dir.as_os_str().as_bytes().to_vec());
    }

    /// What the instance in `dir` uses, whose main process is `main`. Blocks on `/proc`.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub(super) fn usage(&self, dir: &Path, main: Option<Pid>) -> io::Result<Usage> {
        let main = main.ok_or(io::ErrorKind::NotFound)?;
        let groups = self.groups()?;
        let members = groups.get(dir.as_os_str().as_bytes()).map(Vec::as_slice).unwrap_or_default();
        let rows = sys::processes(members, processes::DEBUGGED);
        // The engine was given a session of its own.
        Ok(processes::usage(&rows, main.as_raw_nonzero().get()))
    }

    fn groups(&self) -> io::Result<Arc<Groups>> {
        // Held while looking: who comes meanwhile waits for the same look.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, groups)) = &*last
            && at.elapsed() < FRESH
        {
            return Ok(Arc::clone(groups));
        }
        let groups = Arc::new(ProcessTable::read()?.by_mark(MARKER, &self.tags.lock().unwrap_or_else(PoisonError::into_inner)));
        *last = Some((Instant::now(), Arc::clone(&groups)));
        Ok(groups)
    }
}

/// The tag of the processes of the instance in `dir`. Far from any limit that somebody would set by hand.
pub(super) fn tag_of(dir: &Path) -> u64 {
    let digest = Sha256::digest(dir.as_os_str().as_encoded_bytes());
    let number = digest.iter().take(8).fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
    1 << 62 | number >> 2
}
