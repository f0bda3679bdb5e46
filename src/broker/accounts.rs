//! User ids of instances: one each, kept for as long as files of it may exist, resolvable by name on the host.
//!
//! The registry is a directory with a file per instance. The highest id ever given away is kept beside it, so that an id is used
//! a second time only when the whole range has been used once.

use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::BrokerError;
use crate::config;
use crate::model::InstanceId;
use crate::sys;

/// Where the registry is on an installed host (`StateDirectory=` of the broker's unit).
pub(super) const REGISTRY: &str = "/var/lib/hoody-code-broker/accounts";

/// Where systemd looks for records of users and groups (nss-systemd(8)).
pub(super) const USERDB: &str = "/run/userdb";

/// The longest user name that programs take (utmp(5), `UT_NAMESIZE`).
const MAX_NAME: usize = 31;

/// One instance's user; the group has the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Account {
    pub(super) uid: u32,
}

/// The registry.
pub(super) struct Accounts {
    dir: PathBuf,
    userdb: PathBuf,
}

impl Accounts {
    /// The registry at `dir`, with records for the system in `userdb`.
    pub(super) fn new(dir: impl Into<PathBuf>, userdb: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), userdb: userdb.into() }
    }

    /// The account of `id`, when it has one.
    pub(super) fn find(&self, id: &InstanceId) -> Result<Option<Account>, BrokerError> {
        let path = self.dir.join(id.as_str());
        match fs::read(&path) {
            Ok(text) => {
                let account = serde_json::from_slice(&text);
                account.map(Some).map_err(|e| BrokerError::file("read", &path)(io::Error::other(e)))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(BrokerError::file("read", &path)(e)),
        }
    }

    /// All instances that have an account, in the order of their names.
    pub(super) fn list(&self) -> Result<Vec<InstanceId>, BrokerError> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(BrokerError::file("list", &self.dir)(e)),
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut ids: Vec<InstanceId> = names.filter_map(|name| name.parse().ok()).collect();
        ids.sort();
        Ok(ids)
    }

    /// The account of `id`; a new one when it has none. The first `addresses` of `uids` have an address on the bridge; the others are given
    /// away when no such is left. `taken` says whether an id is somebody else's. `home` is there already, and
    /// whose: from a backup or from another host. Its owner's id is taken again; if it is not free, nothing is written down.
    pub(super) fn obtain(
        &self,
        id: &InstanceId,
        uids: &RangeInclusive<u32>,
        addresses: u32,
        home: Option<(PathBuf, u32)>,
        taken: impl Fn(u32) -> bool,
    ) -> Result<Account, BrokerError> {
        let account = match self.find(id)? {
            Some(account) => account,
            None => self.allocate(id, uids, addresses, home, taken)?,
        };
        self.publish(id, account)?;
        Ok(account)
    }

    fn allocate(
        &self,
        id: &InstanceId,
        uids: &RangeInclusive<u32>,
        addresses: u32,
        home: Option<(PathBuf, u32)>,
        taken: impl Fn(u32) -> bool,
    ) -> Result<Account, BrokerError> {
        sys::create_private_dir(&self.dir).map_err(BrokerError::file("create", &self.dir))?;
        // systemd would give the unit the groups of whoever has the name.
        let name = format!("hc-{id}");
        if sys::user_id(&name).map_err(BrokerError::file("look for", Path::new(&name)))?.is_some() {
            return Err(BrokerError::NameTaken(name));
        }
        let mut used = std::collections::HashSet::new();
        for other in self.list()? {
            used.extend(self.find(&other)?.map(|account| account.uid));
        }
        let next_path = self.dir.join(".next");
        let next = fs::read_to_string(&next_path).ok().and_then(|text| text.trim().parse::<u32>().ok());
        let last = uids.start().saturating_add(addresses.saturating_sub(1)).min(*uids.end());
        let first = next.filter(|next| (*uids.start()..=last).contains(next)).unwrap_or(*uids.start());
        let owner = home.as_ref().map(|(_, owner)| *owner).filter(|owner| uids.contains(owner));
        let mut candidates = owner.into_iter().chain(first..=last).chain(*uids.start()..first).chain(last.saturating_add(1)..=*uids.end());
        let free = candidates.find(|uid| !used.contains(uid) && !taken(*uid));
        let uid = free.ok_or(BrokerError::NoUid(*uids.start(), *uids.end()))?;
        if let Some((path, owner)) = home
            && owner != uid
        {
            return Err(BrokerError::Foreign { path, owner, uid });
        }
        // The mark first: a crash between the two wastes an id and never gives one away twice.
        // One that is taken again out of turn leaves the turn as it is.
        let mark = if owner == Some(uid) && uid < first { first } else { uid.checked_add(1).unwrap_or(*uids.start()) };
        sys::write_atomic(&next_path, mark.to_string().as_bytes()).map_err(BrokerError::file("write", &next_path))?;
        let account = Account { uid };
        let path = self.dir.join(id.as_str());
        let text = serde_json::to_vec(&account).map_err(|e| BrokerError::file("write", &path)(e.into()))?;
        sys::write_atomic(&path, &text).map_err(BrokerError::file("write", &path))?;
        Ok(account)
    }

    /// Makes the system know the user by name. Without a record systemd does not start a unit for a user id.
    fn publish(&self, id: &InstanceId, account: Account) -> Result<(), BrokerError> {
        let (uid, name) = (account.uid, user_name(id, account));
        let user = serde_json::json!({
            "userName": name, "uid": uid, "gid": uid, "realName": format!("hoody-code instance {id}"),
            "homeDirectory": format!("{}/{id}", super::volumes::ROOT), "shell": "/usr/sbin/nologin",
            "disposition": "container", "locked": true,
        });
        let group = serde_json::json!({ "groupName": name, "gid": uid, "disposition": "container" });
        fs::create_dir_all(&self.userdb).map_err(BrokerError::file("create", &self.userdb))?;
        for (kind, record) in [("user", user), ("group", group)] {
            let path = self.userdb.join(format!("{name}.{kind}"));
            let text = record.to_string();
            if !fs::read_to_string(&path).is_ok_and(|old| old == text) {
                sys::write_atomic(&path, text.as_bytes()).map_err(BrokerError::file("write", &path))?;
            }
            // Anybody on the host may ask who an id is.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).map_err(BrokerError::file("open to readers", &path))?;
            let (link, target) = (self.userdb.join(format!("{uid}.{kind}")), format!("{name}.{kind}"));
            if fs::read_link(&link).is_ok_and(|old| old == Path::new(&target)) {
                continue;
            }
            remove(&link)?;
            symlink(target, &link).map_err(BrokerError::file("write", &link))?;
        }
        Ok(())
    }

    /// Forgets `id`. Only when no file of its user is left.
    pub(super) fn forget(&self, id: &InstanceId) -> Result<(), BrokerError> {
        let Some(account) = self.find(id)? else { return Ok(()) };
        let name = user_name(id, account);
        for kind in ["user", "group"] {
            for file in [format!("{name}.{kind}"), format!("{}.{kind}", account.uid)] {
                remove(&self.userdb.join(file))?;
            }
        }
        remove(&self.dir.join(id.as_str()))
    }
}

fn remove(path: &Path) -> Result<(), BrokerError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(BrokerError::file("remove", path)(e)),
        _ => Ok(()),
    }
}

/// What the host calls the user. An id that does not fit is called by its number, with a character that no id has.
pub(super) fn user_name(id: &InstanceId, account: Account) -> String {
    let name = format!("hc-{id}");
    if name.len() <= MAX_NAME { name } else { format!("hc_{}", account.uid) }
}

/// Which one of the configured range the user of `id` is, counted from 0; none when it has no account.
///
/// # Errors
/// When it has one from another range, or something cannot be read.
pub(super) fn index_of(id: &InstanceId) -> io::Result<Option<u32>> {
    let config = config::load_for_broker(Path::new(super::CONFIG)).map_err(io::Error::other)?;
    let account = Accounts::new(REGISTRY, USERDB).find(id).map_err(io::Error::other)?;
    account.map(|account| index_in(&config.hosting.uids, account.uid)).transpose()
}

fn index_in(uids: &RangeInclusive<u32>, uid: u32) -> io::Result<u32> {
    if uids.contains(&uid) {
        return Ok(uid - uids.start());
    }
    let (first, last) = (uids.start(), uids.end());
    Err(io::Error::other(format!("its user {uid} is not in [accounts] uids ({first}-{last}), which was another range when it was made")))
}

/// Whether an id belongs to somebody already: to a user or a group of the host, or to a range that a user may map (subuid(5)).
pub(super) fn is_taken(uid: u32) -> bool {
    let mapped = |path: &str| fs::read_to_string(path).is_ok_and(|text| subordinate(&text).any(|range| range.contains(&uid)));
    sys::user_exists(uid).unwrap_or(true) || sys::group_exists(uid).unwrap_or(true) || mapped("/etc/subuid") || mapped("/etc/subgid")
}

fn subordinate(text: &str) -> impl Iterator<Item = std::ops::Range<u32>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':').skip(1);
        let first: u32 = fields.next()?.parse().ok()?;
        let count: u32 = fields.next()?.parse().ok()?;
        Some(first..first.saturating_add(count))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn accounts(dir: &Path) -> Accounts {
        Accounts::new(dir.join("accounts"), dir.join("userdb"))
    }

    fn id(text: &str) -> InstanceId {
        text.parse().unwrap()
    }

    #[test]
    fn ids_are_kept_and_not_reused_early() {
        let dir = tempfile::tempdir().unwrap();
        let accounts = accounts(dir.path());
        let uids = 5000..=5002;
        let obtain = |name: &str| accounts.obtain(&id(name), &uids, 3, None, |uid| uid == 5001).map(|account| account.uid);
        assert_eq!(obtain("a").unwrap(), 5000);
        assert_eq!(obtain("a").unwrap(), 5000);
        assert_eq!(obtain("b").unwrap(), 5002, "5001 is somebody else's");
        assert!(matches!(obtain("c"), Err(BrokerError::NoUid(5000, 5002))));
        accounts.forget(&id("a")).unwrap();
        assert_eq!(obtain("c").unwrap(), 5000, "only now, as nothing else is left");
        assert_eq!(accounts.list().unwrap(), [id("b"), id("c")]);
    }

    #[test]
    fn ids_with_an_address_go_first_and_are_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let accounts = accounts(dir.path());
        let obtain = |name: &str| accounts.obtain(&id(name), &(5000..=5004), 2, None, |_| false).map(|account| account.uid).unwrap();
        assert_eq!((obtain("a"), obtain("b")), (5000, 5001));
        accounts.forget(&id("a")).unwrap();
        assert_eq!(obtain("c"), 5000, "not the next, for which the subnet has no address");
        assert_eq!((obtain("d"), obtain("e")), (5002, 5003), "better than none: not everybody needs an address");
        accounts.forget(&id("b")).unwrap();
        assert_eq!(obtain("f"), 5001);
    }

    #[test]
    fn the_owner_of_a_home_that_is_there_is_taken_again() {
        let dir = tempfile::tempdir().unwrap();
        let accounts = accounts(dir.path());
        let obtain = |name: &str, owner: u32| {
            let home = Some((PathBuf::from("/home/of").join(name), owner));
            accounts.obtain(&id(name), &(5000..=5009), 10, home, |uid| uid == 5003).map(|account| account.uid)
        };
        assert_eq!(obtain("a", 5007).unwrap(), 5007);
        for (owner, why) in [(5007, "another's"), (5003, "the host's"), (0, "not of the range")] {
            assert!(matches!(obtain("b", owner), Err(BrokerError::Foreign { uid: 5008, .. })), "{why}");
            assert_eq!(accounts.find(&id("b")).unwrap(), None, "nothing is written down");
        }
        // Given to whom the message says.
        assert_eq!(obtain("b", 5008).unwrap(), 5008);
        assert_eq!(obtain("e", 5002).unwrap(), 5002);
        assert_eq!(obtain("a", 5001).unwrap(), 5007, "an account stays what it is");
    }

    #[test]
    fn records_are_what_nss_systemd_reads() {
        let dir = tempfile::tempdir().unwrap();
        let accounts = accounts(dir.path());
        accounts.obtain(&id("acme-web-code-1"), &(5000..=5009), 10, None, |_| false).unwrap();
        let userdb = dir.path().join("userdb");
        let record: serde_json::Value = serde_json::from_slice(&fs::read(userdb.join("5000.user")).unwrap()).unwrap();
        assert_eq!((record["userName"].as_str(), record["uid"].as_u64()), (Some("hc-acme-web-code-1"), Some(5000)));
        assert_eq!(fs::metadata(userdb.join("5000.group")).unwrap().permissions().mode() & 0o777, 0o644);
        accounts.forget(&id("acme-web-code-1")).unwrap();
        assert_eq!(fs::read_dir(&userdb).unwrap().count(), 0);
    }

    #[test]
    fn long_ids_have_short_names() {
        let account = Account { uid: 77 };
        assert_eq!(user_name(&id("a"), account), "hc-a");
        assert_eq!(user_name(&id(&"x".repeat(63)), account), "hc_77");
    }

    #[test]
    fn an_account_of_an_earlier_range_says_so() {
        assert_eq!(index_in(&(5000..=5009), 5003).unwrap(), 3);
        let error = index_in(&(5000..=5009), 4000).unwrap_err().to_string();
        assert!(error.contains("4000") && error.contains("5000-5009"), "{error}");
    }

    #[test]
    fn subordinate_ids_are_seen() {
        let ranges: Vec<_> = subordinate("alice:100000:65536\nbroken\nbob:x:1\n").collect();
        assert_eq!((ranges.len(), ranges[0].start, ranges[0].end), (1, 100_000, 165_536));
    }
}
