//! Engines. The real one shows that things work; a fake one does on demand what a real one does once a year.

use std::path::Path;

use hoody_code::engine::{AddOptions, Engine, Store, Tree, locate};

/// The installed engine.
pub(crate) fn real_engine() -> Engine {
    locate(None).expect("an installed engine (make build)")
}

/// An engine whose server is `fake-engine.js`.
pub(crate) struct FakeEngine {
    dir: tempfile::TempDir,
    engine: Engine,
}

impl FakeEngine {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let tree = dir.path().join("tree");
        std::fs::create_dir_all(tree.join("out/vs")).expect("directories");
        std::fs::write(tree.join("out/server-main.js"), include_str!("fake-engine.js")).expect("a server");
        std::fs::write(tree.join("out/fake-app.js"), include_str!("fake-app.js")).expect("an app");
        std::fs::write(tree.join("out/vs/workbench.js"), "console.log('workbench');\n".repeat(500)).expect("a script");
        let product = r#"{"nameShort":"fake","applicationName":"fake","version":"1.0.0","commit":"c0ffee","quality":"stable"}"#;
        std::fs::write(tree.join("product.json"), product).expect("a product");
        std::fs::write(tree.join("package.json"), r#"{"version":"1.0.0"}"#).expect("a package");
        // Copying node's 100 MB for every test would be most of its time: a script that becomes it will do.
        let node = dir.path().join("node");
        std::fs::write(&node, format!("#!/bin/sh\nexec '{}' \"$@\"\n", real_engine().node().display())).expect("a script");
        std::fs::set_permissions(&node, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
        let store = Store::new(dir.path().join("engines"));
        let options =
            AddOptions { id: Some("fake-1".into()), warm: false, effort: hoody_code::engine::Effort::Quick, ..AddOptions::default() };
        let tree = Tree::discover(&tree, Some(&node)).expect("a tree");
        let engine = store.add(&tree, &options, &mut |_| {}).expect("an engine");
        Self { dir, engine }
    }

    pub(crate) fn path(&self) -> &Path {
        self.engine.dir()
    }

    /// How the server of the next start behaves: see `fake-engine.js`.
    pub(crate) fn behave(&self, how: &str) {
        std::fs::write(self.dir.path().join("behaviour"), how).expect("a behaviour");
    }
}
