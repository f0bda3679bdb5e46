//! Which of an engine's files a browser may have, and what is known about each of them.
//!
//! Deny by default: a file that [`servable`] does not name is not in the manifest, and what is not in the manifest is not
//! served. VS Code's own server hands out everything below its root (`package.json`, server code, native modules).
//! It sends no special header for any static file (looked at with 1.139.1), so `headers` starts empty for all.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::EngineError;

/// Version of the manifest's shape.
pub const FORMAT: u32 = 1;
/// Its name in the engine's `static/` directory.
pub const FILE: &str = "manifest.json";

/// A compressed form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Brotli (RFC 7932).
    Br,
    /// Zstandard with a window of at most 8 MB (RFC 9659).
    Zstd,
    /// Gzip (RFC 1952).
    Gzip,
}

impl Encoding {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Br, Self::Zstd, Self::Gzip];

    /// The content coding's name in HTTP.
    pub fn token(self) -> &'static str {
        match self {
            Self::Br => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// What a variant's file name ends with, dot included.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Br => ".br",
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
        }
    }
}

/// One compressed form that exists on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// Which one.
    pub encoding: Encoding,
    /// Its size in bytes.
    pub size: u64,
}

/// One file a browser may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Value of `Content-Type`.
    pub content_type: String,
    /// Size in bytes, not compressed.
    pub size: u64,
    /// First 16 bytes of the content's SHA-256 in hex. The entity tag is this in quotes, with `-br`, `-zstd` or `-gzip`
    /// behind it for a variant.
    pub hash: String,
    /// Compressed forms worth having, in no order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Variant>,
    /// Further response headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

/// All files a browser may have, by their path below the tree's root (`/` between components, not encoded).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// See [`FORMAT`].
    pub format: u32,
    /// The files.
    pub files: BTreeMap<String, Entry>,
}

impl Manifest {
    /// Reads the manifest in `dir`.
    ///
    /// # Errors
    /// When it cannot be read or parsed, or has another format.
    pub fn read(dir: &Path) -> Result<Self, EngineError> {
        let path = dir.join(FILE);
        let text = fs::read(&path).map_err(EngineError::io("read", &path))?;
        let manifest: Self = serde_json::from_slice(&text).map_err(EngineError::json(&path))?;
        if manifest.format != FORMAT {
            return Err(EngineError::Format { path, found: manifest.format, want: FORMAT });
        }
        Ok(manifest)
    }
}

/// What the workbench and its workers load from `node_modules`, found as `importAMDNodeModule` calls and font and wasm URLs
/// in 1.139.1; `tas-client-umd` is of older versions, `vsda` of Microsoft's own build.
const MODULES: &[&str] = &[
    "@microsoft/1ds-core-js/bundle/",
    "@microsoft/1ds-post-js/bundle/",
    "@vscode/diff/dist/",
    "@vscode/iconv-lite-umd/lib/",
    "@vscode/tree-sitter-wasm/wasm/",
    "@vscode/vscode-languagedetection/dist/lib/",
    "@vscode/vscode-languagedetection/model/",
    "@xterm/",
    "jschardet/dist/",
    "katex/dist/",
    "tas-client-umd/lib/",
    "vscode-oniguruma/release/",
    "vscode-textmate/release/",
    "vsda/rust/web/",
];
/// Directories of a built-in extension whose scripts are made for a browser (as are all that end in `-out`).
const BROWSER_DIRS: &[&str] = &["browser", "media", "web"];
/// Directories whose content no browser asks for.
const NEVER_DIRS: &[&str] = &["node", "node_modules", "test", "headless"];

/// The content type of `path` (below the tree's root) when a browser may have it, or `None`.
pub fn servable(path: &str) -> Option<&'static str> {
    let (area, rest) = path.split_once('/')?;
    let dirs = || rest.rsplit_once('/').map_or("", |(dirs, _)| dirs).split('/');
    let extension = rest.rsplit('/').next()?.rsplit_once('.')?.1;
    let kind = content_type(extension)?;
    let script = matches!(extension, "js" | "mjs" | "wasm" | "html");
    let allowed = match area {
        // `server-main.js` and the like lie at the top; of those the page loads its messages only. The HTML in `vs/code` is
        // the server's template.
        "out" if !rest.contains('/') => rest == "nls.messages.js",
        "out" => !(dirs().any(|dir| NEVER_DIRS.contains(&dir)) || extension == "html" && rest.starts_with("vs/code/")),
        "node_modules" => MODULES.iter().any(|module| rest.starts_with(module)) && !dirs().any(|dir| NEVER_DIRS.contains(&dir)),
        "extensions" => {
            let browser = || dirs().any(|dir| BROWSER_DIRS.contains(&dir) || dir.ends_with("-out")) || rest.ends_with(".web.js");
            !dirs().any(|dir| NEVER_DIRS.contains(&dir)) && (!script || browser())
        }
        "resources" => rest.starts_with("server/"),
        _ => false,
    };
    allowed.then_some(kind)
}

/// Whether compressing content of this type is worth trying.
pub fn compressible(content_type: &str) -> bool {
    let plain = content_type.split(';').next().unwrap_or_default();
    plain.starts_with("text/")
        || matches!(
            plain,
            "application/json"
                | "application/wasm"
                | "application/octet-stream"
                | "font/ttf"
                | "font/otf"
                | "image/svg+xml"
                | "image/x-icon"
        )
}

/// Content types by file name extension. An extension that is not here is not served: shell scripts, libraries, maps.
fn content_type(extension: &str) -> Option<&'static str> {
    Some(match extension {
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        "json" | "code-snippets" | "tmLanguage" | "jsonc" => "application/json; charset=utf-8",
        "svg" => "image/svg+xml; charset=utf-8",
        "scm" | "txt" | "md" => "text/plain; charset=utf-8",
        "wasm" => "application/wasm",
        "bin" => "application/octet-stream",
        "ttf" => "font/ttf",
        "otf" => "font/otf",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "png" => "image/png",
        "gif" => "image/gif",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "mp3" => "audio/mpeg",
        "wav" => "audio/wav",
        "ogg" => "audio/ogg",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_gets_what_it_loads() {
        for path in [
            "out/nls.messages.js",
            "out/media/codicon.ttf",
            "out/vs/code/browser/workbench/workbench.js",
            "out/vs/workbench/contrib/webview/browser/pre/index.html",
            "out/vs/workbench/services/search/worker/localFileSearchMain.js",
            "node_modules/@xterm/xterm/lib/xterm.js",
            "node_modules/vscode-oniguruma/release/onig.wasm",
            "node_modules/katex/dist/fonts/KaTeX_AMS-Regular.woff2",
            "node_modules/@vscode/vscode-languagedetection/model/group1-shard1of1.bin",
            "extensions/theme-seti/icons/seti.woff",
            "extensions/git/package.json",
            "extensions/css-language-features/client/dist/browser/cssClientMain.js",
            "extensions/markdown-math/notebook-out/katex.js",
            "resources/server/manifest.json",
        ] {
            assert!(servable(path).is_some(), "{path}");
        }
    }

    #[test]
    fn the_server_keeps_its_own() {
        for path in [
            "product.json",
            "package.json",
            "node",
            "out/server-main.js",
            "out/nls.metadata.json",
            "out/vs/workbench/api/node/extensionHostProcess.js",
            "out/vs/workbench/contrib/terminal/common/scripts/shellIntegration-bash.sh",
            "out/vs/code/browser/workbench/workbench.html",
            "out/vs/code/browser/workbench/workbench.js.map",
            "node_modules/ws/index.js",
            "node_modules/@xterm/headless/lib-headless/xterm-headless.js",
            "extensions/node_modules/typescript/lib/typescript.js",
            "extensions/git/dist/main.js",
            "extensions/css-language-features/server/dist/node/cssServerMain.js",
            "extensions/copilot/dist/tree-sitter-cpp.wasm",
            "bin/code-server",
        ] {
            assert!(servable(path).is_none(), "{path}");
        }
    }
}
