//! Reading one class, or what is said of one instance.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::error::ConfigError;
use super::super::extensions::specs as extension_specs;
use super::super::load::duration;
use super::super::{idle, raw};
use super::{Base, Class, Mount, NetworkMode, absolute};
use crate::model::ExtensionSpec;

/// The tenant's home is below it, in each instance.
const HOMES: &str = "/home";

/// What one section says; none is "nothing".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed {
    pub(super) class: Option<String>,
    memory_high: Option<Option<u64>>,
    memory_max: Option<Option<u64>>,
    swap_max: Option<Option<u64>>,
    cpu_weight: Option<u64>,
    cpu_quota: Option<Option<u64>>,
    io_weight: Option<u64>,
    tasks_max: Option<u64>,
    open_files: Option<u64>,
    run_time: Option<Option<Duration>>,
    disk: Option<Option<u64>>,
    network: Option<NetworkMode>,
    base: Option<Base>,
    devices: Option<Vec<PathBuf>>,
    mounts: Option<Vec<Mount>>,
    preinstall: Option<Vec<ExtensionSpec>>,
    stop_after: Option<Option<Duration>>,
    idle_tabs: Option<Option<Duration>>,
    freeze: Option<bool>,
    ksm: Option<bool>,
}

pub(super) fn parse(name: &str, raw: raw::Class) -> Result<Parsed, ConfigError> {
    let within = |key, value: Option<u64>, range: RangeInclusive<u64>| match value {
        Some(value) if !range.contains(&value) => {
            Err(ConfigError::value(key, format!("{name}: {value} is not within {} and {}", range.start(), range.end())))
        }
        value => Ok(value),
    };
    let base = match (raw.root_directory, raw.root_image) {
        (Some(_), Some(_)) => {
            return Err(ConfigError::value("root_image", format!("{name}: either root_directory or root_image, not both")));
        }
        (Some(path), None) => Some(Base::Directory(absolute("root_directory", &path)?)),
        (None, Some(path)) => Some(Base::Image(absolute("root_image", &path)?)),
        (None, None) => None,
    };
    let network = match raw.network.as_deref() {
        None => None,
        Some("private") => Some(NetworkMode::Private),
        Some("none") => Some(NetworkMode::None),
        Some("host") => Some(NetworkMode::Host),
        Some(other) => return Err(ConfigError::value("network", format!("'{other}' is none of 'private', 'none', 'host'"))),
    };
    let devices = raw.devices.map(|all| all.iter().map(|path| device(path)).collect()).transpose()?;
    let mounts: Option<Vec<Mount>> = raw.mounts.map(|all| all.iter().map(|text| mount(text)).collect()).transpose()?;
    check_nesting(mounts.as_deref().unwrap_or_default())?;
    let preinstall = raw.preinstall.map(|all| extension_specs(&all)).transpose()?;
    Ok(Parsed {
        class: raw.class,
        memory_high: size("memory_high", raw.memory_high)?,
        memory_max: size("memory_max", raw.memory_max)?,
        swap_max: size("swap_max", raw.swap_max)?,
        cpu_weight: within("cpu_weight", raw.cpu_weight, 1..=10_000)?,
        cpu_quota: quota(raw.cpu_quota)?,
        io_weight: within("io_weight", raw.io_weight, 1..=10_000)?,
        tasks_max: within("tasks_max", raw.tasks_max, 32..=4_194_304)?,
        open_files: within("open_files", raw.open_files, 1024..=1_048_576)?,
        run_time: match raw.run_time.as_deref() {
            None => None,
            Some("infinity") => Some(None),
            Some(text) => Some(Some(duration("run_time", Some(text), Duration::ZERO)?)),
        },
        disk: size("disk", raw.disk)?,
        network,
        base,
        devices,
        mounts,
        preinstall,
        stop_after: idle::stop_after(raw.stop_after.as_deref())?,
        idle_tabs: idle::idle_tabs(raw.idle_tabs.as_deref())?,
        freeze: raw.freeze,
        ksm: raw.ksm,
    })
}

impl Parsed {
    pub(super) fn apply(&self, to: &mut Class) {
        fn put<T: Clone>(from: &Option<T>, to: &mut T) {
            if let Some(value) = from {
                to.clone_from(value);
            }
        }
        put(&self.memory_high, &mut to.limits.memory_high);
        put(&self.memory_max, &mut to.limits.memory_max);
        put(&self.swap_max, &mut to.limits.swap_max);
        put(&self.cpu_weight.map(Some), &mut to.limits.cpu_weight);
        put(&self.cpu_quota, &mut to.limits.cpu_quota);
        put(&self.io_weight.map(Some), &mut to.limits.io_weight);
        put(&self.tasks_max.map(Some), &mut to.limits.tasks_max);
        put(&self.open_files, &mut to.open_files);
        put(&self.run_time, &mut to.run_time);
        put(&self.disk, &mut to.disk);
        put(&self.network, &mut to.network);
        put(&self.base, &mut to.base);
        put(&self.devices, &mut to.devices);
        put(&self.mounts, &mut to.mounts);
        put(&self.preinstall, &mut to.preinstall);
        put(&self.stop_after.map(Some), &mut to.stop_after);
        put(&self.idle_tabs.map(Some), &mut to.idle_tabs);
        put(&self.freeze, &mut to.freeze);
        put(&self.ksm, &mut to.ksm);
    }
}

/// Bytes: `512M`, `3G`, `infinity`.
fn size(key: &'static str, text: Option<String>) -> Result<Option<Option<u64>>, ConfigError> {
    let Some(text) = text else { return Ok(None) };
    if text == "infinity" {
        return Ok(Some(None));
    }
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let shift = match unit {
        "" => Some(0),
        "K" => Some(10),
        "M" => Some(20),
        "G" => Some(30),
        "T" => Some(40),
        _ => None,
    };
    let bytes = shift.and_then(|shift| number.parse::<u64>().ok()?.checked_mul(1 << shift)).filter(|bytes| *bytes > 0);
    match bytes {
        Some(bytes) => Ok(Some(Some(bytes))),
        None => Err(ConfigError::value(key, format!("'{text}' is not a size such as '512M', '3G' or 'infinity'"))),
    }
}

/// Microseconds per second: `150%` is one and a half processors.
fn quota(text: Option<String>) -> Result<Option<Option<u64>>, ConfigError> {
    match text.as_deref() {
        None => Ok(None),
        Some("infinity") => Ok(Some(None)),
        Some(text) => match text.strip_suffix('%').and_then(|n| n.parse::<u64>().ok()).filter(|n| (1..=100_000).contains(n)) {
            Some(percent) => Ok(Some(Some(percent * 10_000))),
            None => Err(ConfigError::value("cpu_quota", format!("'{text}' is not a share such as '150%' or 'infinity'"))),
        },
    }
}

fn device(path: &str) -> Result<PathBuf, ConfigError> {
    let path = absolute("devices", Path::new(path))?;
    if path.starts_with("/dev") { Ok(path) } else { Err(ConfigError::value("devices", format!("'{}' is not below /dev", path.display()))) }
}

/// A tenant may put links into a folder that is writable, too: nothing is mounted within one.
fn check_nesting(mounts: &[Mount]) -> Result<(), ConfigError> {
    // Its owner could put a link there, and the mount is made by root.
    if let Some(mount) = mounts.iter().find(|mount| mount.from.starts_with(super::HOMES)) {
        return Err(ConfigError::value("mounts", format!("'{}' is a tenant's own", mount.from.display())));
    }
    let within = |inner: &Mount| mounts.iter().any(|outer| outer.writable && outer.to != inner.to && inner.to.starts_with(&outer.to));
    match mounts.iter().find(|mount| within(mount)) {
        Some(mount) => Err(ConfigError::value("mounts", format!("'{}' lies within another one that is writable", mount.to.display()))),
        None => Ok(()),
    }
}

/// `/host/folder:/instance/folder` with `:rw` or `:ro` (the default) behind it.
fn mount(text: &str) -> Result<Mount, ConfigError> {
    let mut parts = text.split(':');
    let (from, to, mode) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next());
    let writable = match mode {
        None | Some("ro") => false,
        Some("rw") => true,
        Some(_) => return Err(ConfigError::value("mounts", format!("'{text}': the third part is 'ro' or 'rw'"))),
    };
    if parts.next().is_some() {
        return Err(ConfigError::value("mounts", format!("'{text}' is not FROM:TO or FROM:TO:rw")));
    }
    let (from, to) = (absolute("mounts", Path::new(from))?, absolute("mounts", Path::new(to))?);
    if to.starts_with(HOMES) {
        // systemd makes a missing mount point as root, and follows links on the way: one of the tenant's would have it made anywhere.
        return Err(ConfigError::value("mounts", format!("'{text}': not below {HOMES}, where a tenant may put links; say /mnt/NAME")));
    }
    Ok(Mount { from, to, writable })
}
