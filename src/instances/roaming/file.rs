//! One scope: its content, and its file.
//!
//! A file is a line of JSON that says what it is and where it stands, a line with a digest over all the rest, and the entries as
//! compressed JSON.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{FOLDERS, MAX_SCOPE, MAX_SCOPE_BYTES, Position, Sender};

/// The kind of files that are about one folder.
pub(super) const FOLDER: char = 'w';

/// The most bytes of the first line.
const MAX_HEAD: u64 = 8 * MAX_SCOPE as u64;

/// The most bytes of a file's entries: JSON takes up to six bytes for one.
const MAX_BODY: u64 = 8 * MAX_SCOPE_BYTES as u64;

/// zstd's own default: small state, changed often.
const LEVEL: i32 = 3;

/// What a file is about, by the scope's name (or the beginning of it): the first letter of its name.
pub(super) fn kind(scope: &str) -> Option<char> {
    match scope {
        "global" | "global-shared" | "local" => Some('g'),
        _ if scope.starts_with("profile/") => Some('p'),
        _ if scope.starts_with(FOLDERS) => Some(FOLDER),
        _ => None,
    }
}

/// Whether a file is of that kind.
pub(super) fn is_kind(path: &Path, kind: char) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(&[kind as u8, b'-']))
}

/// Whether a file is a scope's at all.
pub(super) fn is_any_kind(path: &Path) -> bool {
    ['g', 'p', FOLDER].into_iter().any(|kind| is_kind(path, kind))
}

/// The first line of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) scope: String,
    epoch: String,
    revision: u64,
    floor: u64,
}

impl Head {
    pub(super) fn at(&self) -> Position {
        Position { epoch: Some(self.epoch.clone()), revision: self.revision }
    }
}

/// A key's last change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The revision it made.
    #[serde(rename = "r")]
    revision: u64,
    /// None: it was deleted.
    #[serde(rename = "v")]
    pub(super) value: Option<String>,
    /// The page that sent it, and the number of its request.
    #[serde(rename = "p")]
    page: String,
    #[serde(rename = "n")]
    sequence: u64,
}

/// A scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    scope: String,
    epoch: Option<String>,
    pub(super) revision: u64,
    /// Keys that were deleted at or before this revision are forgotten.
    floor: u64,
    pub(super) entries: BTreeMap<String, Entry>,
}

/// What somebody has seen of a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) revision: u64,
    /// Whether they have to forget what they do not get now.
    pub(super) full: bool,
}

impl Content {
    pub(super) fn new(scope: &str) -> Self {
        Self { scope: scope.to_owned(), epoch: None, revision: 0, floor: 0, entries: BTreeMap::new() }
    }

    pub(super) fn at(&self) -> Position {
        Position { epoch: self.epoch.clone(), revision: self.revision }
    }

    /// What somebody at `since` has seen of this.
    pub(super) fn newer_than(&self, since: &Position) -> Seen {
        let same = self.epoch == since.epoch && since.revision <= self.revision;
        if same && since.revision >= self.floor {
            Seen { revision: since.revision, full: false }
        } else {
            // Who knows this epoch has seen the keys of its time, only not what was deleted.
            Seen { revision: if same { since.revision } else { 0 }, full: true }
        }
    }

    /// Makes `changes`, in one revision. Returns the keys that are now as the sender has them, in order, and whether there is
    /// something to write.
    pub(super) fn apply(
        &mut self,
        sender: &Sender,
        changes: BTreeMap<String, Option<String>>,
        unless_newer: Option<u64>,
    ) -> (Vec<String>, bool) {
        let revision = self.revision + 1;
        let (mut own, mut touched) = (Vec::with_capacity(changes.len()), false);
        for (key, value) in changes {
            let (page, sequence) = (sender.page.clone(), sender.sequence);
            match self.entries.get_mut(&key) {
                Some(old) if old.page == page && old.sequence > sequence => continue,
                // Nothing new, and so nothing that makes what another device has left older than it is.
                Some(old) if old.value == value => {
                    if unless_newer.is_none() {
                        (old.page, old.sequence) = (page, sequence);
                        touched = true;
                    }
                }
                Some(old) if unless_newer.is_some_and(|seen| old.revision > seen) => continue,
                None if value.is_none() => {}
                _ => {
                    self.entries.insert(key.clone(), Entry { revision, value, page, sequence });
                    self.revision = revision;
                }
            }
            own.push(key);
        }
        if self.revision == revision && self.epoch.is_none() {
            self.epoch = Some(new_epoch());
        }
        (own, touched || self.revision == revision)
    }

    /// Forgets deleted keys but the `most` that were deleted last.
    pub(super) fn forget_deleted(&mut self, most: usize) {
        let mut deleted: Vec<_> = self.entries.values().filter(|entry| entry.value.is_none()).map(|entry| entry.revision).collect();
        if deleted.len() <= most {
            return;
        }
        deleted.sort_unstable();
        self.floor = deleted[deleted.len() - most - 1];
        let floor = self.floor;
        self.entries.retain(|_, entry| entry.value.is_some() || entry.revision > floor);
    }

    /// What somebody has not seen.
    pub(super) fn since(&self, seen: &Seen) -> impl Iterator<Item = (String, Option<String>)> {
        let seen = *seen;
        let wanted = move |entry: &Entry| if seen.full { entry.value.is_some() } else { entry.revision > seen.revision };
        self.entries.iter().filter(move |(_, entry)| wanted(entry)).map(|(key, entry)| (key.clone(), entry.value.clone()))
    }

    /// As a file.
    pub(super) fn encode(&self) -> io::Result<Vec<u8>> {
        let epoch = self.epoch.clone().unwrap_or_default();
        let head = Head { scope: self.scope.clone(), epoch, revision: self.revision, floor: self.floor };
        let head = serde_json::to_string(&head)?;
        let body = zstd::encode_all(serde_json::to_vec(&self.entries)?.as_slice(), LEVEL)?;
        Ok(assemble(head.as_bytes(), &body))
    }

    /// Reads a file's bytes. Whatever they are, the answer is a scope or an error of the kind `InvalidData`.
    pub(super) fn decode(bytes: &[u8], scope: &str) -> io::Result<Self> {
        let broken = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let mut parts = bytes.splitn(3, |byte| *byte == b'\n');
        let (Some(first), Some(sum), Some(body)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(broken("it is not whole"));
        };
        if digest(first, body).as_bytes() != sum {
            return Err(broken("its digest is another"));
        }
        let head: Head = serde_json::from_slice(first).map_err(|e| broken(&e.to_string()))?;
        if head.scope != scope {
            return Err(broken("it is about something else"));
        }
        let mut text = Vec::new();
        let decoder = zstd::Decoder::new(body).map_err(|e| broken(&e.to_string()))?;
        decoder.take(MAX_BODY).read_to_end(&mut text).map_err(|e| broken(&e.to_string()))?;
        let entries = serde_json::from_slice(&text).map_err(|e| broken(&e.to_string()))?;
        Ok(Self { scope: head.scope, epoch: Some(head.epoch), revision: head.revision, floor: head.floor, entries })
    }
}

/// The whole file.
pub(super) fn read(path: &Path, scope: &str) -> io::Result<Content> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BODY + MAX_HEAD).read_to_end(&mut bytes)?;
    Content::decode(&bytes, scope)
}

/// Only its first line; none when there is none that makes sense.
pub(super) fn head(path: &Path) -> Option<Head> {
    let mut line = Vec::new();
    BufReader::new(File::open(path).ok()?).take(MAX_HEAD).read_until(b'\n', &mut line).ok()?;
    serde_json::from_slice(&line).ok()
}

/// A file of its parts.
pub(super) fn assemble(head: &[u8], body: &[u8]) -> Vec<u8> {
    [head, b"\n", digest(head, body).as_bytes(), b"\n", body].concat()
}

fn digest(head: &[u8], body: &[u8]) -> String {
    hex::encode(Sha256::new().chain_update(head).chain_update(b"\n").chain_update(body).finalize())
}

fn new_epoch() -> String {
    let mut bytes = [0; 8];
    // Without randomness a store of the same second is taken for this one, and browsers get it whole: no harm.
    if getrandom::fill(&mut bytes).is_err() {
        bytes = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default().to_le_bytes();
    }
    hex::encode(bytes)
}
