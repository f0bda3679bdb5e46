//! The only folder that talks to the kernel raw, and the only one with `unsafe`.
//! Signatures are safe; descriptors go in and come out owned.

mod btrfs;
mod files;
mod ioctl_filter;
mod ksm;
mod lock;
#[cfg(feature = "front")]
mod map;
mod netns;
mod packet;
mod pressure;
mod process;
mod procfs;
mod psi;
mod quota;
mod resources;
mod socket_owner;
mod spawn;
mod stream;
mod tag;
mod terminal;
mod tree;
mod users;

pub use btrfs::{
    GroupUse, Quotas, WAYS_OUT_OF_A_GROUP, create_subvolume, delete_subvolume, enable_simple_quotas, group_use, is_btrfs, is_subvolume,
    limit_group, nested_subvolumes, open_subvolume, quotas, seal_subvolume, snapshot_subvolume, subvolume_id, subvolume_made,
};
pub use files::{create_private_dir, write_atomic};
pub use ioctl_filter::refuse_ioctls;
pub use ksm::{host_merge_profit, merge_memory, merge_profit};
pub use lock::DirLock;
#[cfg(feature = "front")]
pub use map::map_file;
pub use netns::{ProcessDir, owning_user_namespace, same_namespace, within_network_namespace};
pub use packet::{
    Packet, PacketListener, PacketSocket, accept_packets, connect_packets, listen_packets, peer_uid, receive_packet, send_packet,
};
pub use pressure::memory_pressure;
pub use process::{Process, processes};
pub use procfs::{Pid, ProcessTable, signal};
pub use psi::{PRESSURES, Pressure, pressure};
pub use quota::{quota_used, set_user_quota};
pub use resources::{Resources, free_disk, heap_bytes, load, memory, raise_fd_limit, resources};
pub use socket_owner::{ListeningSocket, held_sockets, listening_on, own_sockets};
pub use spawn::isolate;
pub use stream::{Dir, Listener, Stream, inherited_listeners};
pub use tag::tag;
pub use terminal::{KeyPress, Screen, read_hidden};
pub use tree::{TreeLimits, TreeMeter};

pub use users::{group_exists, user_exists, user_id};

pub use rustix::process::Signal;

/// Whether `look` comes true within ten seconds. What a test lets go of is held on by a child that another test is starting, until that is
/// another program.
#[cfg(test)]
fn comes_true(mut look: impl FnMut() -> bool) -> bool {
    (0..1000).any(|time| {
        std::thread::sleep(std::time::Duration::from_millis(if time > 0 { 10 } else { 0 }));
        look()
    })
}
