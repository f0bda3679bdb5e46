//! Makes an engine's compressed variants and its manifest, once, when the engine is added.
//!
//! Serving a file then costs neither CPU nor a running instance. Knows no HTTP beyond content types.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::{io, thread};

use sha2::{Digest, Sha256};

use super::error::EngineError;
use super::manifest::{self, Encoding, Entry, Manifest, Variant};

/// Below this a response is a packet or two either way.
const MIN_SIZE: u64 = 1024;
/// Browsers refuse zstd frames with a larger window (RFC 9659: 8 MB).
const ZSTD_WINDOW_LOG: u32 = 23;
/// Directories nest less deep than this in every known engine.
const MAX_DEPTH: usize = 24;

/// How hard to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Effort {
    /// The best ratio for all that a page loads; minutes on two cores.
    #[default]
    Best,
    /// Quick and larger, for development and tests; seconds.
    Quick,
}

struct Task {
    path: String,
    encoding: Encoding,
    size: u64,
}

/// Packs the tree at `root` into `out` (which is created): variants as `<path>.br`, `.zst`, `.gz`, and the manifest.
/// `progress` gets bytes of work done and in all, from this thread.
///
/// # Errors
/// The first file that cannot be read, compressed or written.
pub fn pack(root: &Path, out: &Path, effort: Effort, progress: &mut dyn FnMut(u64, u64)) -> Result<Manifest, EngineError> {
    let mut files = collect(root)?;
    let mut tasks: Vec<Task> = files
        .iter()
        .filter(|(_, entry)| entry.size >= MIN_SIZE && manifest::compressible(&entry.content_type))
        .flat_map(|(path, entry)| Encoding::ALL.map(|encoding| Task { path: path.clone(), encoding, size: entry.size }))
        .collect();
    // The biggest brotli task is as long as all the rest of one core's share: it has to start first.
    tasks.sort_by_key(|task| std::cmp::Reverse((task.encoding == Encoding::Br, task.size)));
    let total = tasks.iter().map(|task| task.size).sum();
    let mut done = 0;
    progress(done, total);
    run(root, out, effort, &tasks, &mut |task, size| {
        if let (Some(size), Some(entry)) = (size, files.get_mut(&task.path)) {
            entry.variants.push(Variant { encoding: task.encoding, size });
        }
        done += task.size;
        progress(done, total);
    })?;
    for entry in files.values_mut() {
        entry.variants.sort_by_key(|variant| variant.encoding);
    }
    let manifest = Manifest { format: manifest::FORMAT, files };
    let path = out.join(manifest::FILE);
    let text = serde_json::to_vec(&manifest).map_err(EngineError::json(&path))?;
    write(&path, &text)?;
    Ok(manifest)
}

/// All servable files with their hashes. Symlinks are not followed: a link out of the tree must not publish its target.
fn collect(root: &Path) -> Result<BTreeMap<String, Entry>, EngineError> {
    let mut files = BTreeMap::new();
    let mut pending: Vec<(PathBuf, String, usize)> = vec![(root.to_owned(), String::new(), 0)];
    while let Some((dir, prefix, depth)) = pending.pop() {
        for item in fs::read_dir(&dir).map_err(EngineError::io("list", &dir))? {
            let item = item.map_err(EngineError::io("list", &dir))?;
            // A name that is not UTF-8 cannot be in a manifest, nor does any engine have one.
            let Ok(name) = item.file_name().into_string() else { continue };
            let path = format!("{prefix}{name}");
            let kind = item.file_type().map_err(EngineError::io("look at", &item.path()))?;
            if kind.is_dir() && depth < MAX_DEPTH {
                pending.push((item.path(), format!("{path}/"), depth + 1));
            } else if kind.is_file()
                && let Some(content_type) = manifest::servable(&path)
            {
                let content = fs::read(item.path()).map_err(EngineError::io("read", &item.path()))?;
                let digest = Sha256::digest(&content);
                let entry = Entry {
                    content_type: content_type.to_owned(),
                    size: content.len() as u64,
                    hash: hex::encode(&digest[..16]),
                    variants: Vec::new(),
                    headers: BTreeMap::new(),
                };
                files.insert(path, entry);
            }
        }
    }
    Ok(files)
}

/// Works the tasks off on all cores; `finished` is called on this thread with the size of what was kept.
fn run(root: &Path, out: &Path, effort: Effort, tasks: &[Task], finished: &mut dyn FnMut(&Task, Option<u64>)) -> Result<(), EngineError> {
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..workers {
            let (sender, next, stop) = (sender.clone(), &next, &stop);
            scope.spawn(move || {
                while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if stop.load(Ordering::Relaxed) || sender.send((task, work(root, out, effort, task))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut first = Ok(());
        for (task, result) in receiver {
            match result {
                Ok(size) => finished(task, size),
                Err(error) if first.is_ok() => {
                    stop.store(true, Ordering::Relaxed);
                    first = Err(error);
                }
                Err(_) => {}
            }
        }
        first
    })
}

/// One variant of one file: its size, or `None` when it is not at least 5 % smaller and so not kept.
fn work(root: &Path, out: &Path, effort: Effort, task: &Task) -> Result<Option<u64>, EngineError> {
    let source = root.join(&task.path);
    let content = fs::read(&source).map_err(EngineError::io("read", &source))?;
    let packed = compress(&content, task.encoding, level(task, effort)).map_err(EngineError::io("compress", &source))?;
    if packed.len() as u64 * 100 > content.len() as u64 * 95 {
        return Ok(None);
    }
    let target = out.join(format!("{}{}", task.path, task.encoding.suffix()));
    write(&target, &packed)?;
    Ok(Some(packed.len() as u64))
}

/// Levels. Files of built-in extensions are hardly ever asked for here (a remote window reads them through the instance),
/// so they get levels that cost a tenth of the time and a few percent in size.
fn level(task: &Task, effort: Effort) -> u32 {
    let cold = task.path.starts_with("extensions/");
    match (task.encoding, effort) {
        (Encoding::Br, Effort::Best) if cold => 9,
        (Encoding::Br, Effort::Best) => 11,
        (Encoding::Br, Effort::Quick) => 4,
        (Encoding::Zstd, Effort::Best) if cold => 12,
        (Encoding::Zstd, Effort::Best) => 19,
        (Encoding::Zstd, Effort::Quick) => 3,
        (Encoding::Gzip, Effort::Best) if cold => 6,
        (Encoding::Gzip, Effort::Best) => 9,
        (Encoding::Gzip, Effort::Quick) => 1,
    }
}

fn compress(content: &[u8], encoding: Encoding, level: u32) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(content.len() / 3);
    match encoding {
        Encoding::Br => {
            let params = brotli::enc::BrotliEncoderParams {
                quality: level as i32,
                // 16 MB, the most that the standard (and with it every browser) allows.
                lgwin: 24,
                size_hint: content.len(),
                ..Default::default()
            };
            brotli::BrotliCompress(&mut io::Cursor::new(content), &mut out, &params)?;
        }
        Encoding::Zstd => {
            let mut encoder = zstd::stream::Encoder::new(&mut out, level as i32)?;
            if content.len() as u64 > 1 << ZSTD_WINDOW_LOG {
                encoder.window_log(ZSTD_WINDOW_LOG)?;
            }
            encoder.set_pledged_src_size(Some(content.len() as u64))?;
            encoder.include_contentsize(true)?;
            encoder.write_all(content)?;
            encoder.finish()?;
        }
        Encoding::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(&mut out, flate2::Compression::new(level));
            encoder.write_all(content)?;
            encoder.finish()?;
        }
    }
    Ok(out)
}

fn write(path: &Path, content: &[u8]) -> Result<(), EngineError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(EngineError::io("create", parent))?;
    }
    fs::write(path, content).map_err(EngineError::io("write", path))
}
