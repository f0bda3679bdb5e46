//! What of an extension can be looked at, from its `package.json`. Pure; whatever stands there, it comes to an answer.

use serde_json::Value;

use crate::model::ExtensionView;

/// Places of the editor's own that an extension may put a view into, and their ids.
const STANDARD: &[(&str, &str)] = &[
    ("explorer", "workbench.view.explorer"),
    ("scm", "workbench.view.scm"),
    ("debug", "workbench.view.debug"),
    ("test", "workbench.view.extension.test"),
    ("remote", "workbench.view.remote"),
];

/// What words in a command's title or id say that it opens something to look at.
const OPENS: &[&str] = &["open", "show", "start", "launch", "preview", "dashboard", "view", "panel", "home", "welcome"];

/// The most patterns taken from a custom editor.
const MOST_PATTERNS: usize = 20;

/// The best there is to look at, in this order: a place of the extension's own, a view in a place of the editor's, an editor for
/// some files, a command.
pub(super) fn view(manifest: &Value) -> ExtensionView {
    let contributes = &manifest["contributes"];
    own_place(contributes)
        .or_else(|| standard_place(contributes))
        .or_else(|| custom_editor(contributes))
        .or_else(|| commands(manifest))
        .unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn own_place(contributes: &Value) -> Option<ExtensionView> {
    let find = |location: &str| {
        list(&contributes["viewsContainers"][location]).iter().find_map(|container| {
            let id = container["id"].as_str()?;
            let view = first_view(&contributes["views"][id])?;
            Some((view, format!("workbench.view.extension.{id}")))
        })
    };
    let side = ["activitybar", "secondarySidebar"].into_iter().find_map(find);
    side.map(|(view, container)| ExtensionView::Side { view, container })
        .or_else(|| find("panel").map(|(view, container)| ExtensionView::Panel { view, container }))
}

fn standard_place(contributes: &Value) -> Option<ExtensionView> {
    STANDARD.iter().find_map(|(name, container)| {
        let view = first_view(&contributes["views"][name])?;
        Some(ExtensionView::Side { view, container: (*container).to_owned() })
    })
}

/// The first view that is there from the start, else the first.
fn first_view(views: &Value) -> Option<String> {
    let views = list(views);
    let always = |view: &&Value| view["when"].is_null() && view["visibility"] != "hidden";
    let view = views.iter().find(always).or_else(|| views.first())?;
    view["id"].as_str().map(str::to_owned)
}

fn custom_editor(contributes: &Value) -> Option<ExtensionView> {
    let editor = list(&contributes["customEditors"]).first()?;
    let patterns = list(&editor["selector"]).iter().filter_map(|one| one["filenamePattern"].as_str());
    let patterns = patterns.take(MOST_PATTERNS).map(str::to_owned).collect();
    Some(ExtensionView::CustomEditor { editor: editor["viewType"].as_str()?.to_owned(), patterns })
}

fn commands(manifest: &Value) -> Option<ExtensionView> {
    let contributes = &manifest["contributes"];
    let hidden: Vec<&str> = list(&contributes["menus"]["commandPalette"])
        .iter()
        .filter(|entry| entry["when"].as_str() == Some("false"))
        .filter_map(|entry| entry["command"].as_str())
        .collect();
    let all: Vec<&Value> =
        list(&contributes["commands"]).iter().filter(|c| c["command"].as_str().is_some_and(|id| !hidden.contains(&id))).collect();
    let id = |command: &Value| command["command"].as_str().map(str::to_owned);
    if let [only] = all.as_slice() {
        return id(only).map(|command| ExtensionView::Command { command });
    }
    let opens = |command: &&&Value| {
        let text = format!("{} {}", text(&command["title"]), text(&command["command"])).to_lowercase();
        command["enablement"].is_null() && text.split(|c: char| !c.is_alphanumeric()).any(|word| OPENS.contains(&word))
    };
    if let Some(command) = all.iter().find(opens) {
        return id(command).map(|command| ExtensionView::Command { command });
    }
    let first = all.first()?;
    let category = text(&first["category"]);
    Some(ExtensionView::Commands { search: if category.is_empty() { text(&first["title"]) } else { category }.to_owned() })
}

/// A text; a title may come as an object with the original in it.
fn text(value: &Value) -> &str {
    value.as_str().or_else(|| value["value"].as_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(contributes: Value) -> ExtensionView {
        view(&json!({ "contributes": contributes }))
    }

    #[test]
    fn places() {
        let side = |view: &str, container: &str| ExtensionView::Side { view: view.into(), container: container.into() };
        let views = json!({"box": [{"id": "a", "when": "x"}, {"id": "b"}], "explorer": [{"id": "c"}]});
        assert_eq!(
            of(json!({"viewsContainers": {"activitybar": [{"id": "box"}]}, "views": views})),
            side("b", "workbench.view.extension.box")
        );
        assert_eq!(
            of(json!({"viewsContainers": {"panel": [{"id": "box"}]}, "views": {"box": [{"id": "a", "when": "x"}]}})),
            ExtensionView::Panel { view: "a".into(), container: "workbench.view.extension.box".into() }
        );
        assert_eq!(
            of(json!({"viewsContainers": {"activitybar": [{"id": "empty"}]}, "views": views})),
            side("c", "workbench.view.explorer")
        );
    }

    #[test]
    fn editors_and_commands() {
        assert_eq!(
            of(json!({"customEditors": [{"viewType": "e", "selector": [{"filenamePattern": "*.x"}, {}]}], "commands": [{"command": "c"}]})),
            ExtensionView::CustomEditor { editor: "e".into(), patterns: vec!["*.x".into()] }
        );
        let command = |id: &str| ExtensionView::Command { command: id.into() };
        assert_eq!(of(json!({"commands": [{"command": "x.format", "title": "Format"}]})), command("x.format"));
        let two = json!([{"command": "x.format", "title": "Format"}, {"command": "x.two", "title": {"value": "Show Harbour"}}]);
        assert_eq!(of(json!({ "commands": two })), command("x.two"));
        assert_eq!(
            of(json!({ "commands": two, "menus": {"commandPalette": [{"command": "x.two", "when": "false"}]} })),
            command("x.format")
        );
        let none = json!([{"command": "x.a", "title": "Format", "category": "X"}, {"command": "x.b", "title": "Sort"}]);
        assert_eq!(of(json!({ "commands": none })), ExtensionView::Commands { search: "X".into() });
    }

    #[test]
    fn nonsense_is_nothing() {
        for manifest in [json!(null), json!([]), json!({"contributes": 5}), json!({"contributes": {"views": [], "commands": {"a": 1}}})] {
            assert_eq!(view(&manifest), ExtensionView::None);
        }
        assert_eq!(of(json!({"themes": [{}]})), ExtensionView::None);
    }
}
