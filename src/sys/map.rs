//! Files as memory.

use std::fs::File;
use std::io;

use bytes::Bytes;

/// Maps `file` read-only. The pages are the page cache's: they cost no heap and are shared by all.
///
/// # Errors
/// When the file cannot be mapped. An empty file gives empty bytes.
pub fn map_file(file: &File) -> io::Result<Bytes> {
    if file.metadata()?.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: a mapping is unsound when somebody changes the file meanwhile. Only files of an installed engine are mapped;
    // they are written once in a staging directory, renamed into place, and from then on only ever unlinked, which leaves a
    // mapping whole.
    #[allow(unsafe_code)]
    let map = unsafe { memmap2::Mmap::map(file)? };
    Ok(Bytes::from_owner(map))
}
