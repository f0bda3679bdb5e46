//! What is different on touch screens: our defaults, and what the operator says.

use serde_json::{Map, Value, json};

use super::checked::Touch;

/// `own` are the operator's settings for all devices, `on_touch` and `on_phones` those for touch screens and phones alone. Whatever
/// the operator says wins over our `defaults`, and what is said of fewer devices over what is said of more.
pub(super) fn check(
    defaults: bool,
    keys: bool,
    own: &Map<String, Value>,
    on_touch: Map<String, Value>,
    on_phones: Map<String, Value>,
) -> Touch {
    let ours = |settings: Value| match settings {
        Value::Object(map) if defaults => map.into_iter().filter(|(key, _)| !own.contains_key(key)).collect(),
        _ => Map::new(),
    };
    let (mut settings, mut phone_settings) = (ours(for_touch()), ours(for_phones()));
    phone_settings.retain(|key, _| !on_touch.contains_key(key));
    settings.extend(on_touch);
    phone_settings.extend(on_phones);
    Touch { keys, drawer: defaults, settings, phone_settings }
}

/// For touch screens of any size.
fn for_touch() -> Value {
    json!({
        // No finger hits the minimap, and it takes a fifth of a small screen.
        "editor.minimap.enabled": false,
        "editor.wordWrap": "on",
        // Selected text would be moved by whoever wants to scroll.
        "editor.dragAndDrop": false,
        "editor.lineHeight": 1.6,
        "editor.scrollbar.verticalScrollbarSize": 16,
        "workbench.editor.titleScrollbarSizing": "large",
        "workbench.startupEditor": "none",
        "workbench.tips.enabled": false,
        "workbench.secondarySideBar.defaultVisibility": "hidden",
    })
}

/// For phones, besides those.
fn for_phones() -> Value {
    json!({
        // In the side bar, which is a drawer: 48 px more for the editor.
        "workbench.activityBar.location": "top",
        "workbench.navigationControl.enabled": false,
        "workbench.layoutControl.type": "toggles",
        // A terminal on a part of such a screen is none.
        "workbench.panel.opensMaximized": "always",
        "breadcrumbs.enabled": false,
        "editor.stickyScroll.enabled": false,
        "editor.glyphMargin": false,
        "editor.folding": false,
        "editor.lineNumbersMinChars": 3,
        "editor.lineDecorationsWidth": 6,
        "diffEditor.renderSideBySide": false,
        // 50 columns on most phones.
        "terminal.integrated.fontSize": 12,
        // Phones take the graphics processor away from pages in the background, and a terminal of this size needs none.
        "terminal.integrated.gpuAcceleration": "off",
        // The list of terminals beside them; they are in the panel's title then.
        "terminal.integrated.tabs.enabled": false,
        "security.workspace.trust.banner": "never",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(key: &str, value: impl Into<Value>) -> Map<String, Value> {
        Map::from_iter([(key.to_owned(), value.into())])
    }

    #[test]
    fn what_the_operator_says_wins() {
        let touch = check(true, true, &one("editor.wordWrap", "off"), one("breadcrumbs.enabled", true), one("editor.fontSize", 16));
        assert!(!touch.settings.contains_key("editor.wordWrap"), "said of all devices: {:?}", touch.settings);
        assert_eq!((&touch.settings["editor.minimap.enabled"], &touch.settings["breadcrumbs.enabled"]), (&json!(false), &json!(true)));
        assert!(!touch.phone_settings.contains_key("breadcrumbs.enabled"));
        assert_eq!((&touch.phone_settings["editor.folding"], &touch.phone_settings["editor.fontSize"]), (&json!(false), &json!(16)));
    }

    #[test]
    fn switched_off_only_the_operators_own_are_left() {
        let touch = check(false, false, &Map::new(), one("a", 1), one("b", 2));
        assert_eq!(touch, Touch { keys: false, drawer: false, settings: one("a", 1), phone_settings: one("b", 2) });
    }
}
