use super::*;
use crate::config::load_for_broker;

fn hosting(text: &str) -> Result<Hosting, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    load_for_broker(&path).map(|config| config.hosting).map_err(|e| e.to_string())
}

#[test]
fn an_instance_is_its_class_with_its_own_on_top() {
    let hosting = hosting(
        r#"
        [class.exam]
        memory_max = "512M"
        cpu_quota = "150%"
        network = "none"
        tasks_max = 100
        [instance."acme-web-code-1"]
        class = "exam"
        tasks_max = 200
        mounts = ["/srv/course:/mnt/course", "/srv/in:/mnt/in:rw"]
        [instance.free]
        memory_max = "infinity"
        "#,
    )
    .unwrap();
    let class = hosting.class_of(&"acme-web-code-1".parse().unwrap());
    assert_eq!((class.name.as_str(), class.network), ("exam", NetworkMode::None));
    assert_eq!((class.limits.memory_max, class.limits.cpu_quota, class.limits.tasks_max), (Some(512 << 20), Some(1_500_000), Some(200)));
    assert!(!class.mounts[0].writable && class.mounts[1].writable);
    assert_eq!(hosting.class_of(&"free".parse().unwrap()).limits.memory_max, None);
    assert_eq!(hosting.class_of(&"other".parse().unwrap()).name, DEFAULT_CLASS);
}

#[test]
fn idle_times_are_a_classes_own_or_everybodys() {
    let hosting = hosting(
        r#"
        [class.exam]
        stop_after = "never"
        idle_tabs = "1h"
        freeze = true
        ksm = true
        [instance.alice]
        class = "exam"
        stop_after = "2h"
        freeze = false
        "#,
    )
    .unwrap();
    let class = |id: &str| hosting.class_of(&id.parse().unwrap());
    let hours = |hours: u64| Some(Some(Duration::from_secs(hours * 3600)));
    let exam = hosting.classes().find(|class| class.name == "exam").unwrap();
    assert_eq!((exam.stop_after, exam.idle_tabs, exam.freeze, exam.ksm), (Some(None), hours(1), true, true));
    let alice = class("alice");
    assert_eq!((alice.stop_after, alice.idle_tabs, alice.freeze, alice.ksm), (hours(2), hours(1), false, true));
    let other = class("other");
    assert_eq!((other.stop_after, other.idle_tabs, other.freeze, other.ksm), (None, None, false, false));
}

#[test]
fn mistakes_are_named() {
    for (text, word) in [
        ("[class.a]\nmemory_max = \"3 G\"", "memory_max"),
        ("[class.a]\nmemory_max = \"99999999999T\"", "memory_max"),
        ("[class.a]\nclass = \"b\"", "a class has no class"),
        ("[class.\"a b\"]", "'a b'"),
        ("[instance.a]\nclass = \"none\"", "there is no [class.none]"),
        ("[instance.A]", "'A'"),
        ("[class.a]\nnetwork = \"bridge\"", "'bridge'"),
        ("[class.a]\nmounts = [\"/data/instances/bob/x:/mnt/x\"]", "a tenant's own"),
        ("[class.a]\nmounts = [\"srv:/x\"]", "srv"),
        ("[class.a]\nmounts = [\"/srv/../etc:/x\"]", "/srv/../etc"),
        ("[class.a]\nmounts = [\"/srv:/x:rwx\"]", "third part"),
        ("[class.a]\nmounts = [\"/srv:/home/user/x\"]", "/mnt/NAME"),
        ("[class.a]\nmounts = [\"/srv:/mnt/x:rw\", \"/opt:/mnt/x/y\"]", "lies within"),
        ("[class.a]\ndevices = [\"/etc/shadow\"]", "/etc/shadow"),
        ("[class.a]\ntasks_max = 1", "tasks_max"),
        ("[class.a]\nroot_image = \"/a\"\nroot_directory = \"/b\"", "not both"),
        ("[class.a]\nmemory = \"1G\"", "memory"),
        ("[class.a]\nstop_after = \"soon\"", "stop_after"),
        ("[class.a]\nidle_tabs = \"10ms\"", "idle_tabs"),
        ("[class.a]\nfreeze = true\nnetwork = \"host\"", "[class.a]"),
        ("[class.a]\nfreeze = true\n[instance.b]\nclass = \"a\"\nnetwork = \"host\"", "[instance.b]"),
        ("[accounts]\nuids = \"0-10\"", "uids"),
        ("[accounts]\nuids = \"65000-66000\"", "uids"),
        ("[network]\nsubnet = \"10.0.0.1/8\"", "subnet"),
        ("[network]\nsubnet = \"10.0.0.0/30\"", "subnet"),
        ("[network]\nrefuse = [\"10.0.0.0\"]", "refuse"),
    ] {
        let error = hosting(text).expect_err(text);
        assert!(error.contains(word), "{text}: {error}");
    }
}

#[test]
fn addresses() {
    let network = hosting("[network]\nsubnet = \"10.9.8.0/29\"").unwrap().network;
    assert_eq!(network.gateway().to_string(), "10.9.8.1");
    assert_eq!(network.capacity(), 5);
    assert_eq!(network.address(0).unwrap().to_string(), "10.9.8.2");
    assert_eq!(network.address(4).unwrap().to_string(), "10.9.8.6");
    assert_eq!(network.address(5), None);
}
