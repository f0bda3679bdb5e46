//! The workbench's HTML page, shaped without patching: its configuration stands as JSON in an attribute, and that attribute is
//! all that is rewritten, besides what is added at the end of the head.

use lol_html::html_content::ContentType;
use lol_html::{HtmlRewriter, Settings, element};
use serde_json::{Map, Value};

use super::error::EngineError;

/// The element that carries VS Code's embedder options.
const CONFIGURATION: &str = "meta#vscode-workbench-web-configuration[data-settings]";

/// The script that starts the workbench.
const WORKBENCH: &str = "script[type=\"module\"][src$=\"/workbench.js\"]";

/// What is to be changed in the page.
#[derive(Clone, Debug, Default)]
pub struct PageChanges<'a> {
    /// Defaults for settings (`configurationDefaults`); a user's own settings win.
    pub settings: Map<String, Value>,
    /// Embedder options; tables are merged key by key, everything else is replaced.
    pub options: Map<String, Value>,
    /// Style sheets to link, as relative URLs.
    pub styles: &'a [String],
    /// Scripts to load, as relative URLs.
    pub scripts: &'a [String],
    /// HTML put at the end of the head, before style sheets and scripts; `{nonce}` in it becomes the page's own.
    pub head: &'a str,
    /// A module that takes the place of the workbench's; the last `{workbench}` in it becomes the address of that one, as JSON.
    pub module: Option<&'a str>,
}

/// Rewrites `page` piece by piece. `nonce` is what the page's own content security policy admits scripts by.
///
/// # Errors
/// When the page is not what we know: no configuration in it, or one that is not JSON.
pub fn rewrite(page: &[u8], nonce: &str, changes: &PageChanges<'_>) -> Result<Vec<u8>, EngineError> {
    let mut out = Vec::with_capacity(page.len() + 1024);
    let mut configured = false;
    let mut rewriter = HtmlRewriter::new(
        Settings::new()
            .append_element_content_handler(element!(CONFIGURATION, |meta| {
                let settings = meta.get_attribute("data-settings").unwrap_or_default();
                meta.set_attribute("data-settings", &reconfigure(&settings, changes)?)?;
                configured = true;
                Ok(())
            }))
            .append_element_content_handler(element!(WORKBENCH, |script| {
                if let (Some(module), Some(src)) = (changes.module, script.get_attribute("src")) {
                    script.replace(&instead(nonce, module, &src)?, ContentType::Html);
                }
                Ok(())
            }))
            .append_element_content_handler(element!("head", |head| {
                head.append(&additions(nonce, changes), ContentType::Html);
                Ok(())
            })),
        |chunk: &[u8]| out.extend_from_slice(chunk),
    );
    rewriter.write(page).map_err(|e| EngineError::Page(e.to_string()))?;
    rewriter.end().map_err(|e| EngineError::Page(e.to_string()))?;
    if configured { Ok(out) } else { Err(EngineError::Page("it has no workbench configuration".to_owned())) }
}

/// The nonce in a content security policy (`script-src … 'nonce-VALUE'`).
pub fn policy_nonce(policy: &str) -> Option<&str> {
    let (_, rest) = policy.split_once("'nonce-")?;
    rest.split_once('\'').map(|(nonce, _)| nonce)
}

fn reconfigure(attribute: &str, changes: &PageChanges<'_>) -> Result<String, serde_json::Error> {
    // VS Code escapes nothing but the quote.
    let mut configuration: Map<String, Value> = serde_json::from_str(&attribute.replace("&quot;", "\""))?;
    merge(&mut configuration, &changes.options);
    let defaults = configuration.entry("configurationDefaults").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(defaults) = defaults {
        for (key, value) in &changes.settings {
            defaults.insert(key.clone(), value.clone());
        }
    }
    // In JSON an ampersand can only stand inside a string; written this way, no reader of HTML takes it for an entity.
    Ok(serde_json::to_string(&configuration)?.replace('&', "\\u0026"))
}

fn merge(into: &mut Map<String, Value>, from: &Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(Value::Object(into)), Value::Object(from)) => merge(into, from),
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

/// The workbench is fetched while the module does what it does before.
fn instead(nonce: &str, module: &str, src: &str) -> Result<String, serde_json::Error> {
    let address = serde_json::to_string(src)?.replace('<', "\\u003c");
    let (before, after) = module.rsplit_once("{workbench}").unwrap_or((module, ""));
    Ok(format!("<link rel=\"modulepreload\" href=\"{src}\"><script type=\"module\" nonce=\"{nonce}\">\n{before}{address}{after}</script>"))
}

fn additions(nonce: &str, changes: &PageChanges<'_>) -> String {
    let mut html = changes.head.replace("{nonce}", nonce);
    for url in changes.styles {
        html.push_str(&format!("<link rel=\"stylesheet\" href=\"{url}\">"));
    }
    for url in changes.scripts {
        html.push_str(&format!("<script nonce=\"{nonce}\" defer src=\"{url}\"></script>"));
    }
    html
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    const PAGE: &str = "<!DOCTYPE html><html><head><meta charset=\"utf-8\"/><meta id=\"vscode-workbench-web-configuration\" \
        data-settings=\"{&quot;a&quot;:1,&quot;productConfiguration&quot;:{&quot;x&quot;:1,&quot;y&quot;:&quot;p&q&quot;}}\"></head><body aria-label=\"\"></body></html>";

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            other => panic!("{other}"),
        }
    }

    fn configuration(html: &[u8]) -> Value {
        let html = String::from_utf8(html.to_vec()).unwrap();
        let attribute = html.split("data-settings=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        serde_json::from_str(&attribute.replace("&quot;", "\"")).unwrap()
    }

    #[test]
    fn options_merge_and_settings_are_defaults() {
        let changes = PageChanges {
            settings: object(json!({"editor.fontSize": 15, "s": "a & \"b\" &quot;"})),
            options: object(json!({"productConfiguration": {"x": 2}, "homeIndicator": {"href": "/"}})),
            ..PageChanges::default()
        };
        let got = configuration(&rewrite(PAGE.as_bytes(), "n", &changes).unwrap());
        assert_eq!(got["productConfiguration"], json!({"x": 2, "y": "p&q"}));
        assert_eq!(got["a"], 1);
        assert_eq!(got["configurationDefaults"]["editor.fontSize"], 15);
        assert_eq!(got["configurationDefaults"]["s"], "a & \"b\" &quot;");
    }

    #[test]
    fn nothing_else_changes() {
        let html = String::from_utf8(rewrite(PAGE.as_bytes(), "n", &PageChanges::default()).unwrap()).unwrap();
        let (before, after) = (PAGE.split("data-settings").next().unwrap(), PAGE.rsplit_once("\">").unwrap().1);
        assert!(html.starts_with(before) && html.ends_with(after), "{html}");
    }

    #[test]
    fn additions_carry_the_nonce() {
        let changes = PageChanges {
            styles: &["./a.css".into()],
            scripts: &["./b.js".into()],
            head: "<script nonce=\"{nonce}\">1</script>",
            ..PageChanges::default()
        };
        let html = String::from_utf8(rewrite(PAGE.as_bytes(), "abc", &changes).unwrap()).unwrap();
        let expected = "<script nonce=\"abc\">1</script><link rel=\"stylesheet\" href=\"./a.css\">\
            <script nonce=\"abc\" defer src=\"./b.js\"></script></head>";
        assert!(html.contains(expected), "{html}");
    }

    #[test]
    fn a_module_takes_the_place_of_the_workbenchs() {
        let script = "<script type=\"module\" src=\"stable-1/static/out/workbench.js\"></script>";
        let page = PAGE.replace("</body>", &format!("</body><script type=\"module\" src=\"nls.js\"></script>{script}"));
        let changes = PageChanges { module: Some("a('{workbench}'); b({workbench});"), ..PageChanges::default() };
        let html = String::from_utf8(rewrite(page.as_bytes(), "abc", &changes).unwrap()).unwrap();
        let expected = "src=\"nls.js\"></script><link rel=\"modulepreload\" href=\"stable-1/static/out/workbench.js\">\
            <script type=\"module\" nonce=\"abc\">\na('{workbench}'); b(\"stable-1/static/out/workbench.js\");</script>";
        assert!(html.contains(expected) && !html.contains(script), "{html}");
        let kept = String::from_utf8(rewrite(page.as_bytes(), "abc", &PageChanges::default()).unwrap()).unwrap();
        assert!(kept.contains(script), "{kept}");
    }

    #[test]
    fn another_page_is_an_error() {
        assert!(rewrite(b"<html><head></head></html>", "n", &PageChanges::default()).is_err());
        let broken = PAGE.replace("&quot;a&quot;:1", "&quot;a&quot;:");
        assert!(rewrite(broken.as_bytes(), "n", &PageChanges::default()).is_err());
    }

    #[test]
    fn nonces() {
        assert_eq!(policy_nonce("script-src 'self' 'nonce-abc+/=' blob:; x"), Some("abc+/="));
        assert_eq!(policy_nonce("script-src 'self'"), None);
    }
}
