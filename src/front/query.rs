//! The parameters of `/` and `/api/v1/code`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::answer::{ApiError, ErrorCode};
use crate::instances::LastOpened;
use crate::model::{AbsolutePath, ExtensionId, Locale};

/// What stays readable in a query that we write, or in an address inside another one. The workbench reads either form.
pub(super) const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What is to be opened, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    pub(super) folder: Option<AbsolutePath>,
    pub(super) workspace: Option<AbsolutePath>,
    pub(super) empty_window: bool,
    pub(super) locale: Option<Locale>,
    pub(super) extension: Option<ExtensionId>,
    /// Whether a folder came along with a workspace, which wins.
    pub(super) redundant: bool,
    /// Everything else, as it came, joined by `&`.
    rest: String,
}

impl Parameters {
    /// Parses a raw query.
    pub(super) fn parse(query: &str) -> Result<Self, ApiError> {
        let mut parameters = Self::default();
        let mut rest = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            // A name that cannot be read is none of ours.
            match decode(name, ErrorCode::BadRequest).as_deref().unwrap_or_default() {
                "folder" => {
                    let path = AbsolutePath::parse(&decode(value, ErrorCode::InvalidFolder)?);
                    parameters.folder = Some(path.map_err(|e| ApiError::new(ErrorCode::InvalidFolder, e.to_string()))?);
                }
                "workspace" => {
                    let text = decode(value, ErrorCode::InvalidWorkspace)?;
                    let path = AbsolutePath::parse(&text).map_err(|e| ApiError::new(ErrorCode::InvalidWorkspace, e.to_string()))?;
                    if !text.ends_with(".code-workspace") {
                        return Err(ApiError::new(ErrorCode::InvalidWorkspace, "a workspace is a .code-workspace file"));
                    }
                    parameters.workspace = Some(path);
                }
                "locale" => {
                    let locale = Locale::parse(&decode(value, ErrorCode::InvalidLocale)?);
                    parameters.locale = Some(locale.map_err(|e| ApiError::new(ErrorCode::InvalidLocale, e.to_string()))?);
                }
                "extension" => {
                    let id = decode(value, ErrorCode::InvalidExtension)?.parse::<ExtensionId>();
                    parameters.extension = Some(id.map_err(|e| ApiError::new(ErrorCode::InvalidExtension, e.to_string()))?);
                }
                "ew" => parameters.empty_window = !matches!(value, "false" | "0"),
                _ => rest.push(pair),
            }
        }
        parameters.rest = rest.join("&");
        if parameters.workspace.is_some() && parameters.folder.take().is_some() {
            parameters.redundant = true;
        }
        if parameters.folder.is_some() || parameters.workspace.is_some() {
            parameters.empty_window = false;
        }
        Ok(parameters)
    }

    /// Whether they say what to open, if only nothing.
    pub(super) fn decide(&self) -> bool {
        self.folder.is_some() || self.workspace.is_some() || self.empty_window
    }

    /// What to remember of them.
    pub(super) fn to_remember(&self) -> LastOpened {
        let text = |path: &Option<AbsolutePath>| path.as_ref().map(ToString::to_string);
        LastOpened { folder: text(&self.folder), workspace: text(&self.workspace) }
    }

    /// The same parameters with `opened` put in; none when nothing usable was remembered.
    pub(super) fn reopen(mut self, opened: &LastOpened) -> Option<Self> {
        let parse = |path: &Option<String>| path.as_deref().and_then(|path| AbsolutePath::parse(path).ok());
        self.workspace = parse(&opened.workspace);
        self.folder = if self.workspace.is_some() { None } else { parse(&opened.folder) };
        self.decide().then_some(self)
    }

    /// As a query, to send a browser to.
    pub(super) fn to_query(&self) -> String {
        let path = |name: &str, path: &AbsolutePath| format!("{name}={}", utf8_percent_encode(path.as_str(), QUERY));
        let mut pairs = Vec::new();
        pairs.extend(self.workspace.as_ref().map(|p| path("workspace", p)));
        pairs.extend(self.folder.as_ref().map(|p| path("folder", p)));
        if self.empty_window {
            pairs.push("ew=true".to_owned());
        }
        pairs.extend(self.locale.as_ref().map(|locale| format!("locale={locale}")));
        pairs.extend(self.extension.as_ref().map(|extension| format!("extension={extension}")));
        if !self.rest.is_empty() {
            pairs.push(self.rest.clone());
        }
        pairs.join("&")
    }
}

/// `%xx` and `+`, as forms write them.
fn decode(text: &str, code: ErrorCode) -> Result<String, ApiError> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().map_err(|_| ApiError::new(code, "a parameter is not UTF-8"))?;
    Ok(decoded.into_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn code(query: &str) -> ErrorCode {
        Parameters::parse(query).unwrap_err().code
    }

    #[test]
    fn good_ones() {
        let p = Parameters::parse("folder=/a%20b/c&payload=%5B%5D&locale=zh-CN&x").unwrap();
        assert_eq!(p.folder.as_ref().unwrap().as_str(), "/a b/c");
        assert_eq!(p.to_query(), "folder=/a%20b/c&locale=zh-cn&payload=%5B%5D&x");
        let p = Parameters::parse("folder=/a&workspace=/w.code-workspace").unwrap();
        assert!(p.redundant && p.folder.is_none());
        assert_eq!(p.to_query(), "workspace=/w.code-workspace");
        for query in ["ew", "ew=", "ew=true", "ew=1"] {
            assert!(Parameters::parse(query).unwrap().empty_window, "{query}");
        }
        assert!(!Parameters::parse("ew=false").unwrap().decide());
        assert!(!Parameters::parse("").unwrap().decide());
    }

    #[test]
    fn bad_ones() {
        for query in ["folder=a", "folder=", "folder", "folder=/a/../b", "folder=/a%00", "folder=%2Fa%2F..%2Fb", "folder=%ff", "f%6flder=x"]
        {
            assert_eq!(code(query), ErrorCode::InvalidFolder, "{query}");
        }
        for query in ["workspace=/a", "workspace=a.code-workspace", "workspace=/../a.code-workspace"] {
            assert_eq!(code(query), ErrorCode::InvalidWorkspace, "{query}");
        }
        assert_eq!(code("locale=fr_FR"), ErrorCode::InvalidLocale);
        for query in ["extension", "extension=a", "extension=a.b@1", "extension=..%2F..", "extension=a.b%00"] {
            assert_eq!(code(query), ErrorCode::InvalidExtension, "{query}");
        }
    }

    #[test]
    fn the_last_opened_comes_back() {
        let opened = LastOpened { folder: Some("/a b".into()), workspace: None };
        let p = Parameters::parse("locale=fr&x=1").unwrap().reopen(&opened).unwrap();
        assert_eq!(p.to_query(), "folder=/a%20b&locale=fr&x=1");
        assert_eq!(Parameters::parse("x").unwrap().reopen(&LastOpened::default()), None);
    }
}
