//! From what is known of an instance to the properties of its transient unit. Pure: no IO, so that a test can read the result.
//!
//! Only what differs between instances is sent over the bus. What is the same for all is in the drop-in
//! `systemd/hoody-code-instance@.service.d/`, which systemd reads last, so that nothing sent here can weaken it, and which an
//! operator can look at and override.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::Path;

use zbus::Variant;

use super::systemd::Property;
use crate::config::{Base, Class, ClassLimits, NetworkMode};
use crate::engine::SYSTEM_DIR;
use crate::model::InstanceId;
use crate::proto::place;

/// systemd's "no limit".
const INFINITY: u64 = u64::MAX;

/// `MS_REC` (mount(2)): a bind mount takes what is mounted below with it.
const RECURSIVE: u64 = 16_384;

/// Where any program may write, and nothing outlives the instance.
const SCRATCH: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];

/// What a unit is made from.
pub(super) struct Spec<'a> {
    pub(super) id: &'a InstanceId,
    pub(super) uid: u32,
    pub(super) class: &'a Class,
    /// Its home on the host.
    pub(super) home: &'a Path,
    /// The engine's name and directory.
    pub(super) engine: (&'a str, &'a Path),
    /// The engine's command line and environment.
    pub(super) argv: Vec<OsString>,
    pub(super) env: Vec<(OsString, OsString)>,
    /// This program, whose agent is the unit's main process.
    pub(super) program: &'a Path,
    /// Files that are bound over the host's: on the host, in the instance.
    pub(super) files: Vec<(String, String)>,
    /// The instance's own control group.
    pub(super) cgroup: &'a Path,
    /// The engine's compile cache, and the one in it that is for all: its name up to the user's id.
    pub(super) cache: Option<(&'a Path, String, String)>,
    /// The agent's listening socket.
    pub(super) socket: OwnedFd,
}

/// A bind mount: from, to, whether a missing source is fine, flags.
type Bind = (String, String, bool, u64);

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// The properties of the unit.
pub(super) fn of_instance(spec: Spec<'_>) -> Vec<Property> {
    let class = spec.class;
    let uid = spec.uid.to_string();
    let mut argv = vec![text(spec.program), "agent".to_owned()];
    argv.extend(class.ksm.then(|| "--ksm".to_owned()));
    argv.push("--".to_owned());
    argv.extend(spec.argv.iter().map(|argument| argument.to_string_lossy().into_owned()));
    let env: Vec<String> = spec.env.iter().map(|(name, value)| format!("{}={}", name.display(), value.display())).collect();

    let mut writable: Vec<Bind> = vec![(text(spec.home), place::HOME.to_owned(), false, RECURSIVE)];
    let mut readable: Vec<Bind> = spec.files.iter().map(|(from, to)| (from.clone(), to.clone(), false, 0)).collect();
    let cgroup = text(spec.cgroup);
    readable.push((cgroup.clone(), cgroup, true, 0));
    let mut temporary = vec![(place::RUNTIME.to_owned(), format!("mode=0700,uid={uid},gid={uid},size=64M,nr_inodes=10k"))];
    // A file system of its own each, which PrivateTmp= is not: that is a directory of the host's, which one instance can fill for all;
    // /dev/shm would be the host's itself. What is in them counts as the instance's memory, so they are full before that is.
    let room = class.limits.memory_max.map_or_else(|| "50%".to_owned(), |bytes| (bytes / 2).to_string());
    temporary.extend(SCRATCH.map(|dir| (dir.to_owned(), format!("mode=1777,size={room},nr_inodes=1m"))));
    if let Some((dir, from, to)) = &spec.cache {
        // Node looks for a cache of its own user: each instance sees the common one under that name.
        let dir = text(dir);
        readable.push((format!("{dir}/{from}"), format!("{dir}/{to}"), false, 0));
        temporary.push((dir, "ro,mode=0755".to_owned()));
    }
    if class.base != Base::Host {
        // The store rather than the engine: an upgrade puts a used engine's files aside and back, in another directory of the same name.
        let store = spec.engine.1.parent().filter(|dir| *dir == Path::new(SYSTEM_DIR)).unwrap_or(spec.engine.1);
        readable.push((text(store), text(store), false, RECURSIVE));
        readable.push((text(spec.program), text(spec.program), false, 0));
    }
    for mount in &class.mounts {
        let list = if mount.writable { &mut writable } else { &mut readable };
        list.push((text(&mount.from), text(&mount.to), false, RECURSIVE));
    }

    let mut properties: Vec<Property> = vec![
        ("Description", format!("hoody-code instance {} (class {}, engine {})", spec.id, class.name, spec.engine.0).into()),
        ("Slice", super::cgroup::SLICE.into()),
        ("User", uid.clone().into()),
        ("Group", uid.into()),
        ("WorkingDirectory", place::HOME.into()),
        ("ExecStart", Variant::from(vec![(argv[0].clone(), argv, false)])),
        ("Environment", env.into()),
        ("StandardInputFileDescriptor", Variant::Fd(spec.socket.into())),
        ("BindPaths", writable.into()),
        ("BindReadOnlyPaths", readable.into()),
        ("TemporaryFileSystem", temporary.into()),
        ("SyslogIdentifier", format!("hoody-code-{}", spec.id).into()),
        ("LogExtraFields", log_fields(spec.id)),
        ("LimitNOFILE", class.open_files.into()),
        ("LimitNOFILESoft", class.open_files.into()),
        ("PrivateNetwork", (class.network != NetworkMode::Host).into()),
        ("PrivateDevices", class.devices.is_empty().into()),
    ];
    if !class.devices.is_empty() {
        let allowed: Vec<(String, String)> = class.devices.iter().map(|device| (text(device), "rw".to_owned())).collect();
        properties.push(("DevicePolicy", "closed".into()));
        properties.push(("DeviceAllow", allowed.into()));
    }
    match &class.base {
        Base::Host => {}
        Base::Directory(path) => properties.push(("RootDirectory", text(path).into())),
        Base::Image(path) => properties.push(("RootImage", text(path).into())),
    }
    if let Some(run_time) = class.run_time {
        properties.push(("RuntimeMaxUSec", u64::try_from(run_time.as_micros()).unwrap_or(INFINITY).into()));
    }
    properties.extend(of_limits(&class.limits));
    properties.extend(of_weights(&class.limits, false));
    properties
}

/// The properties that can be changed while the instance runs.
pub(super) fn of_limits(limits: &ClassLimits) -> Vec<Property> {
    let limit = |value: Option<u64>| Variant::from(value.unwrap_or(INFINITY));
    vec![
        ("MemoryHigh", limit(limits.memory_high)),
        ("MemoryMax", limit(limits.memory_max)),
        ("MemorySwapMax", limit(limits.swap_max)),
        ("CPUQuotaPerSecUSec", limit(limits.cpu_quota)),
        ("TasksMax", limit(limits.tasks_max)),
    ]
}

/// Its shares when processors or disks are short: its own, or the tenth part of it while nobody uses it.
pub(super) fn of_weights(limits: &ClassLimits, lowered: bool) -> Vec<Property> {
    let weight = |own: Option<u64>| {
        let own = own.unwrap_or(100);
        Variant::from(if lowered { (own / 10).max(1) } else { own })
    };
    vec![("CPUWeight", weight(limits.cpu_weight)), ("IOWeight", weight(limits.io_weight))]
}

/// What `journalctl` finds the unit's records by: its own field, and the one of the front's and the broker's records.
fn log_fields(id: &InstanceId) -> Variant<'static> {
    ["INSTANCE", "HOODY_INSTANCE"].map(|name| format!("{name}={id}").into_bytes()).to_vec().into()
}

/// The properties of the unit that empties the home of an instance, as its user and with nothing else in reach.
pub(super) fn of_wipe(id: &InstanceId, uid: u32, home: &Path, program: &Path) -> Vec<Property> {
    let uid = uid.to_string();
    let argv = vec![text(program), "wipe".to_owned()];
    vec![
        ("Description", format!("Delete the files of hoody-code instance {id}").into()),
        ("Type", "oneshot".into()),
        ("User", uid.clone().into()),
        ("Group", uid.into()),
        ("ExecStart", Variant::from(vec![(argv[0].clone(), argv, false)])),
        ("TemporaryFileSystem", vec![("/home".to_owned(), "ro".to_owned()), ("/data".to_owned(), "ro".to_owned())].into()),
        ("BindPaths", Variant::from(vec![(text(home), super::wipe::DIR.to_owned(), false, RECURSIVE)])),
        ("ProtectSystem", "strict".into()),
        ("PrivateTmp", true.into()),
        ("PrivateDevices", true.into()),
        ("PrivateNetwork", true.into()),
        ("NoNewPrivileges", true.into()),
        ("CapabilityBoundingSet", 0u64.into()),
        ("RestrictNamespaces", 0u64.into()),
        ("ProtectProc", "invisible".into()),
        // Within the broker's own wait for a job. A second purge goes on where this one was cut off.
        ("TimeoutStartUSec", 100_000_000u64.into()),
        ("LogExtraFields", log_fields(id)),
    ]
}

/// The properties of the unit that does something to files of an instance from outside. What it may reach is root's own, and homes.
pub(super) fn of_volume(id: &InstanceId, program: &Path, order: String, output: OwnedFd) -> Vec<Property> {
    // Subvolumes; homes that are nobody else's to open; owners and modes of what is made for a tenant.
    // And beyond a user's limit: until the old home is deleted there are two.
    const CAPABILITIES: [u32; 6] = [CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_SYS_ADMIN, CAP_SYS_RESOURCE];
    let argv = vec![text(program), "volume".to_owned(), order];
    vec![
        ("Description", format!("Files of hoody-code instance {id}").into()),
        ("Type", "oneshot".into()),
        ("ExecStart", Variant::from(vec![(argv[0].clone(), argv, false)])),
        // Standard error would follow standard output into a pipe.
        ("StandardInputFileDescriptor", Variant::Fd(output.into())),
        ("CapabilityBoundingSet", CAPABILITIES.iter().fold(0u64, |set, number| set | 1 << number).into()),
        ("ProtectSystem", "strict".into()),
        // As a whole: what is moved from one place in it to another must not come from another mount.
        ("ReadWritePaths", vec!["/data".to_owned()].into()),
        ("ProtectHome", "yes".into()),
        ("PrivateTmp", true.into()),
        ("PrivateDevices", true.into()),
        ("PrivateNetwork", true.into()),
        ("NoNewPrivileges", true.into()),
        ("RestrictNamespaces", 0u64.into()),
        ("ProtectProc", "invisible".into()),
        ("ProtectKernelTunables", true.into()),
        ("ProtectControlGroups", true.into()),
        ("MemoryDenyWriteExecute", true.into()),
        // Two for each directory on the way down.
        ("LimitNOFILE", 16_384u64.into()),
        ("LimitNOFILESoft", 16_384u64.into()),
        ("UMask", 0o077u32.into()),
        // Within the broker's own wait for a job.
        ("TimeoutStartUSec", 100_000_000u64.into()),
        ("LogExtraFields", log_fields(id)),
    ]
}

/// Their numbers (linux/capability.h).
const CAP_CHOWN: u32 = 0;
const CAP_DAC_OVERRIDE: u32 = 1;
const CAP_DAC_READ_SEARCH: u32 = 2;
const CAP_FOWNER: u32 = 3;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_SYS_RESOURCE: u32 = 24;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
