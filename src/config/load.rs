//! From file and command line to checked values.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;

use super::checked::{Config, Instances, Launcher, Limits, ListenAddress, Log, LogFormat, Metrics, Page, Server};
use super::error::ConfigError;
use super::extensions;
use super::file::{self, Written};
use super::hosting::Hosting;
use super::login::{self, PasswordFlags};
use super::{raw, tls, touch};
use crate::model::{Gallery, InstanceId};

/// What the command line says; it wins over the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--config`
    pub config: Option<PathBuf>,
    /// `--listen`, repeatable
    pub listen: Vec<String>,
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--engine`
    pub engine: Option<PathBuf>,
    /// `--auth`
    pub auth: Option<String>,
    /// `--password`, `--password-file`, `--hashed-password-file`
    pub password: PasswordFlags,
    /// `--launcher`
    pub launcher: Option<String>,
    /// `--page-loader`
    pub page_loader: bool,
}

/// The largest file that may be added to a page.
const MAX_PAGE_FILE: u64 = 4 << 20;

/// Reads the file that `overrides` names (none: defaults) with what is in `conf.d` beside it, and checks every value.
///
/// # Errors
/// With the file and line, or the key, and what would be right.
pub fn load(overrides: &Overrides) -> Result<Config, ConfigError> {
    let (written, file) = match &overrides.config {
        Some(path) => {
            let written = file::read(path)?;
            let file = written.file(path)?;
            (written, file)
        }
        None => (Written::default(), raw::File::default()),
    };
    Ok(Config { written, ..check(file, overrides)? })
}

/// Checks every value of `file`, the parts of the broker as well: a mistake in them should stop the reload that the operator looks at, not
/// the broker's.
pub(super) fn check(file: raw::File, overrides: &Overrides) -> Result<Config, ConfigError> {
    let auth = overrides.auth.as_deref().or(file.server.auth.as_deref()).map(str::to_owned);
    let server = server(file.server, overrides)?;
    let tls = tls::check(file.tls, &server.listen)?;
    Ok(Config {
        dashboard: super::dashboard::check(file.dashboard, tls.is_some())?,
        login: login::check(auth.as_deref(), file.login, &overrides.password, &server.listen)?,
        tls,
        server,
        engine: overrides.engine.clone().or(file.engine.path),
        instances: instances(&file.instances)?,
        extensions: extensions::check(file.extensions)?,
        ports: super::ports::check(file.ports)?,
        page: page(file.page, &file.embed, overrides.page_loader)?,
        limits: limits(&file.limits)?,
        log: log(file.log)?,
        metrics: metrics(&file.metrics)?,
        hosting: Hosting::check(&file.accounts, file.network, (file.class, file.instance))?,
        services: super::services::check(file.service)?,
        written: Written::default(),
    })
}

/// What the broker takes from the configuration.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// How the host is shared.
    pub hosting: Hosting,
    /// `[engine] path`
    pub engine: Option<PathBuf>,
    /// Name in window titles.
    pub app_name: String,
    /// Whether the editor's menu offers to sign out.
    pub sign_out: bool,
    /// `[instances]`
    pub instances: Instances,
    /// `[extensions] gallery`
    pub gallery: Gallery,
    /// `[log] level`
    pub log_level: String,
    /// Further services, and which instances are theirs.
    pub services: super::Services,
}

/// Reads what the broker needs from `path`; a file that is not there means defaults.
///
/// # Errors
/// As [`load`].
pub fn load_for_broker(path: &Path) -> Result<BrokerConfig, ConfigError> {
    let file = file::read_if_there(path)?.file(path)?;
    Ok(BrokerConfig {
        hosting: Hosting::check(&file.accounts, file.network, (file.class, file.instance))?,
        engine: file.engine.path,
        app_name: text("name", file.page.name, DEFAULT_NAME)?,
        sign_out: file.server.auth.as_deref() != Some("none"),
        instances: instances(&file.instances)?,
        gallery: extensions::check(file.extensions)?.gallery,
        log_level: log(file.log)?.level,
        services: super::services::check(file.service)?,
    })
}

/// What the broker needs for one instance: `path` is the host's file, and when the instance is another service's, that one's own file
/// counts, `NAME/config.toml` beside it. Users' ids and the network are the host's in any case.
///
/// # Errors
/// As [`load`].
pub fn load_for_instance(path: &Path, id: &InstanceId) -> Result<BrokerConfig, ConfigError> {
    let host = load_for_broker(path)?;
    let Some(name) = host.services.owner(id) else { return Ok(host) };
    let own = load_for_broker(&path.with_file_name(name).join("config.toml"))?;
    Ok(BrokerConfig { hosting: own.hosting.within(host.hosting), services: host.services, ..own })
}

/// What the editor is called when the operator does not say.
const DEFAULT_NAME: &str = "Hoody Code";

fn server(raw: raw::Server, overrides: &Overrides) -> Result<Server, ConfigError> {
    let listen = if overrides.listen.is_empty() { raw.listen.unwrap_or_default() } else { overrides.listen.clone() };
    let listen = if listen.is_empty() { vec!["127.0.0.1:8080".to_owned()] } else { listen };
    let listen = listen.iter().map(|text| listen_address(text)).collect::<Result<Vec<_>, _>>()?;
    let launcher = match overrides.launcher.as_deref().or(raw.launcher.as_deref()) {
        Some("process") | None => Launcher::Process,
        Some("systemd") => Launcher::Systemd,
        Some(other) => return Err(ConfigError::value("launcher", format!("'{other}' is neither 'systemd' nor 'process'"))),
    };
    let data_dir = overrides.data_dir.clone().or(raw.data_dir).map_or_else(default_data_dir, Ok)?;
    let data_dir = std::path::absolute(&data_dir).map_err(|e| ConfigError::value("data_dir", e.to_string()))?;
    let domains = raw.domains.unwrap_or_default().iter().map(|d| domain(d)).collect::<Result<_, _>>()?;
    let trusted_proxies = raw
        .trusted_proxies
        .unwrap_or_default()
        .iter()
        .map(|ip| ip.parse::<IpAddr>().map_err(|_| ConfigError::value("trusted_proxies", format!("'{ip}' is not an IP address"))))
        .collect::<Result<_, _>>()?;
    let drain = duration("drain", raw.drain.as_deref(), Duration::from_secs(10))?;
    Ok(Server { listen, launcher, data_dir, domains, trusted_proxies, drain })
}

/// Where data is kept when nobody says: `$XDG_DATA_HOME/hoody-code`, or below `~/.local/share`.
///
/// # Errors
/// When neither variable is set.
pub fn default_data_dir() -> Result<PathBuf, ConfigError> {
    let base = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    let base = base.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/share")));
    base.map(|base| base.join("hoody-code"))
        .ok_or_else(|| ConfigError::value("data_dir", "neither --data-dir nor HOME says where data is kept"))
}

pub(super) fn listen_address(text: &str) -> Result<ListenAddress, ConfigError> {
    if let Some(path) = text.strip_prefix("unix:") {
        if !path.starts_with('/') {
            return Err(ConfigError::value("listen", format!("'{text}': the path of a unix socket is absolute")));
        }
        return Ok(ListenAddress::Unix(PathBuf::from(path)));
    }
    let (kind, address): (fn(SocketAddr) -> ListenAddress, _) = match text.split_once("://") {
        None => (ListenAddress::Tcp, text),
        Some(("http", address)) => (ListenAddress::Tcp, address),
        Some(("https", address)) => (ListenAddress::Tls, address),
        Some(("redirect", address)) => (ListenAddress::Redirect, address),
        Some(_) => return Err(ConfigError::value("listen", format!("'{text}' begins with none of http://, https://, redirect://, unix:"))),
    };
    let address = address.strip_prefix("localhost:").map_or_else(|| address.to_owned(), |port| format!("127.0.0.1:{port}"));
    match address.parse::<SocketAddr>() {
        Ok(address) => Ok(kind(address)),
        Err(_) => Err(ConfigError::value("listen", format!("'{text}' is neither ADDR:PORT nor unix:PATH"))),
    }
}

fn domain(text: &str) -> Result<String, ConfigError> {
    let host = text.strip_prefix("*.").unwrap_or(text).parse::<crate::model::HostName>();
    match host {
        Ok(host) if host.port().is_none() => Ok(host.name().to_owned()),
        _ => Err(ConfigError::value("domains", format!("'{text}' is not a domain such as srv7.example.com"))),
    }
}

fn instances(raw: &raw::Instances) -> Result<Instances, ConfigError> {
    let instances = Instances {
        max_running: positive("max_running", raw.max_running, 200)?,
        max_starting: positive("max_starting", raw.max_starting, 4)?,
        start_timeout: duration("start_timeout", raw.start_timeout.as_deref(), Duration::from_secs(30))?,
        request_wait: duration("request_wait", raw.request_wait.as_deref(), Duration::from_secs(20))?,
        idle: super::idle::check(raw)?,
        keep_terminals: duration("keep_terminals", raw.keep_terminals.as_deref(), Duration::from_secs(7 * 24 * 3600))?,
        abandoned_after: duration("abandoned_after", raw.abandoned_after.as_deref(), Duration::from_secs(3 * 60))?,
    };
    if instances.abandoned_after < Duration::from_secs(1) {
        return Err(ConfigError::value("abandoned_after", "less than a second leaves no time to come back"));
    }
    if instances.keep_terminals < Duration::from_secs(1) {
        // The engine counts seconds, and takes 0 for 'never come back'.
        return Err(ConfigError::value("keep_terminals", "must be at least 1 s"));
    }
    Ok(instances)
}

fn limits(raw: &raw::Limits) -> Result<Limits, ConfigError> {
    let limits = Limits {
        connections: positive("connections", raw.connections, 8192)?,
        clients: positive("clients", raw.clients, 2000)?,
        header_bytes: positive("header_bytes", raw.header_bytes, 64 << 10)?,
        header_timeout: duration("header_timeout", raw.header_timeout.as_deref(), Duration::from_secs(60))?,
        body_idle_timeout: duration("body_idle_timeout", raw.body_idle_timeout.as_deref(), Duration::from_secs(120))?,
    };
    // hyper refuses a smaller read buffer.
    if limits.header_bytes < 8192 {
        return Err(ConfigError::value("header_bytes", "less than 8192 is too small for real browsers"));
    }
    Ok(limits)
}

fn log(raw: raw::Log) -> Result<Log, ConfigError> {
    let format = match raw.format.as_deref() {
        None | Some("auto") => LogFormat::Auto,
        Some("terminal") => LogFormat::Terminal,
        Some("journal") => LogFormat::Journal,
        Some(other) => {
            return Err(ConfigError::value("format", format!("'{other}' is none of 'auto', 'terminal', 'journal'")));
        }
    };
    Ok(Log { level: raw.level.unwrap_or_else(|| "info".to_owned()), format, access: raw.access.unwrap_or(true) })
}

/// The most series that one instance has are few; what stores them for a year is glad of a limit all the same.
const METRICS_OF: usize = 100;

fn metrics(raw: &raw::Metrics) -> Result<Metrics, ConfigError> {
    let listen = match raw.listen.as_deref().map(listen_address).transpose().map_err(|e| e.of("metrics.listen"))? {
        None => None,
        Some(ListenAddress::Tcp(address)) => Some(address),
        Some(_) => return Err(ConfigError::value("metrics.listen", "is ADDR:PORT, such as 127.0.0.1:9464")),
    };
    Ok(Metrics { listen, instances: raw.instances.unwrap_or(METRICS_OF) })
}

fn page(raw: raw::Page, embed: &raw::Embed, loader: bool) -> Result<Page, ConfigError> {
    let mut settings = serde_json::Map::new();
    // The agent host and its runtime cost about 75 MB per instance; whoever wants them says so.
    settings.insert("chat.disableAIFeatures".to_owned(), true.into());
    // Without them the second side bar has nothing to show, and takes a quarter of the window for it.
    settings.insert("workbench.secondarySideBar.defaultVisibility".to_owned(), "hidden".into());
    // The engine's own flags do not reach extensions: some of them would report to their makers.
    settings.insert("telemetry.telemetryLevel".to_owned(), "off".into());
    let own = json_table("settings", raw.settings)?;
    let (on_touch, on_phones) = (json_table("touch_settings", raw.touch_settings)?, json_table("phone_settings", raw.phone_settings)?);
    let touch = touch::check(raw.touch_defaults.unwrap_or(true), raw.touch_keys.unwrap_or(true), &own, on_touch, on_phones);
    settings.extend(own);
    let files = |paths: Option<Vec<PathBuf>>| paths.unwrap_or_default().iter().map(|p| page_file(p)).collect::<Result<Vec<_>, _>>();
    Ok(Page {
        name: text("name", raw.name, DEFAULT_NAME)?,
        loader: loader || raw.loader.unwrap_or(false),
        logo: raw.logo.map(|path| logo(&path)).transpose()?,
        background: colour("background", raw.background, "#181818")?,
        foreground: colour("foreground", raw.foreground, "#cccccc")?,
        accent: colour("accent", raw.accent, "#2f9cf4")?,
        css: files(raw.css)?,
        js: files(raw.js)?,
        settings,
        embedders: tls::check_embed(embed)?,
        options: json_table("options", raw.options)?,
        touch,
    })
}

fn json_table(key: &'static str, table: Option<toml::Table>) -> Result<serde_json::Map<String, serde_json::Value>, ConfigError> {
    match serde_json::to_value(table.unwrap_or_default()) {
        Ok(serde_json::Value::Object(map)) => Ok(map),
        Ok(_) => Err(ConfigError::value(key, "is not a table")),
        Err(e) => Err(ConfigError::value(key, e.to_string())),
    }
}

fn page_file(path: &Path) -> Result<Bytes, ConfigError> {
    let read = |source| ConfigError::Read { path: path.to_owned(), source };
    if fs::metadata(path).map_err(read)?.len() > MAX_PAGE_FILE {
        return Err(ConfigError::value("page", format!("{} is larger than 4 MiB", path.display())));
    }
    fs::read(path).map(Bytes::from).map_err(read)
}

fn logo(path: &Path) -> Result<(&'static str, Bytes), ConfigError> {
    let kind = match path.extension().and_then(|e| e.to_str()) {
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("webp") => "image/webp",
        Some("jpg" | "jpeg") => "image/jpeg",
        _ => return Err(ConfigError::value("logo", "is none of .svg, .png, .webp, .jpg")),
    };
    Ok((kind, page_file(path)?))
}

fn text(key: &'static str, value: Option<String>, default: &str) -> Result<String, ConfigError> {
    let value = value.unwrap_or_else(|| default.to_owned());
    if value.is_empty() || value.len() > 100 || value.chars().any(char::is_control) {
        return Err(ConfigError::value(key, "is 1 to 100 bytes without control characters"));
    }
    Ok(value)
}

/// A colour goes into a style sheet as it is, so it may hold nothing that could end a declaration.
fn colour(key: &'static str, value: Option<String>, default: &str) -> Result<String, ConfigError> {
    let value = text(key, value, default)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "#(),.%/ -".contains(c);
    if value.chars().all(allowed) { Ok(value) } else { Err(ConfigError::value(key, format!("'{value}' is not a CSS colour"))) }
}

fn positive(key: &'static str, value: Option<usize>, default: usize) -> Result<usize, ConfigError> {
    match value.unwrap_or(default) {
        0 => Err(ConfigError::value(key, "must be at least 1")),
        n => Ok(n),
    }
}

pub(super) fn duration(key: &'static str, value: Option<&str>, default: Duration) -> Result<Duration, ConfigError> {
    let Some(text) = value else { return Ok(default) };
    parse_time(text).map_err(|message| ConfigError::value(key, message))
}

/// A time as people write it: `30s`, `10min`, `7d`.
///
/// # Errors
/// With what would be right.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is not a time such as '30s', '10min' or '7d'");
    // Days are 24 hours here: nothing in this file means the calendar.
    let span = match text.strip_suffix('d') {
        Some(days) => jiff::SignedDuration::from_hours(days.trim().parse::<i64>().ok().and_then(|d| d.checked_mul(24)).ok_or_else(wrong)?),
        None => text.parse::<jiff::SignedDuration>().map_err(|_| wrong())?,
    };
    Duration::try_from(span).map_err(|_| wrong())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
