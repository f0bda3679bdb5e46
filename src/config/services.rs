//! Further services of the host, each a front of its own with its own configuration: which instances are whose. Pure. `[service.NAME]`
//! in the host's configuration says it; the broker holds everybody to it.

use std::collections::BTreeMap;

use super::error::ConfigError;
use super::raw;
use crate::model::InstanceId;

/// The longest name: with `hoody-code-` before it, it is that of a user (useradd(8): 32 bytes).
const MAX_NAME: usize = 20;

/// Names whose directories and users are others' already.
const TAKEN: [&str; 2] = ["admin", "broker"];

/// The services beside the host's main one. What is none of theirs is that one's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Services(BTreeMap<String, Vec<String>>);

impl Services {
    /// The service that `id` belongs to, the first by name of those that name it; none: the main one.
    pub fn owner(&self, id: &InstanceId) -> Option<&str> {
        let owned = |patterns: &Vec<String>| patterns.iter().any(|pattern| matches(pattern, id.as_str()));
        self.0.iter().find(|(_, patterns)| owned(patterns)).map(|(name, _)| name.as_str())
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Each with what it names.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.0.iter().map(|(name, patterns)| (name.as_str(), patterns.as_slice()))
    }
}

/// Checks `[service.NAME]`.
pub(super) fn check(raw: BTreeMap<String, raw::Service>) -> Result<Services, ConfigError> {
    let mut services = BTreeMap::new();
    for (name, service) in raw {
        let bad = |message: &str| Err(ConfigError::value("service", format!("'{name}' {message}")));
        if name.parse::<InstanceId>().is_err() || name.len() > MAX_NAME || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
            return bad("is no name of a service: 1 to 20 of a-z, 0-9 and '-', beginning with a letter");
        }
        if TAKEN.contains(&name.as_str()) {
            return bad("cannot be the name of a service: its user's name is taken");
        }
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '*';
        let usable = |pattern: &String| (1..=63).contains(&pattern.len()) && pattern.chars().all(allowed);
        match service.instances {
            Some(patterns) if !patterns.is_empty() && patterns.iter().all(usable) => drop(services.insert(name, patterns)),
            _ => return bad("has to say which instances are its own: instances = [\"lab-*\", \"acme-web-code-2\"]"),
        }
    }
    Ok(Services(services))
}

/// Whether `pattern`, in which `*` stands for any text, is all of `text`.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(last)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn services(toml: &str) -> Result<Services, String> {
        check(toml::from_str(toml).unwrap()).map_err(|e| e.to_string())
    }

    #[test]
    fn whose_an_instance_is() {
        let all = services("[lab]\ninstances = ['lab-*', '*-code-2']\n[zoo]\ninstances = ['*-code-2', 'a*b*c', 'exact']").unwrap();
        let owner = |id: &str| all.owner(&id.parse().unwrap()).map(str::to_owned);
        for (id, expected) in [
            ("lab-1", Some("lab")),
            ("lab", None),
            ("acme-web-code-2", Some("lab")),
            ("acme-web-code-1", None),
            ("acme-web-code-22", None),
            ("abc", Some("zoo")),
            ("axbbyc", Some("zoo")),
            ("acb", None),
            ("exact", Some("zoo")),
            ("exactly", None),
            ("default", None),
        ] {
            assert_eq!(owner(id).as_deref(), expected, "{id}");
        }
        assert!(matches("*", "x") && matches("a*", "a") && matches("*a*", "a") && !matches("a*a", "a"));
        assert_eq!(Services::default().owner(&"x".parse().unwrap()), None);
    }

    #[test]
    fn what_is_none() {
        for (toml, said) in [
            ("[broker]\ninstances = ['x']", "taken"),
            ("[Lab]\ninstances = ['x']", "no name"),
            ("[1lab]\ninstances = ['x']", "no name"),
            ("[a-name-that-is-too-long]\ninstances = ['x']", "no name"),
            ("[lab]", "which instances"),
            ("[lab]\ninstances = []", "which instances"),
            ("[lab]\ninstances = ['../x']", "which instances"),
            ("[lab]\ninstances = ['']", "which instances"),
        ] {
            assert!(services(toml).unwrap_err().contains(said), "{toml}");
        }
    }
}
