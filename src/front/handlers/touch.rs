//! What is different on touch screens: defaults for settings, a phone's side bar as a drawer, and a row of keys that keyboards on
//! screens lack. The server only says what there would be; whether the device is such a one, the page's own module finds out.

use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::config::Touch;

/// Where the files are, below `/_static/`; behind it follows a name that changes with their content.
const PREFIX: &str = "touch/";

const JS: &str = "text/javascript; charset=utf-8";

const FILES: [(&str, &str, &str); 7] = [
    ("main.js", JS, include_str!("touch/main.js")),
    ("layout.js", JS, include_str!("touch/layout.js")),
    ("room.js", JS, include_str!("touch/room.js")),
    ("drawer.js", JS, include_str!("touch/drawer.js")),
    ("keys.js", JS, include_str!("touch/keys.js")),
    ("typed.js", JS, include_str!("touch/typed.js")),
    ("touch.css", "text/css; charset=utf-8", include_str!("touch/touch.css")),
];

/// Changes with the content of any of the files, so that a browser may keep them for ever.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let digest = FILES.iter().fold(Sha256::new(), |digest, (_, _, content)| digest.chain_update(content));
    hex::encode(&digest.finalize()[..8])
});

/// What goes into the page's head, with `{nonce}` left for whoever knows the page's. `name` is what an installed app is called;
/// `special` are settings that a page of its own
/// kind depends on; such a page has a layout of its own as well, and no drawer.
pub(super) fn head(touch: &Touch, name: &str, special: Option<&Map<String, Value>>) -> String {
    let settings = |all: &Map<String, Value>| -> Map<String, Value> {
        all.iter().filter(|(key, _)| !special.is_some_and(|map| map.contains_key(*key))).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    let config = json!({
        "name": name, "keys": touch.keys, "drawer": touch.drawer && special.is_none(),
        "touch": settings(&touch.settings), "phone": settings(&touch.phone_settings),
    });
    let config = config.to_string().replace('&', "&amp;").replace('"', "&quot;").replace('{', "&#123;");
    let src = format!("./_static/{PREFIX}{}/main.js", *VERSION);
    format!("<meta id=\"hoody-touch\" content=\"{config}\"><script nonce=\"{{nonce}}\" type=\"module\" src=\"{src}\"></script>")
}

/// The file at `name` below `/_static/`, with its content type. One of another version is not there.
pub(super) fn file(name: &str) -> Option<(&'static str, Bytes)> {
    let name = name.strip_prefix(PREFIX)?.strip_prefix(VERSION.as_str())?.strip_prefix('/')?;
    let (_, kind, content) = FILES.iter().find(|(known, ..)| *known == name)?;
    Some((kind, Bytes::from_static(content.as_bytes())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn touch() -> Touch {
        let settings = |key: &str, value: &str| Map::from_iter([(key.to_owned(), Value::from(value))]);
        Touch { keys: true, drawer: true, settings: settings("a", "\">&quot;{nonce}"), phone_settings: settings("b", "c") }
    }

    #[test]
    fn a_hostile_setting_stays_text() {
        let head = head(&touch(), "<n>", None);
        assert_eq!(head.matches("{nonce}").count(), 1, "{head}");
        let attribute = head.split("content=\"").nth(1).unwrap().split('"').next().unwrap();
        let config = attribute.replace("&#123;", "{").replace("&quot;", "\"").replace("&amp;", "&");
        let config: Value = serde_json::from_str(&config).unwrap();
        assert_eq!((&config["touch"]["a"], &config["drawer"]), (&json!("\">&quot;{nonce}"), &json!(true)));
    }

    #[test]
    fn a_page_of_its_own_kind_keeps_what_it_depends_on() {
        let head = head(&touch(), "n", Some(&touch().phone_settings));
        assert!(head.contains("&quot;phone&quot;:&#123;}") && head.contains("&quot;drawer&quot;:false"), "{head}");
    }

    #[test]
    fn files() {
        for (name, ..) in FILES {
            assert!(file(&format!("touch/{}/{name}", *VERSION)).is_some());
        }
        for name in ["touch/main.js", "touch/0/main.js", "touch//main.js", "main.js"] {
            assert!(file(name).is_none(), "{name}");
        }
    }
}
