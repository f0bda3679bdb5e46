//! The system's users and groups, asked through the C library, so that every source that nsswitch.conf names counts.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;

/// Enough for one record of any sane source; more is asked for when it is not.
const BUFFER: usize = 4 << 10;
/// A record longer than this is a mistake.
const MAX_BUFFER: usize = 1 << 20;

/// The user id of `name`; none when there is no such user.
///
/// # Errors
/// As getpwnam_r(3).
pub fn user_id(name: &str) -> io::Result<Option<u32>> {
    let name = CString::new(name).map_err(|_| io::ErrorKind::InvalidInput)?;
    lookup(
        |record, buffer, found| {
            // SAFETY: `name` is a C string that outlives the call; the other pointers are good for what `lookup` says.
            #[allow(unsafe_code)]
            unsafe {
                libc::getpwnam_r(name.as_ptr(), record, buffer.as_mut_ptr().cast(), buffer.len(), found)
            }
        },
        |record: &libc::passwd| record.pw_uid,
    )
}

/// Whether some user has this id.
///
/// # Errors
/// As getpwuid_r(3).
pub fn user_exists(uid: u32) -> io::Result<bool> {
    let found = lookup(
        |record, buffer, found| {
            // SAFETY: the pointers are good for what `lookup` says.
            #[allow(unsafe_code)]
            unsafe {
                libc::getpwuid_r(uid, record, buffer.as_mut_ptr().cast(), buffer.len(), found)
            }
        },
        |record: &libc::passwd| record.pw_uid,
    )?;
    Ok(found.is_some())
}

/// Whether some group has this id.
///
/// # Errors
/// As getgrgid_r(3).
pub fn group_exists(gid: u32) -> io::Result<bool> {
    let found = lookup(
        |record, buffer, found| {
            // SAFETY: the pointers are good for what `lookup` says.
            #[allow(unsafe_code)]
            unsafe {
                libc::getgrgid_r(gid, record, buffer.as_mut_ptr().cast(), buffer.len(), found)
            }
        },
        |record: &libc::group| record.gr_gid,
    )?;
    Ok(found.is_some())
}

/// Calls one of the reentrant functions: it may write one record, use the whole buffer for it, and say whether it found one.
/// `id` takes the id out of it.
fn lookup<T>(ask: impl Fn(*mut T, &mut [u8], *mut *mut T) -> i32, id: impl Fn(&T) -> u32) -> io::Result<Option<u32>> {
    let mut size = BUFFER;
    loop {
        let mut record = MaybeUninit::<T>::uninit();
        let mut buffer = vec![0; size];
        let mut found = std::ptr::null_mut();
        match ask(record.as_mut_ptr(), &mut buffer, &raw mut found) {
            0 if found.is_null() => return Ok(None),
            // SAFETY: the function has succeeded and `found` points to the record, which it has filled in.
            #[allow(unsafe_code)]
            0 => return Ok(Some(id(unsafe { record.assume_init_ref() }))),
            libc::ERANGE if size < MAX_BUFFER => size *= 4,
            // Some sources say so when they mean "not found" (getpwnam_r(3), "ERRORS").
            libc::ENOENT | libc::ESRCH => return Ok(None),
            libc::EINTR => {}
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn root_is_there_and_others_are_not() {
        assert_eq!(user_id("root").unwrap(), Some(0));
        assert_eq!(user_id("no-such-user-here").unwrap(), None);
        assert!(user_exists(0).unwrap());
        assert!(!user_exists(2_000_399_998).unwrap());
        // "tty" on every Linux (base-passwd, systemd).
        assert!(group_exists(0).unwrap() && group_exists(5).unwrap());
        assert!(!group_exists(2_000_399_998).unwrap());
    }
}
