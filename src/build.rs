//! Stamps the moment of the build into the program: health reports it.

use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    // Reproducible builds set the moment themselves (reproducible-builds.org, SOURCE_DATE_EPOCH).
    let given = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse::<i64>().ok());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
    println!("cargo::rustc-env=HOODY_CODE_BUILT={}", given.unwrap_or_else(now));
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=Cargo.lock");
}
