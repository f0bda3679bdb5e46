//! Style sheets and scripts that the operator adds to the workbench.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::super::compress;
use crate::config::Page;

/// The added files, under names that change with their content, so that a browser may keep them for ever.
pub(in super::super) struct CustomFiles {
    files: Vec<(String, &'static str, Bytes)>,
    styles: Vec<String>,
    scripts: Vec<String>,
    /// What is sent with gzip, of these and of our own: compressed when it is first asked for.
    packed: Mutex<HashMap<String, Bytes>>,
}

impl CustomFiles {
    pub(in super::super) fn new(page: &Page) -> Self {
        let mut custom = Self { files: Vec::new(), styles: Vec::new(), scripts: Vec::new(), packed: Mutex::default() };
        for content in &page.css {
            let url = custom.add(content, "css", "text/css; charset=utf-8");
            custom.styles.push(url);
        }
        for content in &page.js {
            let url = custom.add(content, "js", "text/javascript; charset=utf-8");
            custom.scripts.push(url);
        }
        if let Some((kind, content)) = &page.logo {
            custom.files.push(("page/logo".to_owned(), kind, content.clone()));
        }
        custom
    }

    /// URLs of the style sheets, relative to the instance's root.
    pub(in super::super) fn styles(&self) -> &[String] {
        &self.styles
    }

    /// URLs of the scripts, relative to the instance's root.
    pub(in super::super) fn scripts(&self) -> &[String] {
        &self.scripts
    }

    /// The file at `name` below `_static/`, with its content type.
    pub(in super::super) fn get(&self, name: &str) -> Option<(&'static str, Bytes)> {
        self.files.iter().find(|(known, ..)| known == name).map(|(_, kind, content)| (*kind, content.clone()))
    }

    /// `content`, which is the file `name`, with gzip.
    pub(super) fn packed(&self, name: &str, content: &Bytes) -> Option<Bytes> {
        let mut packed = self.packed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = packed.get(name) {
            return Some(known.clone());
        }
        let small = compress::pack(content)?;
        packed.insert(name.to_owned(), small.clone());
        Some(small)
    }

    fn add(&mut self, content: &Bytes, extension: &str, kind: &'static str) -> String {
        let digest = hex::encode(&Sha256::digest(content)[..8]);
        let name = format!("page/{digest}.{extension}");
        let url = format!("./_static/{name}");
        self.files.push((name, kind, content.clone()));
        url
    }
}
