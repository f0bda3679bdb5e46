//! `[ports]`: which local ports are reached through us, and under which URLs.

use std::ops::RangeInclusive;

use super::error::ConfigError;
use super::raw;
use crate::model::Port;

/// What the port proxy serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Whether it serves at all.
    pub enabled: bool,
    /// Whether `/proxy/PORT/` and `/absproxy/PORT/` are served. What is opened there shares the editor's origin.
    pub path_form: bool,
    /// Whether VS Code is told to open ports as `PORT--ID.…`: names below the editor's own have to lead here. Such names are
    /// answered either way.
    pub host_form: bool,
    /// The lowest port that needs no permission.
    min: u16,
    allow: Vec<RangeInclusive<u16>>,
    deny: Vec<RangeInclusive<u16>>,
}

/// Below this, ports belong to the system's own services.
const MIN: i64 = 1024;

impl Ports {
    /// As it stands in the file.
    pub(super) fn to_value(&self) -> serde_json::Value {
        let text =
            |ranges: &[RangeInclusive<u16>]| ranges.iter().map(|range| format!("{}-{}", range.start(), range.end())).collect::<Vec<_>>();
        serde_json::json!({
            "enabled": self.enabled,
            "path_form": self.path_form,
            "host_form": self.host_form,
            "min": self.min,
            "allow": text(&self.allow),
            "deny": text(&self.deny),
        })
    }

    /// Whether `port` may be asked for. `deny` wins over `allow`, and that over `min`.
    pub fn admits(&self, port: Port) -> bool {
        let listed = |ranges: &[RangeInclusive<u16>]| ranges.iter().any(|range| range.contains(&port.get()));
        self.enabled && !listed(&self.deny) && (port.get() >= self.min || listed(&self.allow))
    }
}

pub(super) fn check(raw: raw::Ports) -> Result<Ports, ConfigError> {
    Ok(Ports {
        enabled: raw.enabled.unwrap_or(true),
        path_form: raw.path_form.unwrap_or(true),
        host_form: raw.host_form.unwrap_or(false),
        min: number("min", raw.min.unwrap_or(MIN))?,
        allow: ranges("allow", raw.allow)?,
        deny: ranges("deny", raw.deny)?,
    })
}

fn ranges(key: &'static str, raw: Option<Vec<raw::PortRange>>) -> Result<Vec<RangeInclusive<u16>>, ConfigError> {
    let range = |raw| match raw {
        raw::PortRange::Number(port) => number(key, port).map(|port| port..=port),
        raw::PortRange::Text(text) => {
            let parse = |text: &str| text.trim().parse::<Port>().ok().map(Port::get);
            match text.split_once('-').map(|(first, last)| (parse(first), parse(last))) {
                Some((Some(first), Some(last))) if first <= last => Ok(first..=last),
                _ => Err(ConfigError::value(key, format!("'{text}' is not a range of ports such as '8000-8999'"))),
            }
        }
    };
    raw.unwrap_or_default().into_iter().map(range).collect()
}

fn number(key: &'static str, value: i64) -> Result<u16, ConfigError> {
    match u16::try_from(value) {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(ConfigError::value(key, format!("{value} is not a port: a port is a number from 1 to 65535"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn ports(toml: &str) -> Result<Ports, String> {
        check(toml::from_str(toml).map_err(|e| e.to_string())?).map_err(|e| e.to_string())
    }

    #[test]
    fn which_ports() {
        let admits = |toml: &str, port: &str| ports(toml).unwrap().admits(port.parse().unwrap());
        assert!(admits("", "1024") && admits("", "65535") && !admits("", "1023"));
        assert!(admits("allow = [80, '443-445']", "444") && !admits("allow = [80]", "81"));
        assert!(!admits("deny = ['5000-6000']\nallow = [5432]", "5432"), "deny wins");
        assert!(admits("min = 1", "22") && !admits("min = 3000", "2999"));
        assert!(!admits("enabled = false", "3000"));
    }

    #[test]
    fn what_is_no_port() {
        for toml in ["min = 0", "min = 65536", "allow = [-1]", "deny = ['9-8']", "deny = ['80']", "allow = ['a-b']"] {
            assert!(ports(toml).is_err(), "{toml}");
        }
        assert!(ports("deny = ['9-8']").unwrap_err().contains("8000-8999"));
        assert!(ports("maximum = 1").is_err());
    }
}
