//! Display languages.

use std::fmt;

/// An IETF language tag (RFC 5646) in the shape VS Code uses: lower case, for example `fr`, `zh-cn`, `pt-br`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locale(String);

/// The text is not a language tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a language tag such as 'fr' or 'zh-cn'")]
pub struct InvalidLocale;

impl Locale {
    /// Parses a tag: a primary subtag of 2 to 8 letters and further subtags of 1 to 8 letters or digits, 35 bytes at most
    /// (the length that RFC 5646, section 4.4.1, asks every implementation to support).
    ///
    /// # Errors
    /// When the text has another shape.
    pub fn parse(text: &str) -> Result<Self, InvalidLocale> {
        let mut parts = text.split('-');
        let primary = parts.next().unwrap_or_default();
        let primary_ok = (2..=8).contains(&primary.len()) && primary.bytes().all(|b| b.is_ascii_alphabetic());
        let rest_ok = parts.all(|p| (1..=8).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_alphanumeric()));
        if primary_ok && rest_ok && text.len() <= 35 { Ok(Self(text.to_ascii_lowercase())) } else { Err(InvalidLocale) }
    }

    /// The tag, lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Locale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        for (text, tag) in [("fr", "fr"), ("zh-CN", "zh-cn"), ("pt-br", "pt-br"), ("zh-Hans-CN", "zh-hans-cn")] {
            assert_eq!(Locale::parse(text).map(|l| l.to_string()), Ok(tag.to_owned()));
        }
        for text in ["", "f", "fr_FR", "fr-", "-fr", "12", "fr;q=1", "../fr", "fr\r\n", &"a-".repeat(30)] {
            assert_eq!(Locale::parse(text), Err(InvalidLocale), "{text:?}");
        }
    }
}
