//! The configuration file as it is written.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) server: Server,
    pub(super) login: Login,
    pub(super) tls: Tls,
    pub(super) embed: Embed,
    pub(super) engine: Engine,
    pub(super) instances: Instances,
    pub(super) extensions: super::extensions::Raw,
    pub(super) ports: Ports,
    pub(super) page: Page,
    pub(super) limits: Limits,
    pub(super) log: Log,
    pub(super) metrics: Metrics,
    pub(super) dashboard: Dashboard,
    pub(super) accounts: Accounts,
    pub(super) network: Network,
    pub(super) class: BTreeMap<String, Class>,
    pub(super) instance: BTreeMap<String, Class>,
    pub(super) service: BTreeMap<String, Service>,
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
    pub(super) abandoned_after: Option<String>,
    pub(super) stop_after: Option<String>,
    pub(super) memory_pressure: Option<String>,
    pub(super) idle_tabs: Option<String>,
    pub(super) remove_after: Option<String>,
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
    pub(super) touch_defaults: Option<bool>,
    pub(super) touch_keys: Option<bool>,
    pub(super) touch_settings: Option<toml::Table>,
    pub(super) phone_settings: Option<toml::Table>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    pub(super) connections: Option<usize>,
    pub(super) clients: Option<usize>,
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

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Metrics {
    pub(super) listen: Option<String>,
    pub(super) instances: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Dashboard {
    pub(super) listen: Option<String>,
    pub(super) hashed_password: Option<String>,
    pub(super) hashed_password_file: Option<PathBuf>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) session: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Accounts {
    pub(super) uids: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Network {
    pub(super) subnet: Option<String>,
    pub(super) dns: Option<Vec<String>>,
    pub(super) refuse: Option<Vec<String>>,
}

/// `[class.NAME]`, and `[instance."ID"]`, which alone may name a class.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Class {
    pub(super) class: Option<String>,
    pub(super) memory_high: Option<String>,
    pub(super) memory_max: Option<String>,
    pub(super) swap_max: Option<String>,
    pub(super) cpu_weight: Option<u64>,
    pub(super) cpu_quota: Option<String>,
    pub(super) io_weight: Option<u64>,
    pub(super) tasks_max: Option<u64>,
    pub(super) open_files: Option<u64>,
    pub(super) run_time: Option<String>,
    pub(super) disk: Option<String>,
    pub(super) network: Option<String>,
    pub(super) root_directory: Option<PathBuf>,
    pub(super) root_image: Option<PathBuf>,
    pub(super) devices: Option<Vec<String>>,
    pub(super) mounts: Option<Vec<String>>,
    pub(super) preinstall: Option<Vec<String>>,
    pub(super) stop_after: Option<String>,
    pub(super) idle_tabs: Option<String>,
    pub(super) freeze: Option<bool>,
    pub(super) ksm: Option<bool>,
}

/// `[service.NAME]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Service {
    pub(super) instances: Option<Vec<String>>,
}

/// Where one password comes from. At most one of the three.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Source {
    pub(super) hashed_password: Option<String>,
    pub(super) hashed_password_file: Option<PathBuf>,
    pub(super) password_file: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Login {
    // The same keys as in `Source`: flattening and refusing unknown keys do not go together.
    pub(super) hashed_password: Option<String>,
    pub(super) hashed_password_file: Option<PathBuf>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) session: Option<String>,
    pub(super) instances: BTreeMap<String, Source>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tls {
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) hsts: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Embed {
    pub(super) allow: Vec<String>,
}
