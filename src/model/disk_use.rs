//! What the files of an instance take on the disk.

use serde::{Deserialize, Serialize};

/// Room that files take, as it was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskUse {
    /// Bytes that are allocated; a file with several names is counted once.
    pub bytes: u64,
    /// Whether all of it was counted. Else there is more: the count was cut off, or something could not be read.
    pub complete: bool,
}
