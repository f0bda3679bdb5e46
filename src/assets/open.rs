//! The table of files: read once, every header value made once, every file mapped when first asked for.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};

use super::error::AssetError;
use crate::engine::Engine;
use crate::engine::manifest::{Encoding, Entry};

/// The static files of one engine. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Assets {
    files: Arc<HashMap<Box<str>, Asset>>,
}

/// One file with all its representations.
#[derive(Debug)]
pub(super) struct Asset {
    pub(super) content_type: HeaderValue,
    pub(super) extra: Vec<(HeaderName, HeaderValue)>,
    pub(super) identity: Representation,
    /// Smallest first.
    pub(super) variants: Vec<(Encoding, Representation)>,
}

/// One sequence of bytes that can be answered with.
#[derive(Debug)]
pub(super) struct Representation {
    path: PathBuf,
    pub(super) size: u64,
    pub(super) length: HeaderValue,
    /// Strong, quotes included. Always visible ASCII.
    pub(super) etag: HeaderValue,
    body: OnceLock<Bytes>,
}

impl Assets {
    /// Prepares the files of `engine`. Opens none of them yet.
    ///
    /// # Errors
    /// When the manifest cannot be read or holds what cannot be a header.
    pub fn open(engine: &Engine) -> Result<Self, AssetError> {
        let manifest = engine.manifest()?;
        let mut files = HashMap::with_capacity(manifest.files.len());
        for (path, entry) in manifest.files {
            let asset = Asset::new(engine, &path, &entry).map_err(|field| AssetError::Header {
                engine: engine.dir().to_owned(),
                path: path.clone(),
                field,
            })?;
            files.insert(path.into_boxed_str(), asset);
        }
        Ok(Self { files: Arc::new(files) })
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    pub(super) fn get(&self, path: &str) -> Option<&Asset> {
        self.files.get(path)
    }
}

impl Asset {
    fn new(engine: &Engine, path: &str, entry: &Entry) -> Result<Self, String> {
        let content_type = HeaderValue::from_str(&entry.content_type).map_err(|_| "content_type".to_owned())?;
        let mut extra = Vec::with_capacity(entry.headers.len());
        for (name, value) in &entry.headers {
            let pair = name.parse::<HeaderName>().ok().zip(HeaderValue::from_str(value).ok());
            extra.push(pair.ok_or_else(|| name.clone())?);
        }
        let identity = Representation::new(engine.root().join(path), entry.size, &format!("\"{}\"", entry.hash))?;
        let mut variants = Vec::with_capacity(entry.variants.len());
        for variant in &entry.variants {
            let file = engine.static_dir().join(format!("{path}{}", variant.encoding.suffix()));
            let etag = format!("\"{}-{}\"", entry.hash, variant.encoding.token());
            variants.push((variant.encoding, Representation::new(file, variant.size, &etag)?));
        }
        variants.sort_by_key(|(_, representation)| representation.size);
        Ok(Self { content_type, extra, identity, variants })
    }
}

impl Representation {
    fn new(path: PathBuf, size: u64, etag: &str) -> Result<Self, String> {
        let valid = etag.bytes().all(|byte| byte.is_ascii_graphic());
        let etag = HeaderValue::from_str(etag).ok().filter(|_| valid).ok_or("hash")?;
        Ok(Self { path, size, length: HeaderValue::from(size), etag, body: OnceLock::new() })
    }

    /// Its content, mapped on first use. The pages are the kernel's: shared by all connections, dropped under pressure.
    pub(super) fn body(&self) -> io::Result<Bytes> {
        if let Some(body) = self.body.get() {
            return Ok(body.clone());
        }
        let body = crate::sys::map_file(&File::open(&self.path)?)?;
        // Entries never change. One that did must not be sent with a length and a tag that are not its own.
        if body.len() as u64 != self.size {
            let text = format!("{} has {} bytes, its manifest says {}", self.path.display(), body.len(), self.size);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(self.body.get_or_init(|| body).clone())
    }
}
