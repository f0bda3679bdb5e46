//! The configuration in force, in the shape of the file: every key with its value, also those that nobody has written.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::checked::{Config, Launcher, ListenAddress, LogFormat};
use super::dashboard::Dashboard;
use super::error::ConfigError;
use super::file;
use super::hosting::{Base, Class, Hosting, Mount, NetworkMode};
use super::idle::Idle;
use super::load::{Overrides, check};
use super::raw;
use crate::model::Gallery;

/// What stands where a secret would.
const HIDDEN: &str = "(hidden)";

/// The configuration that the file at `path` makes; the defaults when there is none. Passwords and their hashes are not in it. What
/// has no value is null.
///
/// # Errors
/// As [`load`](super::load) has them.
pub fn show(path: Option<&Path>) -> Result<Value, ConfigError> {
    let file = || path.map_or_else(|| Ok(raw::File::default()), |path| file::read(path)?.file(path));
    let config = check(file()?, &Overrides::default())?;
    let hosting = &config.hosting;
    let raw = file()?;
    let server = &config.server;
    Ok(json!({
        "server": {
            "listen": server.listen.iter().map(address).collect::<Vec<_>>(),
            "data_dir": server.data_dir,
            "auth": if config.login.required { "password" } else { "none" },
            "launcher": match server.launcher { Launcher::Process => "process", Launcher::Systemd => "systemd" },
            "domains": server.domains,
            "trusted_proxies": server.trusted_proxies,
            "drain": time(server.drain),
        },
        "login": login(&raw.login, config.login.session),
        "dashboard": dashboard(&raw.dashboard, &config.dashboard),
        "tls": {
            "certificate": config.tls.as_ref().map(|tls| &tls.certificate),
            "key": config.tls.as_ref().map(|tls| &tls.key),
            "hsts": time(config.tls.as_ref().map(|tls| tls.hsts).unwrap_or_default()),
        },
        "embed": {"allow": config.page.embedders.iter().map(ToString::to_string).collect::<Vec<_>>()},
        "engine": {"path": config.engine},
        "instances": {
            "max_running": config.instances.max_running,
            "max_starting": config.instances.max_starting,
            "start_timeout": time(config.instances.start_timeout),
            "request_wait": time(config.instances.request_wait),
            "keep_terminals": time(config.instances.keep_terminals),
            "abandoned_after": time(config.instances.abandoned_after),
            "stop_after": or_never(config.instances.idle.stop_after),
            "idle_tabs": or_never(config.instances.idle.idle_tabs),
            "remove_after": or_never(config.instances.idle.remove_after),
            "memory_pressure": config.instances.idle.memory_pressure.map_or_else(|| "off".to_owned(), |percent| format!("{percent}%")),
        },
        "extensions": {
            "gallery": gallery(&config.extensions.gallery),
            "preinstall": raw.extensions.preinstall.unwrap_or_default(),
            "max_upload_mib": config.extensions.max_upload >> 20,
        },
        "ports": config.ports.to_value(),
        "page": page(&config, &raw.page),
        "limits": {
            "connections": config.limits.connections,
            "clients": config.limits.clients,
            "header_bytes": config.limits.header_bytes,
            "header_timeout": time(config.limits.header_timeout),
            "body_idle_timeout": time(config.limits.body_idle_timeout),
        },
        "log": {
            "level": config.log.level,
            "format": match config.log.format { LogFormat::Auto => "auto", LogFormat::Terminal => "terminal", LogFormat::Journal => "journal" },
            "access": config.log.access,
        },
        "metrics": {"listen": config.metrics.listen, "instances": config.metrics.instances},
        "accounts": {"uids": format!("{}-{}", hosting.uids.start(), hosting.uids.end())},
        "network": {
            "subnet": format!("{}/{}", hosting.network.subnet, hosting.network.prefix),
            "dns": hosting.network.dns,
            "refuse": hosting.network.refuse,
        },
        "class": classes(hosting, &config.instances.idle),
        "instance": instances(hosting, &config.instances.idle),
        "service": config.services.all().map(|(name, own)| (name.to_owned(), json!({"instances": own}))).collect::<serde_json::Map<_, _>>(),
    }))
}

fn address(address: &ListenAddress) -> String {
    match address {
        ListenAddress::Tcp(address) => format!("http://{address}"),
        ListenAddress::Tls(address) => format!("https://{address}"),
        ListenAddress::Redirect(address) => format!("redirect://{address}"),
        ListenAddress::Unix(path) => format!("unix:{}", path.display()),
    }
}

fn dashboard(raw: &raw::Dashboard, checked: &Dashboard) -> Value {
    json!({
        "listen": checked.listen.as_ref().map(address),
        "hashed_password": raw.hashed_password.as_ref().map(|_| HIDDEN),
        "hashed_password_file": raw.hashed_password_file,
        "password_file": raw.password_file,
        "session": time(checked.session),
    })
}

fn login(raw: &raw::Login, session: Duration) -> Value {
    let source = |hashed: &Option<String>, hashed_file: &Option<_>, file: &Option<_>| {
        json!({
            "hashed_password": hashed.as_ref().map(|_| HIDDEN),
            "hashed_password_file": hashed_file as &Option<std::path::PathBuf>,
            "password_file": file as &Option<std::path::PathBuf>,
        })
    };
    let own = |one: &raw::Source| source(&one.hashed_password, &one.hashed_password_file, &one.password_file);
    let mut login = source(&raw.hashed_password, &raw.hashed_password_file, &raw.password_file);
    login["session"] = time(session).into();
    login["instances"] = raw.instances.iter().map(|(id, one)| (id.clone(), own(one))).collect::<serde_json::Map<_, _>>().into();
    login
}

fn gallery(gallery: &Gallery) -> Value {
    match gallery {
        Gallery::Engines => Value::Null,
        Gallery::Directory(path) => path.as_str().into(),
        Gallery::Service(map) => map.clone().into(),
    }
}

fn page(config: &Config, raw: &raw::Page) -> Value {
    let page = &config.page;
    json!({
        "name": page.name,
        "loader": page.loader,
        "logo": raw.logo,
        "background": page.background,
        "foreground": page.foreground,
        "accent": page.accent,
        "css": raw.css.clone().unwrap_or_default(),
        "js": raw.js.clone().unwrap_or_default(),
        "settings": page.settings,
        "options": page.options,
        "touch_defaults": page.touch.drawer,
        "touch_keys": page.touch.keys,
        "touch_settings": page.touch.settings,
        "phone_settings": page.touch.phone_settings,
    })
}

fn classes(hosting: &Hosting, idle: &Idle) -> BTreeMap<String, Value> {
    hosting.classes().map(|class| (class.name.clone(), limits(&class, idle))).collect()
}

fn instances(hosting: &Hosting, idle: &Idle) -> BTreeMap<String, Value> {
    let own = |id: &crate::model::InstanceId| {
        let class = hosting.class_of(id);
        let mut value = limits(&class, idle);
        value["class"] = class.name.into();
        (id.to_string(), value)
    };
    hosting.named().map(own).collect()
}

fn limits(class: &Class, idle: &Idle) -> Value {
    let limit = |bytes: Option<u64>| bytes.map_or_else(|| "infinity".to_owned(), size);
    let (directory, image) = match &class.base {
        Base::Host => (None, None),
        Base::Directory(path) => (Some(path), None),
        Base::Image(path) => (None, Some(path)),
    };
    let mount = |mount: &Mount| format!("{}:{}:{}", mount.from.display(), mount.to.display(), if mount.writable { "rw" } else { "ro" });
    json!({
        "memory_high": limit(class.limits.memory_high),
        "memory_max": limit(class.limits.memory_max),
        "swap_max": limit(class.limits.swap_max),
        "cpu_weight": class.limits.cpu_weight,
        "cpu_quota": class.limits.cpu_quota.map_or_else(|| "infinity".to_owned(), |micros| format!("{}%", micros / 10_000)),
        "io_weight": class.limits.io_weight,
        "tasks_max": class.limits.tasks_max,
        "open_files": class.open_files,
        "run_time": class.run_time.map_or_else(|| "infinity".to_owned(), time),
        "disk": limit(class.disk),
        "network": match class.network { NetworkMode::Private => "private", NetworkMode::None => "none", NetworkMode::Host => "host" },
        "root_directory": directory,
        "root_image": image,
        "devices": class.devices,
        "mounts": class.mounts.iter().map(mount).collect::<Vec<_>>(),
        "preinstall": class.preinstall.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "stop_after": or_never(class.stop_after.unwrap_or(idle.stop_after)),
        "idle_tabs": or_never(class.idle_tabs.unwrap_or(idle.idle_tabs)),
        "freeze": class.freeze,
        "ksm": class.ksm,
    })
}

/// The same without what has no value, for TOML, which has no null.
pub fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            map.iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key.clone(), without_nulls(value))).collect()
        }
        other => other.clone(),
    }
}

fn or_never(duration: Option<Duration>) -> String {
    duration.map_or_else(|| "never".to_owned(), time)
}

/// As [`duration`](super::load::duration) reads it.
fn time(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds > 0 && seconds % 86_400 == 0 && duration.subsec_nanos() == 0 => format!("{}d", seconds / 86_400),
        _ => jiff::SignedDuration::try_from(duration).map(|span| format!("{span:#}")).unwrap_or_default(),
    }
}

/// With the largest unit that leaves nothing over.
fn size(bytes: u64) -> String {
    let units = [(40, "T"), (30, "G"), (20, "M"), (10, "K")];
    let fitting = units.iter().find(|(shift, _)| bytes > 0 && bytes.trailing_zeros() >= *shift);
    fitting.map_or_else(|| bytes.to_string(), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Value {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        show(Some(file.path())).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    const EXAMPLE: &str = "
        [server]
        listen = ['https://0.0.0.0:443', 'unix:/run/x']
        data_dir = '/var/lib/x'
        [tls]
        certificate = '/c'
        key = '/k'
        [embed]
        allow = ['https://app.example.com']
        [extensions]
        gallery = '/srv/vsix'
        preinstall = ['pub.name@1.2.3']
        [ports]
        allow = [80, '443-445']
        [class.exam]
        memory_max = '1G'
        cpu_quota = '150%'
        run_time = '3h'
        mounts = ['/srv/exam:/mnt/exam']
        [instance.a-b-code-1]
        class = 'exam'
        memory_high = '1500K'
        disk = 'infinity'
        [service.lab]
        instances = ['lab-*']
    ";

    fn to_toml(value: &Value) -> String {
        toml::to_string(&without_nulls(value)).unwrap()
    }

    #[test]
    fn what_is_shown_can_be_read_and_means_the_same() {
        for text in ["[server]\ndata_dir = '/x'\n", EXAMPLE] {
            let first = shown(text);
            assert_eq!(shown(&to_toml(&first)), first);
        }
        let value = shown(EXAMPLE);
        assert_eq!(value["instance"]["a-b-code-1"]["memory_max"], "1G", "of its class");
        assert_eq!(value["instance"]["a-b-code-1"]["memory_high"], "1500K");
        assert_eq!(value["class"]["exam"]["run_time"], "3h");
        assert_eq!(value["class"]["default"]["tasks_max"], 4096);
        assert_eq!(value["login"]["session"], "30d");
    }

    #[test]
    fn no_secret_is_shown() {
        let hash = "$argon2id$v=19$m=32768,t=3,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA";
        let text = format!(
            "[server]\ndata_dir = '/x'\n[login]\nhashed_password = '{hash}'\n[login.instances.a]\nhashed_password = '{hash}'\n[dashboard]\nhashed_password = '{hash}'\n"
        );
        let value = shown(&text);
        assert!(!value.to_string().contains("argon2"), "{value}");
        assert_eq!((&value["login"]["hashed_password"], &value["login"]["password_file"]), (&json!(HIDDEN), &Value::Null));
    }

    /// The keys that a table may have, as the parser lists them to who has written one that it does not know.
    fn keys(table: &str) -> Vec<String> {
        let header = if table.is_empty() { String::new() } else { format!("[{table}]\n") };
        let Err(error) = toml::from_str::<raw::File>(&format!("{header}no_such_key = 1\n")) else { return Vec::new() };
        let message = error.to_string();
        let listed = message.split("expected").nth(1).unwrap_or_default();
        listed.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn every_key_is_shown() {
        let value = shown(EXAMPLE);
        let sections = keys("");
        assert!(sections.len() > 10, "{sections:?}");
        for section in sections {
            let (table, at) = match section.as_str() {
                "class" => ("class.x".to_owned(), &value["class"]["exam"]),
                "instance" => ("instance.x".to_owned(), &value["instance"]["a-b-code-1"]),
                "service" => ("service.x".to_owned(), &value["service"]["lab"]),
                _ => (section.clone(), &value[&section]),
            };
            let known = keys(&table);
            assert!(!known.is_empty(), "{table}");
            for key in known.iter().filter(|key| (section.as_str(), key.as_str()) != ("class", "class")) {
                assert!(at.get(key).is_some(), "[{table}] {key} is not shown");
            }
        }
    }

    #[test]
    fn sizes_and_times() {
        assert_eq!([0, 1023, 1024, 1536, 3 << 30, 1 << 40].map(size), ["0", "1023", "1K", "1536", "3G", "1T"]);
        assert_eq!([0, 30, 600, 86_400, 90_000].map(|s| time(Duration::from_secs(s))), ["0s", "30s", "10m", "1d", "25h"]);
    }
}
