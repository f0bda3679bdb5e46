//! What testssl.sh thinks of our TLS.

use std::process::Command;

use crate::support::{Certificate, Daemon, FakeEngine};

/// What it has to say of a certificate that we have signed ourselves, and of the machine that it runs on: nothing of ours.
const NOT_OURS: [&str; 3] = ["cert_chain_of_trust", "cert_revocation", "engine_problem"];

#[test]
fn testssl_finds_nothing_above_low() {
    let engine = FakeEngine::new();
    let dir = tempfile::tempdir().unwrap();
    let certificate = Certificate::new(dir.path(), "own");
    let daemon = Daemon::launch(tempfile::tempdir().unwrap(), engine.path(), &certificate.config(), |command| {
        command.args(["--listen", "https://127.0.0.1:0", "--password", "secret"]);
    });
    let report = dir.path().join("report.json");
    let output = Command::new("testssl")
        .args(["--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--jsonfile"])
        .arg(&report)
        .arg(format!("https://{}", daemon.address))
        .output()
        .expect("testssl (packaging/setup.sh test brings it)");
    let said = String::from_utf8_lossy(&output.stdout);
    let findings: Vec<serde_json::Value> =
        serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap_or_else(|e| panic!("{e}: {said}"));
    let text = |finding: &serde_json::Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    // It has really looked: at protocols, ciphers, holes and headers.
    for id in ["TLS1_2", "TLS1_3", "cipherlist_STRONG", "heartbleed", "BREACH", "cookie_count", "ALPN_HTTP2"] {
        assert!(findings.iter().any(|finding| text(finding, "id").starts_with(id)), "it did not look at {id}: {said}");
    }
    // WARN is said of testssl's own trouble, such as a connection that took too long on a busy machine: no finding.
    let bad: Vec<String> = findings
        .iter()
        .filter(|finding| !matches!(text(finding, "severity").as_str(), "OK" | "INFO" | "LOW" | "WARN"))
        .filter(|finding| !NOT_OURS.contains(&text(finding, "id").as_str()))
        .map(|finding| format!("{} {}: {}", text(finding, "severity"), text(finding, "id"), text(finding, "finding")))
        .collect();
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}
