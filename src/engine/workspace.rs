//! What VS Code remembers of a workspace file, put right before a page asks for it.
//!
//! A page reads what it remembers of the file (`User/caches/CachedConfigurations/workspaces/KEY/workspace.json`) and the file itself at the
//! same time, over one connection. When the file's answer is through first by a hair, the page misses it and goes on with what it
//! remembers: no folders at all, when this workspace was never opened, or was left while it opened. In about every fourth first visit it
//! did. With both the same, it does not matter which one comes first.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;

use super::extensions::Place;
use crate::model::AbsolutePath;
use crate::sys;

/// The most bytes of a workspace file: a larger one is left to VS Code.
const MAX_FILE: u64 = 1 << 20;

/// VS Code's number for the workspace at `path` in a page that was fetched from `host` (with the port, as the browser shows it): its hash
/// of the file's address, which `base/common/hash.ts` and `base/common/uri.ts` make.
#[cfg(feature = "front")]
pub fn key(host: &str, path: &AbsolutePath) -> i32 {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    let address = format!("vscode-remote://{}{}", host.to_ascii_lowercase(), utf8_percent_encode(path.as_str(), PLAIN));
    let mix = |hash: i32, value: i32| hash.wrapping_mul(31).wrapping_add(value);
    address.bytes().fold(mix(0, 149_417), |hash, byte| mix(hash, byte.into()))
}

/// Has VS Code remember the workspace file at `path`, whose number is `key`, as it is now. Blocking.
///
/// # Errors
/// When the file is none that can be read, is too large, or what is remembered cannot be written.
pub fn remember(place: &Place, path: &AbsolutePath, key: i32) -> io::Result<()> {
    // Whoever made a pipe of it keeps nobody waiting.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path.as_path())?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut content = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_FILE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let remembered = serde_json::to_vec(&serde_json::json!({ "content": String::from_utf8_lossy(&content) }))?;
    let sign = if key < 0 { "-" } else { "" };
    let dir = place.user_data().join(format!("User/caches/CachedConfigurations/workspaces/{sign}{:x}", key.unsigned_abs()));
    let file = dir.join("workspace.json");
    if fs::read(&file).is_ok_and(|there| there == remembered) {
        return Ok(());
    }
    fs::create_dir_all(&dir)?;
    sys::write_atomic(&file, &remembered)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn path(text: &str) -> AbsolutePath {
        text.parse().unwrap()
    }

    /// By the arithmetic of JavaScript. That a browser's VS Code has the same is seen in the tests with one.
    #[cfg(feature = "front")]
    #[test]
    fn keys_are_vs_codes() {
        let known = [
            ("127.0.0.1:8080", "/home/user/one.code-workspace", 482_250_809),
            ("acme-web-code-1.srv7.example.com", "/home/user/two.code-workspace", -1_604_348_640),
            ("Localhost", "/a b/ü:(1).code-workspace", -917_056_422),
        ];
        for (host, file, number) in known {
            assert_eq!(key(host, &path(file)), number, "{file}");
        }
    }

    #[test]
    fn what_is_remembered_is_the_file_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let words = ["node", "/e/out/server-main.js", "--extensions-dir", "/x", "--server-data-dir", "/x", "--user-data-dir"];
        let words = words.into_iter().map(Into::into).chain([dir.path().as_os_str().to_owned()]);
        let place = Place::of(&words.collect::<Vec<_>>(), None).unwrap();
        let file = dir.path().join("x.code-workspace");
        let name = path(file.to_str().unwrap());
        assert_eq!(remember(&place, &name, -0x1f).unwrap_err().kind(), io::ErrorKind::NotFound);
        for content in ["{\"folders\":[{\"path\":\"a\"}]}", "{ // edited\n}"] {
            fs::write(&file, content).unwrap();
            remember(&place, &name, -0x1f).unwrap();
            let there = fs::read(dir.path().join("User/caches/CachedConfigurations/workspaces/-1f/workspace.json")).unwrap();
            assert_eq!(serde_json::from_slice::<serde_json::Value>(&there).unwrap(), serde_json::json!({ "content": content }));
        }
        fs::write(&file, vec![b' '; (MAX_FILE + 1) as usize]).unwrap();
        assert_eq!(remember(&place, &name, 1).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        fs::remove_file(&file).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        assert_eq!(remember(&place, &name, 1).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(remember(&place, &path("/proc"), 1).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
