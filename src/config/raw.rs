//! The configuration file as it is written.

use std::path::PathBuf;

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) server: Server,
    pub(super) engine: Engine,
    pub(super) instances: Instances,
    pub(super) ports: Ports,
    pub(super) page: Page,
    pub(super) limits: Limits,
    pub(super) log: Log,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Server {
    pub(super) listen: Option<Vec<String>>,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) auth: Option<String>,
    pub(super) launcher: Option<String>,
    pub(super) domains: Option<Vec<String>>,
    pub(super) trusted_proxies: Option<Vec<String>>,
    pub(super) drain: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Engine {
    pub(super) path: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Instances {
    pub(super) max_running: Option<usize>,
    pub(super) max_starting: Option<usize>,
    pub(super) start_timeout: Option<String>,
    pub(super) request_wait: Option<String>,
    pub(super) keep_terminals: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Ports {
    pub(super) enabled: Option<bool>,
    pub(super) path_form: Option<bool>,
    pub(super) host_form: Option<bool>,
    pub(super) min: Option<i64>,
    pub(super) allow: Option<Vec<PortRange>>,
    pub(super) deny: Option<Vec<PortRange>>,
}

/// `3000`, or `'8000-8999'`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum PortRange {
    Number(i64),
    Text(String),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Page {
    pub(super) name: Option<String>,
    pub(super) loader: Option<bool>,
    pub(super) logo: Option<PathBuf>,
    pub(super) background: Option<String>,
    pub(super) foreground: Option<String>,
    pub(super) accent: Option<String>,
    pub(super) css: Option<Vec<PathBuf>>,
    pub(super) js: Option<Vec<PathBuf>>,
    pub(super) settings: Option<toml::Table>,
    pub(super) options: Option<toml::Table>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    pub(super) connections: Option<usize>,
    pub(super) header_bytes: Option<usize>,
    pub(super) header_timeout: Option<String>,
    pub(super) body_idle_timeout: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) level: Option<String>,
    pub(super) format: Option<String>,
    pub(super) access: Option<bool>,
}
