//! The only folder that talks to the kernel raw, and the only one with `unsafe`.
//! Signatures are safe; descriptors go in and come out owned.

mod files;
mod lock;
mod map;
mod procfs;
mod resources;
mod socket_owner;
mod spawn;
mod stream;

pub use files::{create_private_dir, write_atomic};
pub use lock::DirLock;
pub use map::map_file;
pub use procfs::{Pid, ProcessTable, signal};
pub use resources::{Resources, free_disk, heap_bytes, raise_fd_limit, resources};
pub use socket_owner::{ListeningSocket, held_sockets, listening_on, own_sockets};
pub use spawn::isolate;
pub use stream::{Dir, Listener, Stream, inherited_listeners};

pub use rustix::process::Signal;
