//! What the broker is built from: it is root, so every crate in it is one that somebody has thought about. Nothing in it parses
//! HTTP, TLS, HTML or passwords.

#![allow(missing_docs, reason = "the tests' names say it")]

use std::collections::BTreeSet;
use std::process::Command;

/// One crate per line. Changing it is meant to be a decision.
const LIST: &str = include_str!("support/broker-dependencies.txt");

#[test]
fn the_broker_is_built_from_what_the_list_says() {
    let arguments = "tree --locked --offline --no-default-features --features broker --edges normal --prefix none --format {p}";
    let output = Command::new(env!("CARGO")).args(arguments.split(' ')).current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("names");
    let found: BTreeSet<&str> = text.lines().filter_map(|line| line.split(' ').next()).filter(|name| *name != "hoody-code").collect();
    let listed: BTreeSet<&str> = LIST.lines().collect();
    let new: Vec<_> = found.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(new.is_empty() && gone.is_empty(), "new: {new:?}; gone, to be taken off the list: {gone:?}");
    for forbidden in ["argon2", "h2", "http", "hyper", "lol_html", "rustls", "tower-service"] {
        assert!(!found.contains(forbidden), "{forbidden} has no place in the broker");
    }
}
