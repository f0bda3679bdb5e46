//! What the broker needs to know: classes of instances with their limits, accounts, network. The front takes no more of it than which
//! extensions a class has.

mod class;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::ConfigError;
use super::raw;
use crate::model::{ExtensionSpec, InstanceId};

/// The class of an instance that names none.
pub const DEFAULT_CLASS: &str = "default";

/// Users' ids when the file says nothing: inside a block that systemd, shadow's subordinate ids and directories such as SSSD
/// leave alone, and below 2^31 (systemd's docs/UIDS-GIDS.md).
const DEFAULT_UIDS: RangeInclusive<u32> = 2_000_300_000..=2_000_399_999;

/// Where the homes of instances are on an installed host.
pub const HOMES: &str = "/data/instances";

/// Where an operator's snapshots of homes are: a directory per instance.
pub const SNAPSHOTS: &str = "/data/snapshots";

/// Where it is said what homes begin with: a directory per class.
pub const TEMPLATES: &str = "/data/templates";

/// How a host is shared among instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosting {
    /// User and group ids of instances.
    pub uids: RangeInclusive<u32>,
    /// `[network]`
    pub network: Network,
    classes: BTreeMap<String, class::Parsed>,
    instances: BTreeMap<InstanceId, class::Parsed>,
}

/// The network that instances share a way out of, but not each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// First address of the subnet; the bridge has the one after it.
    pub subnet: Ipv4Addr,
    /// Length of the subnet's prefix, in bits.
    pub prefix: u8,
    /// Resolvers of instances; none means those of the host.
    pub dns: Vec<IpAddr>,
    /// Destinations that instances may not reach, besides each other, the host and metadata services: `ADDR/PREFIX`.
    pub refuse: Vec<String>,
}

/// What one instance may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// What can be changed while it runs.
    pub limits: Limits,
    /// The most descriptors of one process.
    pub open_files: u64,
    /// How long it may run; none means for ever.
    pub run_time: Option<Duration>,
    /// The most bytes its user may have on the disk of its home; none means no limit.
    pub disk: Option<u64>,
    /// Its network.
    pub network: NetworkMode,
    /// Its base system.
    pub base: Base,
    /// Devices it may use besides `/dev/null` and the like.
    pub devices: Vec<PathBuf>,
    /// Folders of the operator's it sees.
    pub mounts: Vec<Mount>,
    /// Extensions that it gets once, besides those that all instances get.
    pub preinstall: Vec<ExtensionSpec>,
    /// How long nobody has to use it before it is stopped, if nothing runs in it: none as `[instances]` says, none within means never.
    pub stop_after: Option<Option<Duration>>,
    /// How long nobody has to be at an open tab before it gives the instance up; as above.
    pub idle_tabs: Option<Option<Duration>>,
    /// Whether its processes stand still while nobody uses it and something of its user's keeps it.
    pub freeze: bool,
    /// Whether the kernel looks for pages of its memory that equal others' (KSM).
    pub ksm: bool,
}

/// Limits of a control group. Bytes and counts; none means no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory beyond which it is slowed down and reclaimed from.
    pub memory_high: Option<u64>,
    /// Memory beyond which it is killed from.
    pub memory_max: Option<u64>,
    /// The most swap.
    pub swap_max: Option<u64>,
    /// Its share when processors are short, 1 to 10000; 100 is everybody's.
    pub cpu_weight: Option<u64>,
    /// The most processor time, in microseconds per second.
    pub cpu_quota: Option<u64>,
    /// Its share when disks are short, 1 to 10000; 100 is everybody's.
    pub io_weight: Option<u64>,
    /// The most processes and threads.
    pub tasks_max: Option<u64>,
}

/// Which network an instance has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkMode {
    /// Its own, with a way out.
    Private,
    /// Its own, with nothing but its own loopback.
    None,
    /// The host's.
    Host,
}

/// What `/usr` and the rest of the system come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// The host, read-only.
    Host,
    /// This directory, read-only.
    Directory(PathBuf),
    /// This disk image, read-only.
    Image(PathBuf),
}

/// A folder bound into an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// On the host.
    pub from: PathBuf,
    /// In the instance.
    pub to: PathBuf,
    /// Whether it may write there, as far as the files' own modes let it.
    pub writable: bool,
}

impl Hosting {
    /// The same classes and instances with the users' ids and the network of `host`, of which a host has one each.
    pub(super) fn within(self, host: Self) -> Self {
        Self { uids: host.uids, network: host.network, ..self }
    }

    /// The class of `id` with what the file says of this instance alone on top.
    pub fn class_of(&self, id: &InstanceId) -> Class {
        let own = self.instances.get(id);
        let name = own.and_then(|own| own.class.as_deref()).unwrap_or(DEFAULT_CLASS);
        let mut class = self.class(name);
        if let Some(parsed) = own {
            parsed.apply(&mut class);
        }
        class
    }

    /// The class of instances that are named nowhere.
    pub fn ordinary(&self) -> Class {
        self.class(DEFAULT_CLASS)
    }

    /// All classes: those of the file, and the one of who is named nowhere.
    pub fn classes(&self) -> impl Iterator<Item = Class> {
        let names: BTreeSet<&str> = self.classes.keys().map(String::as_str).chain([DEFAULT_CLASS]).collect();
        names.into_iter().map(|name| self.class(name))
    }

    /// The instances of which the file says something.
    pub fn named(&self) -> impl Iterator<Item = &InstanceId> {
        self.instances.keys()
    }

    fn class(&self, name: &str) -> Class {
        let mut class = Class::ordinary(name);
        if let Some(parsed) = self.classes.get(name) {
            parsed.apply(&mut class);
        }
        class
    }

    pub(super) fn check(accounts: &raw::Accounts, network: raw::Network, file: RawClasses) -> Result<Self, ConfigError> {
        let (raw_classes, raw_instances) = file;
        let mut classes = BTreeMap::new();
        for (name, raw) in raw_classes {
            if raw.class.is_some() {
                return Err(ConfigError::value("class", format!("[class.{name}]: a class has no class")));
            }
            name.parse::<InstanceId>().map_err(|_| ConfigError::value("class", format!("'{name}' is not a name such as 'small'")))?;
            classes.insert(name.clone(), class::parse(&name, raw)?);
        }
        let mut instances = BTreeMap::new();
        for (name, raw) in raw_instances {
            let id: InstanceId = name.parse().map_err(|e| ConfigError::value("instance", format!("'{name}': {e}")))?;
            if let Some(class) = &raw.class
                && class != DEFAULT_CLASS
                && !classes.contains_key(class)
            {
                return Err(ConfigError::value("class", format!("[instance.\"{name}\"]: there is no [class.{class}]")));
            }
            instances.insert(id, class::parse(&name, raw)?);
        }
        let uids = match &accounts.uids {
            None => DEFAULT_UIDS,
            Some(text) => uid_range(text)?,
        };
        let network = Network::check(network)?;
        let hosting = Self { uids, network, classes, instances };
        let all = hosting.classes().map(|class| (format!("class.{}", class.name), class));
        let all = all.chain(hosting.named().map(|id| (format!("instance.{id}"), hosting.class_of(id))));
        if let Some((section, _)) = all.into_iter().find(|(_, class)| class.freeze && class.network == NetworkMode::Host) {
            // Whoever knocks there comes past us, and nobody would thaw it.
            return Err(ConfigError::value(
                "freeze",
                format!("[{section}]: its ports are the host's own (network = \"host\"): it can be asked at any time"),
            ));
        }
        Ok(hosting)
    }
}

/// `[class]` and `[instance]` as they are written.
pub(super) type RawClasses = (BTreeMap<String, raw::Class>, BTreeMap<String, raw::Class>);

impl Class {
    /// What a class is before the file says anything.
    fn ordinary(name: &str) -> Self {
        let limits = Limits {
            memory_high: Some(3 << 30),
            memory_max: Some(4 << 30),
            tasks_max: Some(4096),
            cpu_weight: Some(100),
            io_weight: Some(100),
            ..Limits::default()
        };
        Self {
            name: name.to_owned(),
            limits,
            open_files: 65_536,
            run_time: None,
            disk: None,
            network: NetworkMode::Private,
            base: Base::Host,
            devices: Vec::new(),
            mounts: Vec::new(),
            preinstall: Vec::new(),
            stop_after: None,
            idle_tabs: None,
            freeze: false,
            ksm: false,
        }
    }
}

impl Network {
    fn check(raw: raw::Network) -> Result<Self, ConfigError> {
        let text = raw.subnet.unwrap_or_else(|| "10.213.0.0/16".to_owned());
        let wrong = || ConfigError::value("subnet", format!("'{text}' is not a private network such as 10.213.0.0/16, of 8 to 29 bits"));
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address: Ipv4Addr = address.parse().map_err(|_| wrong())?;
        let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
        let host_bits = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
        if !(8..=29).contains(&prefix) || address.to_bits() & host_bits != 0 {
            return Err(wrong());
        }
        let dns = raw.dns.unwrap_or_default();
        let dns = dns
            .iter()
            .map(|ip| ip.parse().map_err(|_| ConfigError::value("dns", format!("'{ip}' is not an IP address"))))
            .collect::<Result<_, _>>()?;
        let refuse = raw.refuse.unwrap_or_default();
        for text in &refuse {
            let parts = text.split_once('/').and_then(|(ip, bits)| Some((ip.parse::<Ipv4Addr>().ok()?, bits.parse::<u8>().ok()?)));
            if parts.is_none_or(|(_, bits)| bits > 32) {
                return Err(ConfigError::value("refuse", format!("'{text}' is not a network such as 10.0.0.0/8")));
            }
        }
        Ok(Self { subnet: address, prefix, dns, refuse })
    }

    /// How many instances have an address: all but the network's, the bridge's and the broadcast address.
    pub fn capacity(&self) -> u32 {
        (1 << (32 - u32::from(self.prefix))) - 3
    }

    /// The bridge's own address.
    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.subnet.to_bits() + 1)
    }

    /// The address of the instance whose user id is the `index`th of the range; none when the subnet has no more.
    pub fn address(&self, index: u32) -> Option<Ipv4Addr> {
        (index < self.capacity()).then(|| Ipv4Addr::from_bits(self.subnet.to_bits() + 2 + index))
    }
}

fn uid_range(text: &str) -> Result<RangeInclusive<u32>, ConfigError> {
    let range = text.split_once('-').and_then(|(from, to)| Some(from.trim().parse::<u32>().ok()?..=to.trim().parse::<u32>().ok()?));
    match range {
        // 1 to 999 are the system's, 65535 and 2^32-1 mean nobody; from 2^31 on, programs misbehave.
        Some(range) if *range.start() >= 1000 && range.end() >= range.start() && *range.end() < 1 << 31 && !range.contains(&65535) => {
            Ok(range)
        }
        _ => Err(ConfigError::value("uids", format!("'{text}' is not a range of user ids such as 2000300000-2000399999"))),
    }
}

fn absolute(key: &'static str, path: &Path) -> Result<PathBuf, ConfigError> {
    let clean = path.is_absolute() && !path.components().any(|part| part == std::path::Component::ParentDir);
    let plain = path.to_str().is_some_and(|text| !text.contains([':', '\0', '\n']));
    if clean && plain {
        Ok(path.to_owned())
    } else {
        Err(ConfigError::value(key, format!("'{}' is not an absolute path without '..' and ':'", path.display())))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
