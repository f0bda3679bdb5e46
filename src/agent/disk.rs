//! What the tenant's home takes, counted from the inside: as the tenant, so that nothing in it leads anywhere the tenant may not go,
//! and at the expense of its own control group.

use std::io;
use std::path::Path;

use crate::model::DiskUse;
use crate::proto::place::HOME;
use crate::sys::{TreeLimits, TreeMeter};

static METER: TreeMeter = TreeMeter::new();

/// Counts.
///
/// # Errors
/// `EBUSY` while another one counts; what the system says when the home cannot be opened.
pub(super) fn measure() -> io::Result<DiskUse> {
    METER.measure(Path::new(HOME), &TreeLimits::USUAL).map(|(bytes, complete)| DiskUse { bytes, complete })
}
