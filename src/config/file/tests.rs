use std::collections::BTreeSet;

use super::*;
use crate::config::{Config, Overrides, load, load_for_broker};
use crate::model::InstanceId;

/// What gets installed as /etc/hoody-code/config.toml.
const INSTALLED: &str = include_str!("../../../etc/config.toml");

/// Its lines with `#key`, which are defaults, or with `##key` as well, which are examples, as if the operator had taken the signs away.
fn uncommented(examples: bool) -> String {
    let is_key = |line: &str| line.starts_with(|c: char| c.is_ascii_lowercase() || c == '"' || c == '[');
    let line = |line: &str| match (line.strip_prefix("##"), line.strip_prefix('#')) {
        (Some(rest), _) if examples && is_key(rest) => rest.to_owned(),
        (None, Some(rest)) if is_key(rest) => rest.to_owned(),
        _ => line.to_owned(),
    };
    INSTALLED.lines().map(|text| line(text) + "\n").collect()
}

struct Files(tempfile::TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(MORE)).unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        Self(dir)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("config.toml")
    }

    fn load(&self) -> Result<Config, ConfigError> {
        load(&Overrides { config: Some(self.path()), data_dir: Some("/x".into()), ..Overrides::default() })
    }
}

#[test]
fn the_installed_file_says_what_holds_without_it() {
    let default = load(&Overrides { data_dir: Some("/x".into()), ..Overrides::default() }).unwrap();
    for text in [INSTALLED, &uncommented(false)] {
        let files = Files::new(&[("config.toml", text)]);
        let mut config = files.load().unwrap();
        config.written = Written::default();
        // An empty section is there, but says nothing: below, what it comes to is compared.
        config.hosting = default.hosting.clone();
        assert_eq!(config, default);
        let broker = load_for_broker(&files.path()).unwrap();
        let nothing = load_for_broker(Path::new("/nowhere/config.toml")).unwrap();
        assert_eq!((broker.hosting.uids, broker.hosting.network.clone()), (nothing.hosting.uids, nothing.hosting.network.clone()));
        let id: InstanceId = "anybody".parse().unwrap();
        let class = load_for_broker(&files.path()).unwrap().hosting.class_of(&id);
        assert_eq!(class, load_for_broker(Path::new("/nowhere/config.toml")).unwrap().hosting.class_of(&id));
    }
}

#[test]
fn the_installed_file_has_every_key() {
    let table: toml::Table = toml::from_str(&uncommented(true)).unwrap();
    toml::from_str::<raw::File>(&uncommented(true)).unwrap();
    let mut found = BTreeSet::new();
    let mut sections = vec![(String::new(), toml::Value::Table(table))];
    while let Some((path, value)) = sections.pop() {
        let toml::Value::Table(table) = value else { continue };
        // Whatever its name is, it stands for all of its kind.
        let named = ["login.instances", "class", "instance", "service"].contains(&path.as_str());
        for (name, value) in table {
            let name = if named { "*" } else { &name };
            let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            found.insert(path.clone());
            sections.push((path, value));
        }
    }
    // A class has no class; of an instance, any key of a class can be said.
    let needed = |key: &str| key != "class.*.class" && (!key.starts_with("instance.*.") || key == "instance.*.class");
    let missing: Vec<_> = known::keys().into_iter().filter(|key| needed(key) && !found.contains(key)).collect();
    assert!(missing.is_empty(), "etc/config.toml does not say: {}", missing.join(", "));
}

#[test]
fn later_files_add_and_win() {
    let files = Files::new(&[
        ("config.toml", "[page]\nname = 'First'\n[page.settings]\na = 1\nb = 1\n[server]\ndomains = ['one.example']"),
        ("conf.d/20.toml", "[page]\nname = 'Third'\n[page.settings]\nb = 3"),
        ("conf.d/10.toml", "[page]\nname = 'Second'\n[server]\ndomains = ['two.example']\n[class.small]\nmemory_max = '1G'"),
        ("conf.d/.hidden.toml", "nonsense"),
        ("conf.d/30.toml.dpkg-new", "nonsense"),
    ]);
    let config = files.load().unwrap();
    assert_eq!((config.page.name.as_str(), config.server.domains), ("Third", vec!["two.example".to_owned()]));
    assert_eq!((&config.page.settings["a"], &config.page.settings["b"]), (&1.into(), &3.into()));
    assert_eq!(load_for_broker(&files.path()).unwrap().app_name, "Third");
    fs::remove_file(files.path()).unwrap();
    assert_eq!(load_for_broker(&files.path()).unwrap().app_name, "Third", "the broker needs no file of its own");
    assert!(files.load().is_err());
}

#[test]
fn a_mistake_names_its_file_its_line_and_what_was_meant() {
    let files = Files::new(&[("config.toml", ""), ("conf.d/10.toml", "[server]\nlisen = []")]);
    let error = files.load().unwrap_err().to_string();
    for said in ["conf.d/10.toml", "line 2", "unknown field `lisen`", "did you mean `listen`?"] {
        assert!(error.contains(said), "{said}: {error}");
    }
}

#[test]
fn what_changed() {
    let written = |text: &str| Written(toml::from_str(text).unwrap());
    let old = written("[page]\nname = 'A'\n[page.settings]\na = 1\n[log]\nlevel = 'info'\n[tls]");
    let new = written("[page]\nname = 'B'\n[page.settings]\na = 1\nb = { c = 1 }\n[class.exam]\nmemory_max = '1G'");
    assert_eq!(old.changes(&new), ["class.exam.memory_max", "log.level", "page.name", "page.settings.b.c"]);
    assert!(old.changes(&old).is_empty());
    let changes = ["class.exam.memory_max", "class.exam.mounts", "instance.a.network", "network.dns", "page.name"].map(str::to_owned);
    assert_eq!(at_next_start(&changes), ["class.exam.mounts", "instance.a.network", "network.dns"]);
}
