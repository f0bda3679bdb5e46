//! The scripts that set a machine up and build the engine say in one line what is wrong, and leave nothing half-made.
//!
//! `npm` without a network is the real one; `apt-get`, a full disk and a machine without rights are played by stand-ins, in the words
//! of the real ones.

use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::support::eventually;

/// What npm says on a full disk, and then that it has succeeded.
const FULL: &str = "echo 'npm warn tar TAR_ENTRY_ERROR ENOSPC: no space left on device, write' >&2; echo 'added 1 package in 1s'";

/// What the scripts need of this tree, copied, with a cache and stand-ins of its own.
struct Stage {
    dir: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let stage = Self { dir: tempfile::tempdir().unwrap() };
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for dir in ["bin", "cache", "tree/tests/schemathesis", "tree/packaging/engine", "tree/src"] {
            fs::create_dir_all(stage.path(dir)).unwrap();
        }
        for name in [
            "Cargo.toml",
            "tests/package.json",
            "tests/package-lock.json",
            "tests/schemathesis/requirements.txt",
            "packaging/setup.sh",
            "packaging/why.sh",
        ] {
            fs::copy(root.join(name), stage.path("tree").join(name)).unwrap();
        }
        for (from, to) in [("packaging/engine", "packaging"), ("src/engine", "src")] {
            let done = Command::new("cp").arg("-r").arg(root.join(from)).arg(stage.path("tree").join(to)).status().unwrap();
            assert!(done.success());
        }
        // What this machine has free in its temporary directory is not the question.
        stage.stand_in("df", "echo 'Filesystem 1M Used Available'; echo '/dev/vda1 90000 1 80000'");
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A program that is found before the real one.
    fn stand_in(&self, name: &str, script: &str) -> &Self {
        let path = self.path("bin").join(name);
        // Written by another process: what this one has open for writing, a child that another test forks now would keep busy.
        let done = Command::new("sh")
            .args(["-c", "printf '#!/bin/sh\\n%s\\n' \"$1\" >\"$0\" && chmod 755 \"$0\""])
            .arg(&path)
            .arg(script)
            .status();
        assert!(done.unwrap().success());
        self
    }

    /// Somebody who may install packages, on a machine that has none, or all.
    fn machine(&self, packages: bool) -> &Self {
        self.stand_in("id", "echo 0").stand_in("dpkg-query", if packages { "echo installed" } else { "exit 1" })
    }

    fn command(&self, script: &str, words: &[&str]) -> Command {
        // A shell without job control has what it puts into the background ignore SIGINT, down to us; and bash takes no such signal back.
        let mut command = Command::new("env");
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        command
            .args(["--default-signal=INT,TERM", "bash"])
            .arg(self.path("tree/packaging").join(script))
            .args(words)
            .env("PATH", path)
            .env("LC_ALL", "C")
            .env("HOODY_CODE_BIN", env!("CARGO_BIN_EXE_hoody-code"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("npm_config_cache", self.path("npm"))
            .env("npm_config_registry", "http://127.0.0.1:1")
            .env("npm_config_fetch_retries", "0")
            .env("npm_config_noproxy", "127.0.0.1")
            .env("no_proxy", "127.0.0.1")
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, script: &str, words: &[&str]) -> Output {
        self.command(script, words).output().unwrap()
    }

    /// Fails with one line at the end that has `parts`, in this order.
    fn fails(&self, script: &str, words: &[&str], parts: &[&str]) {
        let output = self.run(script, words);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        let own: Vec<&str> = text.lines().filter(|line| !line.starts_with("    ") && !line.ends_with("its output:")).collect();
        let [line] = own[..] else { panic!("not one line: {text}") };
        assert!(text.ends_with(&format!("{line}\n")), "not the last one: {text}");
        parts.iter().fold(line, |rest, part| rest.split_once(part).unwrap_or_else(|| panic!("no {part:?}: {line}")).1);
    }

    /// What is in a directory of the cache, without locks and logs.
    fn left(&self, dir: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path("cache/hoody-code").join(dir)).into_iter().flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.ends_with("lock") && !name.ends_with(".log")).collect()
    }
}

const BUILD: &str = "engine/build.sh";
const ENGINES: &str = "engines";

#[test]
fn another_way_to_make_an_engine_is_another_engine() {
    let stage = Stage::new();
    let id = || String::from_utf8(stage.run(BUILD, &["--id"]).stdout).unwrap();
    let change = |name: &str, from: &str, to: &str| {
        let path = stage.path("tree/src/engine").join(name);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{name}: {from}");
        fs::write(path, text.replacen(from, to, 1)).unwrap();
    };
    let first = id();
    assert!(first.starts_with("code-server-"), "{first}");
    let dir = String::from_utf8(stage.run(BUILD, &["--dir"]).stdout).unwrap();
    assert_eq!(dir, format!("{}/{first}", stage.path("cache/hoody-code/engines").display()));
    change("pack.rs", "//! ", "//! More of it.\n\n//! ");
    change("manifest.rs", "mod tests {", "mod tests {\n    const MORE: u32 = 1;");
    assert_eq!(id(), first);
    let mut seen = vec![first];
    for (name, from, to) in [
        ("pack.rs", "Best) => 19", "Best) => 18"),
        ("manifest.rs", "\"text/", "\"application/"),
        ("warm.rs", "Accept: text/html", "Accept: */*"),
        ("installed.rs", "pub const FORMAT: u32 = 1;", "pub const FORMAT: u32 = 2;"),
        ("preload.cjs", "", "'more';"),
    ] {
        change(name, from, to);
        let next = id();
        assert!(!seen.contains(&next), "{name}");
        seen.push(next);
    }
}

#[test]
fn an_engine_that_cannot_be_built_says_why() {
    let stage = Stage::new();
    let network = ["engine: could not do this: [1/6] fetching", "no network", "run this again"];
    stage.fails(BUILD, &[], &network);
    assert_eq!(stage.left(ENGINES), [""; 0]);
    // As npm does it: it succeeds.
    stage.stand_in("npm", FULL).fails(BUILD, &[], &["engine: could not do this: [1/6]", "the disk is full: make room"]);
    stage.stand_in("npm", "echo 'npm error code EUSAGE' >&2; exit 1").fails(BUILD, &[], &["[1/6]", "last lines", "whole log: "]);
    stage.stand_in("df", "echo 'Filesystem 1M Used Available'; echo '/dev/vda1 9000 8900 100'");
    stage.fails(BUILD, &[], &["engine: too little disk space: 100 MB free in ", "MB needed: make room"]);
    stage.stand_in("df", "exit 1").fails(BUILD, &[], &["engine: cannot tell how much of the disk is free in "]);
    assert_eq!(stage.left(ENGINES), [""; 0]);
    fs::remove_dir_all(stage.path("cache")).unwrap();
    fs::write(stage.path("cache"), "a file").unwrap();
    stage.fails(BUILD, &[], &["engine: cannot make the directory ", "cache/hoody-code/engines"]);
}

#[test]
fn an_engine_build_that_is_killed_leaves_nothing() {
    let stage = Stage::new();
    stage.stand_in("npm", "echo half >made; exec sleep 600");
    let begun = || {
        let mut child = stage.command(BUILD, &[]).stdout(Stdio::null()).process_group(0).spawn().unwrap();
        eventually("npm has begun", || {
            assert_eq!(child.try_wait().unwrap(), None);
            stage.left(ENGINES).iter().find(|name| stage.path("cache/hoody-code/engines").join(name).join("made").exists()).cloned()
        });
        child
    };
    let end = |mut child: std::process::Child, signal| {
        kill_process_group(Pid::from_child(&child), signal).unwrap();
        child.wait().unwrap()
    };
    // As the terminal and make do it, to all of them.
    assert_eq!(end(begun(), Signal::INT).code(), Some(130));
    assert_eq!(stage.left(ENGINES), [""; 0]);
    assert_eq!(end(begun(), Signal::TERM).code(), Some(143));
    assert_eq!(stage.left(ENGINES), [""; 0]);
    assert_eq!(end(begun(), Signal::KILL).signal(), Some(9));
    assert_eq!(stage.left(ENGINES).len(), 1);
    let listed = Command::new(env!("CARGO_BIN_EXE_hoody-code"))
        .args(["engine", "list", "--json", "--store"])
        .arg(stage.path("cache/hoody-code/engines"))
        .output();
    assert_eq!(String::from_utf8(listed.unwrap().stdout).unwrap().trim(), "[]");
    stage.stand_in("npm", FULL).fails(BUILD, &[], &["the disk is full"]);
    assert_eq!(stage.left(ENGINES), [""; 0], "the next build sweeps");
}

#[test]
fn packages_that_cannot_be_installed_say_why() {
    let stage = Stage::new();
    let setup = |parts: &[&str]| stage.fails("setup.sh", &["build"], parts);
    let apt = |update: &str, install: &str| {
        let script = format!("case \"$*\" in *update*) {update} ;; *install*) {install} exit 100 ;; esac");
        stage.stand_in("apt-get", &script);
    };
    stage.machine(false).stand_in("id", "echo 1000").stand_in("sudo", "exit 1");
    setup(&["setup: no right to install packages (not root", "apt-get install ca-certificates g++"]);
    stage.machine(false);
    // It is the lists that could not be fetched; to apt that is a warning.
    let lists = "echo \"W: Failed to fetch http://deb.example/InRelease  Temporary failure resolving 'deb.example'\";";
    apt(lists, "echo 'E: Unable to locate package g++';");
    setup(&["setup: could not install ca-certificates g++ ", ": no network: ", "run this again"]);
    apt(":;", "echo 'E: Failed to fetch http://deb.example/g++.deb  Could not connect to deb.example:80';");
    setup(&["setup: could not install ", ": no network: "]);
    apt(":;", "echo \"E: You don't have enough free space in /var/cache/apt/archives/.\";");
    setup(&["setup: could not install ", ": the disk is full: make room"]);
    apt(":;", "echo 'E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7 (apt)';");
    setup(&["setup: could not install ", ": another program is installing packages: wait for it"]);
    apt(":;", "echo \"E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.\";");
    setup(&["setup: could not install ", "run 'dpkg --configure -a' as root"]);
    apt(":;", "echo 'E: Unable to correct problems, you have held broken packages.';");
    setup(&["setup: could not install ", "the last lines of its output"]);
    stage.stand_in("node", "echo v12.22.12");
    setup(&["setup: node is too old", "install Node.js 18 or newer"]);
}

#[test]
fn tools_that_cannot_be_fetched_say_why() {
    let stage = Stage::new();
    stage.machine(true);
    let stamp = stage.path("tree/tests/node_modules/.lock-sum");
    stage.fails("setup.sh", &["test"], &["setup: could not install the npm packages of the browser tests: no network"]);
    stage.stand_in("npm", &format!("mkdir -p node_modules; {FULL}"));
    stage.fails("setup.sh", &["test"], &["setup: could not install the npm packages", ": the disk is full"]);
    assert!(!stamp.exists(), "what is half there counts as not there");
    stage.stand_in("npm", "mkdir -p node_modules");
    stage.stand_in(
        "apt-get",
        "echo half >fail2ban_1_all.deb; echo 'E: Failed to fetch http://deb.example/f.deb  Connection timed out'; exit 100",
    );
    stage.fails("setup.sh", &["test"], &["setup: could not download fail2ban: no network"]);
    assert!(stamp.exists());
    assert_eq!(stage.left("tools"), [""; 0]);
    stage.stand_in("apt-get", "echo half >fail2ban_1_all.deb");
    stage.fails("setup.sh", &["test"], &["setup: could not unpack fail2ban: "]);
    assert_eq!(stage.left("tools"), [""; 0]);
}
