//! What homes of a class begin with.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, RenameFlags, ResolveFlags, fchmod, mkdirat, openat2, renameat_with};

use super::super::VolumeError;
use super::super::tree::{Rule, copy, copy_file, open_dir};
use super::{Place, Places, cleared};
use crate::model::InstanceId;
use crate::proto::place::DATA;

/// What of a home belongs into a template, below `.hoody-code`: named one by one, because everything else may be somebody's secret.
const TAKEN: [&[&str]; 7] = [
    &["extensions"],
    &["user-data", "User", "settings.json"],
    &["user-data", "User", "keybindings.json"],
    &["user-data", "User", "tasks.json"],
    &["user-data", "User", "snippets"],
    &["user-data", "User", "prompts"],
    &["user-data", "Machine", "settings.json"],
];

/// What a template's files do not have of the original's modes: rights of others to change them, and of those who run them.
const WITHHELD: u32 = 0o6022;

impl Places {
    /// The template of a class; none when there is none.
    pub(super) fn template(&self, class: &str) -> Result<Option<OwnedFd>, VolumeError> {
        if !self.templates.exists() {
            return Ok(None);
        }
        Place::open(&self.templates)?.find(class)
    }

    /// Makes the template of `class` anew, of what there is in the home of `id`.
    pub(in super::super) fn template_of(&self, id: &InstanceId, class: &InstanceId) -> Result<(), VolumeError> {
        let home = Place::open(&self.homes)?.find(id.as_str())?.ok_or(VolumeError::NoHome)?;
        let templates = Place::private(&self.templates)?;
        let making = format!(".making-{class}");
        templates.discard(&making)?;
        let made = templates.fresh(&making, None).and_then(|template| {
            let mut taken = 0;
            for path in TAKEN {
                taken += usize::from(take(&home, &template, path).map_err(templates.error("make", class.as_str()))?);
            }
            if taken == 0 { Err(VolumeError::Nothing) } else { Ok(()) }
        });
        let placed = made.and_then(|()| {
            if templates.find(class.as_str())?.is_none() {
                return templates.hand_over(&making, &templates, class.as_str());
            }
            let exchanged = renameat_with(templates.fd(), &making, templates.fd(), class.as_str(), RenameFlags::EXCHANGE);
            exchanged.map_err(|e| templates.error("replace", class.as_str())(e.into()))?;
            // The one until now.
            templates.discard(&making)
        });
        cleared(placed, &templates, &making)
    }
}

/// Copies one of [`TAKEN`]; false when it is not there.
fn take(home: &OwnedFd, template: &OwnedFd, path: &[&str]) -> io::Result<bool> {
    let Some((last, above)) = path.split_last() else { return Ok(false) };
    let mut source = format!("{DATA}/");
    source.extend(above.iter().flat_map(|name| [name, "/"]));
    // Beneath the home, and by no link: a tenant may have put one there.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let from = match openat2(home, source.as_str(), flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS) {
        Ok(from) => from,
        Err(rustix::io::Errno::NOENT) => return Ok(false),
        Err(e) => return Err(e.into()),
    };
    let name = CString::new(*last)?;
    let stat = match rustix::fs::statat(&from, &*name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(rustix::io::Errno::NOENT) => return Ok(false),
        Err(e) => return Err(e.into()),
    };
    let mut to = template.try_clone()?;
    for name in std::iter::once(&DATA).chain(above) {
        match mkdirat(&to, *name, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => to = open_dir(to.as_fd(), *name)?,
            Err(e) => return Err(e.into()),
        }
    }
    match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
        rustix::fs::FileType::RegularFile => copy_file(from.as_fd(), to.as_fd(), &name, WITHHELD)?,
        rustix::fs::FileType::Directory => {
            mkdirat(&to, &*name, Mode::RWXU)?;
            let to = open_dir(to.as_fd(), &*name)?;
            copy(open_dir(from.as_fd(), &*name)?.as_fd(), to.as_fd(), Rule::Tenants, WITHHELD)?;
            fchmod(&to, Mode::RWXU)?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}
