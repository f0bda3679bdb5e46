use std::fs::File;
use std::os::unix::fs::{PermissionsExt, symlink};

use tempfile::TempDir;

use super::*;

struct Host {
    top: TempDir,
    places: Places,
    id: InstanceId,
    uid: u32,
}

impl Host {
    fn new() -> Self {
        let top = tempfile::tempdir().unwrap();
        let place = |name: &str| top.path().join(name);
        fs::create_dir(place("instances")).unwrap();
        let places = Places::new(place("instances"), place("snapshots"), place("templates"));
        Self { places, top, id: "acme".parse().unwrap(), uid: rustix::process::geteuid().as_raw() }
    }

    fn home(&self) -> PathBuf {
        self.top.path().join("instances/acme")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.home().join("file")).unwrap()
    }

    fn names(&self) -> Vec<String> {
        self.places.list(&self.id).unwrap().into_iter().map(|snapshot| snapshot.name.to_string()).collect()
    }

    fn made(&self, class: &str) -> Result<(), VolumeError> {
        self.places.make(&self.id, self.uid, class)
    }
}

fn name(text: &str) -> SnapshotName {
    text.parse().unwrap()
}

#[test]
fn a_home_begins_with_the_template_of_its_class() {
    let host = Host::new();
    let template = host.top.path().join("templates/small");
    fs::create_dir_all(template.join(".hoody-code/extensions/a.b-1.0.0")).unwrap();
    fs::write(template.join("file"), "template").unwrap();
    // What an earlier run has left.
    fs::create_dir(host.top.path().join("instances/.making-acme")).unwrap();
    host.made("small").unwrap();
    assert_eq!((host.text().as_str(), fs::metadata(host.home()).unwrap().permissions().mode() & 0o7777), ("template", 0o700));
    assert!(host.home().join(".hoody-code/extensions/a.b-1.0.0").is_dir());
    // One that is there is left alone.
    fs::write(host.home().join("file"), "own").unwrap();
    host.made("small").unwrap();
    assert_eq!(host.text(), "own");
    assert_eq!(fs::read_dir(host.top.path().join("instances")).unwrap().count(), 1);
}

#[test]
fn without_a_template_it_is_empty_and_a_bad_one_leaves_nothing() {
    let host = Host::new();
    host.made("small").unwrap();
    assert_eq!(fs::read_dir(host.home()).unwrap().count(), 0);
    fs::remove_dir(host.home()).unwrap();

    let template = host.top.path().join("templates/small");
    fs::create_dir_all(&template).unwrap();
    fs::write(template.join("file"), "").unwrap();
    fs::set_permissions(template.join("file"), fs::Permissions::from_mode(0o666)).unwrap();
    let error = host.made("small").unwrap_err().to_string();
    assert!(error.contains("file: in a template nothing may be writable"), "{error}");
    assert_eq!(fs::read_dir(host.top.path().join("instances")).unwrap().count(), 0);
    // Nor one that is a link to somewhere, or that lies where others may put one.
    fs::remove_dir_all(&template).unwrap();
    symlink("/etc", &template).unwrap();
    assert!(host.made("small").is_err());
    fs::set_permissions(host.top.path().join("templates"), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(host.made("other").unwrap_err().to_string().contains("writable by nobody else"));
}

#[test]
fn a_snapshot_is_restored_and_what_was_there_is_kept() {
    let host = Host::new();
    let places = &host.places;
    assert!(matches!(places.snapshot(&host.id, None, false), Err(VolumeError::NoHome)));
    host.made("small").unwrap();
    fs::write(host.home().join("file"), "one").unwrap();
    let plain = !sys::is_subvolume(File::open(host.home()).unwrap());
    if plain {
        assert!(matches!(places.snapshot(&host.id, Some(&name("x")), true), Err(VolumeError::Runs)));
    }
    let made = places.snapshot(&host.id, Some(&name("first")), false).unwrap();
    assert_eq!(made, DiskAnswer::Made { name: name("first"), without: 0 });
    assert!(matches!(places.snapshot(&host.id, Some(&name("first")), false), Err(VolumeError::Exists(_))));
    fs::write(host.home().join("file"), "two").unwrap();
    assert!(matches!(places.restore(&host.id, host.uid, &name("second")), Err(VolumeError::Missing(_))));

    let kept = places.restore(&host.id, host.uid, &name("first")).unwrap().unwrap();
    assert_eq!(host.text(), "one");
    assert_eq!(host.names(), [kept.to_string(), "first".into()]);
    let kept_text = fs::read_to_string(host.top.path().join("snapshots/acme").join(kept.as_str()).join("file")).unwrap();
    assert_eq!(kept_text, "two");
    // Without a home, as on a host that it is moved to.
    places.delete(&host.id, &kept).unwrap();
    fs::remove_dir_all(host.home()).unwrap();
    assert_eq!(places.restore(&host.id, host.uid, &name("first")).unwrap(), None);
    assert_eq!(host.text(), "one");

    places.delete(&host.id, &name("first")).unwrap();
    assert!(matches!(places.delete(&host.id, &name("first")), Err(VolumeError::Missing(_))));
    assert!(host.names().is_empty());
}

#[test]
fn a_restore_that_was_cut_off_has_lost_nothing() {
    let host = Host::new();
    host.made("small").unwrap();
    fs::write(host.home().join("file"), "one").unwrap();
    host.places.snapshot(&host.id, Some(&name("first")), false).unwrap();
    let aside = host.top.path().join("instances/.restoring-acme");
    fs::create_dir(&aside).unwrap();
    fs::write(aside.join("file"), "precious").unwrap();
    host.places.restore(&host.id, host.uid, &name("first")).unwrap();
    let found = host.names().into_iter().find(|name| name.starts_with("interrupted-")).unwrap();
    assert_eq!(fs::read_to_string(host.top.path().join("snapshots/acme").join(found).join("file")).unwrap(), "precious");
}

#[test]
fn snapshots_are_limited_in_number_and_go_with_a_purge() {
    let host = Host::new();
    host.made("small").unwrap();
    for number in 0..MOST {
        host.places.snapshot(&host.id, Some(&name(&format!("n{number}"))), false).unwrap();
    }
    assert!(matches!(host.places.snapshot(&host.id, None, false), Err(VolumeError::TooMany(_))));
    assert!(matches!(host.places.restore(&host.id, host.uid, &name("n0")), Err(VolumeError::TooMany(_))));
    host.places.purge(&host.id, host.uid).unwrap();
    assert!(!host.top.path().join("snapshots/acme").exists());
    host.places.purge(&host.id, host.uid).unwrap();
}

#[test]
fn a_template_has_extensions_and_settings_and_nothing_else() {
    let host = Host::new();
    host.made("small").unwrap();
    let class: InstanceId = "small".parse().unwrap();
    assert!(matches!(host.places.template_of(&host.id, &class), Err(VolumeError::Nothing)));
    assert!(!host.top.path().join("templates/small").exists());
    let data = host.home().join(".hoody-code");
    for (path, mode) in [
        ("extensions/a.b-1.0.0/out/main.js", 0o666),
        ("extensions/extensions.json", 0o600),
        ("user-data/User/settings.json", 0o4777),
        ("user-data/User/globalStorage/state.vscdb", 0o600),
        ("user-data/logs/x.log", 0o600),
        ("user-data/Machine/settings.json", 0o644),
    ] {
        fs::create_dir_all(data.join(path).parent().unwrap()).unwrap();
        fs::write(data.join(path), path).unwrap();
        fs::set_permissions(data.join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::write(host.home().join(".netrc"), "secret").unwrap();
    symlink("/etc", data.join("user-data/User/snippets")).unwrap();
    // The second time it replaces the first.
    for _ in 0..2 {
        host.places.template_of(&host.id, &class).unwrap();
    }
    let template = host.top.path().join("templates/small");
    let below = template.join(".hoody-code");
    assert_eq!(fs::read_to_string(below.join("extensions/a.b-1.0.0/out/main.js")).unwrap(), "extensions/a.b-1.0.0/out/main.js");
    let mode = fs::metadata(below.join("user-data/User/settings.json")).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o755);
    assert!(below.join("user-data/Machine/settings.json").exists());
    for gone in ["user-data/User/globalStorage", "user-data/User/snippets", "user-data/logs"] {
        assert!(below.join(gone).symlink_metadata().is_err(), "{gone}");
    }
    assert_eq!((fs::read_dir(&template).unwrap().count(), fs::read_dir(host.top.path().join("templates")).unwrap().count()), (1, 1));
    // And is one that homes can begin with.
    let other: InstanceId = "other".parse().unwrap();
    host.places.make(&other, host.uid, "small").unwrap();
    assert!(host.top.path().join("instances/other/.hoody-code/extensions/extensions.json").exists());
    // A link on the way to what is taken leads nowhere.
    fs::remove_dir_all(&data).unwrap();
    symlink(&below, &data).unwrap();
    assert!(host.places.template_of(&host.id, &class).is_err());
}
