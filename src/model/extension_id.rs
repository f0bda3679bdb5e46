//! The name of an extension, and the wish for one.

use std::fmt;
use std::str::FromStr;

/// The longest publisher, name or version, in bytes. The longest in use has about 60.
const MAX_PART: usize = 128;

/// `PUBLISHER.NAME`, as the galleries know it. Upper and lower case mean the same.
#[derive(Clone)]
pub struct ExtensionId(String);

/// An extension, of a given version or of the latest that fits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExtensionSpec {
    /// Which.
    pub id: ExtensionId,
    /// Which version; none means the latest that this editor can run.
    pub version: Option<String>,
}

/// The text names no extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidExtension {
    /// Not `PUBLISHER.NAME`.
    #[error("an extension is named PUBLISHER.NAME, of a-z, 0-9, '-' and, in the name, '_' and '.'")]
    Id,
    /// What stands behind the `@` is no version.
    #[error("a version is 1.2.3 or the like")]
    Version,
}

impl ExtensionId {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// In lower case, the form in which two ids can be compared as texts.
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl FromStr for ExtensionId {
    type Err = InvalidExtension;

    fn from_str(text: &str) -> Result<Self, InvalidExtension> {
        let word = |part: &str, more: &[u8]| {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || more.contains(&b);
            (1..=MAX_PART).contains(&part.len())
                && part.bytes().all(allowed)
                && part.as_bytes()[0].is_ascii_alphanumeric()
                && !part.ends_with('.')
                && !part.contains("..")
        };
        match text.split_once('.') {
            // A dot in a name is rare, and real: some of the first extensions have it.
            Some((publisher, name)) if word(publisher, b"") && word(name, b"_.") => Ok(Self(text.to_owned())),
            _ => Err(InvalidExtension::Id),
        }
    }
}

impl FromStr for ExtensionSpec {
    type Err = InvalidExtension;

    fn from_str(text: &str) -> Result<Self, InvalidExtension> {
        let (id, version) = text.split_once('@').map_or((text, None), |(id, version)| (id, Some(version)));
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-.+".contains(&b);
        let good = |version: &str| {
            version.len() <= MAX_PART && version.bytes().all(allowed) && version.bytes().next().is_some_and(|b| b.is_ascii_digit())
        };
        if version.is_some_and(|version| !good(version)) {
            return Err(InvalidExtension::Version);
        }
        Ok(Self { id: id.parse()?, version: version.map(str::to_owned) })
    }
}

impl PartialEq for ExtensionId {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for ExtensionId {}

impl std::hash::Hash for ExtensionId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl fmt::Display for ExtensionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ExtensionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for ExtensionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{}@{version}", self.id),
            None => write!(f, "{}", self.id),
        }
    }
}

impl serde::Serialize for ExtensionId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for ExtensionId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        super::parse_text(from)
    }
}

impl serde::Serialize for ExtensionSpec {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for ExtensionSpec {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        super::parse_text(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        for text in ["pub.name", "Pub-1.Name_x", "0.0", "ms.vs-code.thing"] {
            assert_eq!(text.parse::<ExtensionId>().map(|id| id.to_string()), Ok(text.to_owned()));
        }
        for text in
            ["", ".", "a", "a.", ".a", "-a.b", "a.-b", "a_b.c", "a.b/c", "a/../b.c", "a..b", "a.b..c", "a.b.", "a.b c", "ä.b", "a.b\0"]
        {
            assert_eq!(text.parse::<ExtensionId>(), Err(InvalidExtension::Id), "{text:?}");
        }
        assert_eq!("Pub.Name".parse::<ExtensionId>(), "pub.NAME".parse());
    }

    #[test]
    fn wishes() {
        let spec: ExtensionSpec = "pub.name@1.2.3-rc.1".parse().expect("a wish");
        assert_eq!(
            (spec.id.as_str(), spec.version.as_deref(), spec.to_string().as_str()),
            ("pub.name", Some("1.2.3-rc.1"), "pub.name@1.2.3-rc.1")
        );
        for text in ["pub.name@", "pub.name@latest", "pub.name@1/2", "pub.name@-1", "pub.name@1@2"] {
            assert_eq!(text.parse::<ExtensionSpec>(), Err(InvalidExtension::Version), "{text:?}");
        }
    }
}
