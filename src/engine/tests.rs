//! Layout, store and pack on small made-up trees with a shell script for node. No engine is started here.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::adding::{AddOptions, Progress};
use super::error::EngineError;
use super::layout::Tree;
use super::locate::locate_in;
use super::manifest::Encoding;
use super::pack::Effort;
use super::store::{Store, version_key};
use super::{Engine, ServerDirs, ServerOptions, ServerUser, command};

const PRODUCT: &str = r#"{"nameShort":"Code - OSS","version":"1.2.3","commit":"abc123","quality":"stable"}"#;

fn put(path: &Path, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().expect("parent")).expect("mkdir");
    fs::write(path, content).expect("write");
}

fn put_node(path: &Path) {
    put(path, "#!/bin/sh\necho v24.0.0\n");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("chmod");
}

fn put_tree(root: &Path, product: &str) {
    put(&root.join("out/server-main.js"), "server");
    put(&root.join("product.json"), product);
    put(&root.join("package.json"), r#"{"version":"1.2.3"}"#);
    put(&root.join("out/vs/code/browser/workbench/workbench.js"), "let a = 1;\n".repeat(1000));
    put(&root.join("out/vs/code/browser/workbench/workbench.css"), "a{}");
    put(&root.join("out/media/noise.ttf"), noise(5000));
    put(&root.join("out/vs/x/node/secret.js"), "server only");
}

/// Bytes that do not compress.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let step = |state: &mut u64| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (*state >> 56) as u8
    };
    (0..len).map(|_| step(&mut state)).collect()
}

fn quick() -> AddOptions {
    AddOptions { warm: false, effort: Effort::Quick, ..AddOptions::default() }
}

fn sample() -> (tempfile::TempDir, Tree, Store) {
    let dir = tempfile::tempdir().expect("tempdir");
    put_tree(&dir.path().join("tree"), PRODUCT);
    put_node(&dir.path().join("tree/node"));
    let tree = Tree::discover(&dir.path().join("tree"), None).expect("tree");
    let store = Store::new(dir.path().join("store"));
    (dir, tree, store)
}

#[test]
fn finds_the_known_layouts() {
    for (tree, node) in [
        ("", "node"),
        ("lib/vscode", "lib/node"),
        ("vscodium-reh-web-linux-x64", "vscodium-reh-web-linux-x64/node"),
        ("code-server-4.1.0-linux-amd64/lib/vscode", "code-server-4.1.0-linux-amd64/lib/node"),
        ("usr/lib/code-server/lib/vscode", "usr/lib/code-server/lib/node"),
    ] {
        let dir = tempfile::tempdir().expect("tempdir");
        let base = fs::canonicalize(dir.path()).expect("canonical");
        put_tree(&base.join(tree), PRODUCT);
        put_node(&base.join(node));
        let found = Tree::discover(&base, None).expect(tree);
        assert_eq!(found.root, fs::canonicalize(base.join(tree)).expect("root"));
        assert_eq!(found.node, base.join(node));
        assert_eq!(found.product.version, "1.2.3");
    }
}

#[test]
fn finds_npm_siblings_and_commit_of_the_package() {
    let dir = tempfile::tempdir().expect("tempdir");
    let modules = dir.path().join("node_modules");
    put_tree(&modules.join("code-server/lib/vscode"), "{}");
    put(&modules.join("code-server/package.json"), r#"{"version":"4.1.0","commit":"fff"}"#);
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    put_node(&modules.join(format!("node-linux-{arch}/bin/node")));
    let found = Tree::discover(dir.path(), None).expect("tree");
    assert_eq!((found.product.commit.as_str(), found.product.version.as_str()), ("fff", "1.2.3"));
    assert_eq!(found.product.quality, "oss");
    assert!(found.node.ends_with("bin/node"));
}

#[test]
fn says_what_is_missing() {
    let dir = tempfile::tempdir().expect("tempdir");
    assert!(matches!(Tree::discover(dir.path(), None), Err(EngineError::NoTree { .. })));
    put_tree(dir.path(), PRODUCT);
    let error = Tree::discover(dir.path(), None).expect_err("no node").to_string();
    assert!(error.contains("--node"), "{error}");
    put_tree(dir.path(), r#"{"version":"1","commit":"../../etc"}"#);
    put_node(&dir.path().join("node"));
    assert!(matches!(Tree::discover(dir.path(), None), Err(EngineError::Product { .. })));
}

#[test]
fn add_list_remove() {
    let (_dir, tree, store) = sample();
    let mut steps = Vec::new();
    let engine = store.add(&tree, &quick(), &mut |progress| steps.push(progress)).expect("add");
    assert!(steps.contains(&Progress::Copying) && !steps.contains(&Progress::Warming));
    assert!(engine.id().starts_with("code---oss-1.2.3-"), "{}", engine.id());
    assert_eq!(engine.static_prefix(), "/stable-abc123/static/");
    assert!(engine.preload().is_none() && engine.root().join("out/server-main.js").is_file());
    assert!(tree.root.exists());

    let again = store.add(&tree, &quick(), &mut |progress| assert_eq!(progress, Progress::Waiting)).expect("again");
    assert_eq!(again.id(), engine.id());
    let ids: Vec<String> = store.list().expect("list").iter().map(|engine| engine.id().to_owned()).collect();
    assert_eq!(ids, [engine.id()]);

    store.remove(engine.id()).expect("remove");
    assert!(store.list().expect("list").is_empty());
    assert!(matches!(store.remove(engine.id()), Err(EngineError::Unknown { .. })));
    assert_eq!(fs::read_dir(store.dir()).expect("dir").count(), 1, "only the lock is left");
}

#[test]
fn moving_takes_the_tree_away() {
    let (_dir, tree, store) = sample();
    let options = AddOptions { move_tree: true, id: Some("mine".into()), ..quick() };
    let engine = store.add(&tree, &options, &mut |_| ()).expect("add");
    assert!(engine.id() == "mine" && !tree.root.exists() && engine.node().is_file());
}

#[test]
fn refuses_bad_ids_and_taken_places_and_sweeps_leftovers() {
    let (_dir, tree, store) = sample();
    for id in ["", ".x", "a/b", "..", "a b"] {
        let options = AddOptions { id: Some(id.into()), ..quick() };
        assert!(matches!(store.add(&tree, &options, &mut |_| ()), Err(EngineError::BadId { .. })), "{id:?}");
    }
    put(&store.dir().join("taken/file"), "x");
    put(&store.dir().join(".staging-dead/vscode/file"), "x");
    let options = AddOptions { id: Some("taken".into()), ..quick() };
    assert!(matches!(store.add(&tree, &options, &mut |_| ()), Err(EngineError::Occupied { .. })));
    assert!(!store.dir().join(".staging-dead").exists());
}

#[test]
fn a_failed_add_leaves_nothing() {
    let (_dir, tree, store) = sample();
    // Without an engine behind it the script ends at once.
    let options = AddOptions { warm: true, ..quick() };
    let error = store.add(&tree, &options, &mut |_| ()).expect_err("warm").to_string();
    assert!(error.contains("ended before its socket") && error.contains("v24.0.0"), "{error}");
    assert_eq!(fs::read_dir(store.dir()).expect("dir").count(), 1, "only the lock is left");
}

#[test]
fn packs_what_may_be_served_and_nothing_else() {
    let (_dir, tree, store) = sample();
    put(&tree.root.parent().expect("parent").join("outside.js"), "secret");
    symlink("../../outside.js", tree.root.join("out/vs/link.js")).expect("symlink");
    let engine = store.add(&tree, &quick(), &mut |_| ()).expect("add");
    let manifest = engine.manifest().expect("manifest");
    let paths: Vec<&str> = manifest.files.keys().map(String::as_str).collect();
    assert_eq!(paths, ["out/media/noise.ttf", "out/vs/code/browser/workbench/workbench.css", "out/vs/code/browser/workbench/workbench.js"]);
    assert!(manifest.files["out/media/noise.ttf"].variants.is_empty(), "not smaller");
    assert!(manifest.files["out/vs/code/browser/workbench/workbench.css"].variants.is_empty(), "too small");

    let script = &manifest.files["out/vs/code/browser/workbench/workbench.js"];
    let plain = fs::read(engine.root().join("out/vs/code/browser/workbench/workbench.js")).expect("plain");
    for variant in &script.variants {
        let path = engine.static_dir().join(format!("out/vs/code/browser/workbench/workbench.js{}", variant.encoding.suffix()));
        let packed = fs::read(path).expect("variant");
        assert_eq!(packed.len() as u64, variant.size);
        let mut unpacked = Vec::new();
        match variant.encoding {
            Encoding::Br => brotli::BrotliDecompress(&mut packed.as_slice(), &mut unpacked).expect("br"),
            Encoding::Zstd => unpacked = zstd::decode_all(packed.as_slice()).expect("zstd"),
            Encoding::Gzip => {
                std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(packed.as_slice()), &mut unpacked).map(drop).expect("gzip");
            }
        }
        assert_eq!(unpacked, plain);
    }
    assert_eq!(script.variants.len(), 3);
}

#[test]
fn locates_the_newest_and_explains_raw_trees() {
    let (dir, tree, store) = sample();
    let add = |version: &str, id: &str| {
        let mut tree = tree.clone();
        tree.product.version = version.into();
        store.add(&tree, &AddOptions { id: Some(id.into()), ..quick() }, &mut |_| ()).expect("add");
    };
    add("1.100.0", "new");
    add("1.9.0", "old");
    let id = |path: &Path| locate_in(Some(path), None, &[]).expect("engine").id().to_owned();
    assert_eq!(id(store.dir()), "new");
    assert_eq!(id(&store.dir().join("old")), "old");
    let fallbacks = [PathBuf::from("/nowhere"), store.dir().to_owned()];
    assert_eq!(locate_in(None, None, &fallbacks).expect("engine").id(), "new");
    let error = locate_in(Some(&dir.path().join("tree")), None, &[]).expect_err("raw").to_string();
    assert!(error.contains("hoody-code engine add"), "{error}");
    assert!(matches!(Engine::open(&dir.path().join("tree")), Err(EngineError::RawTree { .. })));
    assert!(version_key("1.9.0") < version_key("1.100.0"));
}

#[test]
fn commands_are_complete_and_leak_nothing() {
    let (_dir, tree, store) = sample();
    let engine = store.add(&tree, &quick(), &mut |_| ()).expect("add");
    let at = Path::new("/i");
    let dirs = ServerDirs { socket: Path::new("/run/i.sock"), user_data: at, extensions: at, server_data: at };
    let options = ServerOptions { auth: false, extra: vec!["--log=warn".into()], ..ServerOptions::default() };
    let argv: Vec<String> = command::argv(&engine, &dirs, &options).iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let value = |flag: &str| argv.iter().position(|arg| arg == flag).and_then(|at| argv.get(at + 1)).map(String::as_str);
    assert_eq!(argv[0], engine.node().to_string_lossy());
    assert_eq!(value("--socket-path"), Some("/run/i.sock"));
    assert_eq!(value("--auth"), Some("none"));
    assert_eq!(value("--reconnection-grace-time"), Some("10800"));
    assert_eq!(value("--require"), None, "no compile cache, no preload");
    assert_eq!(argv.last().map(String::as_str), Some("--log=warn"));

    let user =
        ServerUser { home: at, name: "u".as_ref(), shell: Path::new("/bin/sh"), path: None, lang: None, timezone: None, runtime_dir: None };
    let env = command::env_for(&engine, &user);
    let names: Vec<&str> = env.iter().filter_map(|(name, _)| name.to_str()).collect();
    assert_eq!(names, ["HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "NODE_EXEC_PATH"]);
}
