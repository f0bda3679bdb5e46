//! Which keys there are: asked of the very definition that reads the file, so that nothing has to be listed twice. For messages to
//! people who mistyped one, and for the test of `etc/config.toml`.

use super::raw;

/// How much of a word may differ from the one that was meant.
const ALIKE: f64 = 0.7;

/// What to say of a key that was refused, after `message`, serde's words: the one that was meant, or the section it belongs to.
pub(super) fn hint(message: &str) -> Option<String> {
    let (unknown, expected) = refused(message)?;
    let alike = |word: &str| strsim::normalized_damerau_levenshtein(unknown, word);
    let nearest = expected.iter().max_by(|a, b| alike(a).total_cmp(&alike(b))).filter(|word| alike(word) >= ALIKE);
    if let Some(word) = nearest {
        return Some(format!("did you mean `{word}`?"));
    }
    let elsewhere = keys().into_iter().find_map(|path| match path.rsplit_once('.') {
        Some((section, key)) if key == unknown => Some(section.to_owned()),
        _ => None,
    });
    elsewhere.map(|section| format!("`{unknown}` belongs to [{}]", section.replace('*', "NAME")))
}

/// Every key, as `section.key`; `*` stands for a name of the operator's choice.
pub(super) fn keys() -> Vec<String> {
    let mut found = Vec::new();
    collect(&mut Vec::new(), &mut found);
    found
}

fn collect(path: &mut Vec<String>, found: &mut Vec<String>) {
    let mut named = path.clone();
    named.push("*".to_owned());
    if let Some(names) = fields(path) {
        for name in names {
            path.push(name);
            collect(path, found);
            path.pop();
        }
    } else if fields(&named).is_some() {
        collect(&mut named, found);
    } else {
        found.push(path.join("."));
    }
}

/// The names that may stand in a section; none when it is no section.
fn fields(path: &[String]) -> Option<Vec<String>> {
    let header = path.iter().map(|part| format!("\"{part}\"")).collect::<Vec<_>>().join(".");
    let header = if path.is_empty() { String::new() } else { format!("[{header}]\n") };
    let error = toml::from_str::<raw::File>(&format!("{header}\"?\" = 0")).err()?;
    refused(error.message()).map(|(_, names)| names.into_iter().map(str::to_owned).collect())
}

/// The key that serde does not know, and those that it does: "unknown field `x`, expected one of `a`, `b`".
fn refused(message: &str) -> Option<(&str, Vec<&str>)> {
    let mut words = message.strip_prefix("unknown field ")?.split('`').skip(1).step_by(2);
    Some((words.next()?, words.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_and_their_keys() {
        let keys = keys();
        for key in ["server.listen", "login.instances.*.password_file", "class.*.memory_max", "page.settings", "embed.allow", "tls.hsts"] {
            assert!(keys.iter().any(|known| known == key), "{key}: {keys:?}");
        }
    }

    #[test]
    fn what_was_meant() {
        for (message, said) in [
            ("unknown field `lisen`, expected one of `listen`, `auth`", Some("did you mean `listen`?")),
            ("unknown field `memory`, expected one of `listen`, `auth`", None),
            ("unknown field `max_running`, expected `listen` or `auth`", Some("`max_running` belongs to [instances]")),
            ("unknown field `memory_max`, expected `listen` or `auth`", Some("`memory_max` belongs to [class.NAME]")),
            ("invalid type: integer", None),
        ] {
            assert_eq!(hint(message).as_deref(), said, "{message}");
        }
    }
}
