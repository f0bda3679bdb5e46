use std::collections::HashMap;

use super::*;
use crate::config::load_for_broker;

fn properties(config: &str) -> HashMap<&'static str, Variant<'static>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    std::fs::write(&path, config).unwrap();
    let id: InstanceId = "acme-web-code-1".parse().unwrap();
    let class = load_for_broker(&path).unwrap().hosting.class_of(&id);
    let spec = Spec {
        id: &id,
        uid: 2_000_300_007,
        class: &class,
        home: Path::new("/data/instances/acme-web-code-1"),
        engine: ("code-server-1", Path::new("/usr/lib/hoody-code/engines/code-server-1")),
        argv: vec!["/usr/lib/hoody-code/engines/code-server-1/node".into(), "server-main.js".into()],
        env: vec![("HOME".into(), "/home/user".into())],
        program: Path::new("/usr/bin/hoody-code-broker"),
        files: vec![("/run/hoody-code-broker/etc/acme-web-code-1/passwd".into(), "/etc/passwd".into())],
        cgroup: Path::new("/sys/fs/cgroup/x"),
        cache: Some((Path::new("/usr/lib/hoody-code/engines/code-server-1/compile-cache"), "v24-0".into(), "v24-2000300007".into())),
        socket: std::fs::File::open("/dev/null").unwrap().into(),
    };
    of_instance(spec).into_iter().collect()
}

fn binds(value: &Variant<'_>) -> Vec<(String, String)> {
    let Variant::Array(array) = value else { panic!("{value:?}") };
    let row = |value: &Variant<'_>| match value {
        Variant::Structure(fields) => {
            let text = |n: usize| <&str>::try_from(&fields.fields()[n]).unwrap().to_owned();
            (text(0), text(1))
        }
        other => panic!("{other:?}"),
    };
    array.inner().iter().map(row).collect()
}

/// The signatures that systemd's vtables want (src/core/dbus-*.c); a wrong one fails the whole call.
#[test]
fn signatures_are_systemds() {
    let config = "[class.default]\ndevices = [\"/dev/fuse\"]\nrun_time = \"2h\"\nroot_directory = \"/srv/base\"\n";
    let expected = [
        ("Description", "s"),
        ("Slice", "s"),
        ("User", "s"),
        ("ExecStart", "a(sasb)"),
        ("Environment", "as"),
        ("StandardInputFileDescriptor", "h"),
        ("BindPaths", "a(ssbt)"),
        ("BindReadOnlyPaths", "a(ssbt)"),
        ("TemporaryFileSystem", "a(ss)"),
        ("LogExtraFields", "aay"),
        ("LimitNOFILE", "t"),
        ("PrivateNetwork", "b"),
        ("DeviceAllow", "a(ss)"),
        ("RootDirectory", "s"),
        ("RuntimeMaxUSec", "t"),
        ("MemoryMax", "t"),
        ("CPUQuotaPerSecUSec", "t"),
    ];
    let properties = properties(config);
    for (name, signature) in expected {
        assert_eq!(properties[name].value_signature().to_string(), signature, "{name}");
    }
}

/// What an upgrade puts in the place of the engine that runs has to be seen there: not the directory is bound, but the one around it.
#[test]
fn another_base_system_gets_the_store_of_engines() {
    let properties = properties("[class.default]\nroot_directory = \"/srv/base\"\n");
    let readable = binds(&properties["BindReadOnlyPaths"]);
    assert!(readable.contains(&("/usr/lib/hoody-code/engines".to_owned(), "/usr/lib/hoody-code/engines".to_owned())), "{readable:?}");
    assert!(!readable.iter().any(|(from, _)| from == "/usr/lib/hoody-code/engines/code-server-1"));
}

#[test]
fn the_home_is_the_instances_own() {
    let properties = properties("");
    assert_eq!(binds(&properties["BindPaths"]), [("/data/instances/acme-web-code-1".to_owned(), "/home/user".to_owned())]);
    let readable = binds(&properties["BindReadOnlyPaths"]);
    assert!(readable.iter().any(|(_, to)| to == "/etc/passwd"));
    assert!(readable.iter().any(|(from, to)| from.ends_with("compile-cache/v24-0") && to.ends_with("compile-cache/v24-2000300007")));
    assert_eq!(properties["User"], Variant::from("2000300007"));
}

#[test]
fn scratch_space_is_of_its_own_and_full_before_its_memory_is() {
    for (config, size) in [("memory_max = \"1G\"", "size=536870912,"), ("memory_max = \"infinity\"", "size=50%,")] {
        let properties = properties(&format!("[class.default]\n{config}\n"));
        let mounts = binds(&properties["TemporaryFileSystem"]);
        for dir in SCRATCH {
            assert!(mounts.iter().any(|(path, options)| path == dir && options.contains(size)), "{dir}: {mounts:?}");
        }
    }
}

#[test]
fn who_is_unused_has_a_tenth_of_its_weight() {
    let weights = |cpu: u64, lowered| {
        let limits = ClassLimits { cpu_weight: Some(cpu), io_weight: Some(500), ..ClassLimits::default() };
        of_weights(&limits, lowered).into_iter().map(|(_, value)| u64::try_from(value).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((weights(100, false), weights(100, true)), (vec![100, 500], vec![10, 50]));
    assert_eq!(weights(3, true)[0], 1, "never none");
}

#[test]
fn its_memory_is_merged_only_where_the_class_says_so() {
    let agent = |config| {
        let properties = properties(config);
        let Variant::Array(commands) = &properties["ExecStart"] else { panic!("{:?}", properties["ExecStart"]) };
        let Variant::Structure(command) = &commands.inner()[0] else { panic!("{commands:?}") };
        let Variant::Array(argv) = &command.fields()[1] else { panic!("{command:?}") };
        argv.inner().iter().take(3).map(|word| <&str>::try_from(word).unwrap().to_owned()).collect::<Vec<_>>()[1..].join(" ")
    };
    assert!(agent("").starts_with("agent --"));
    assert_eq!(agent("").matches("ksm").count(), 0);
    assert_eq!(agent("[class.default]\nksm = true\n"), "agent --ksm");
}

#[test]
fn classes_decide() {
    let host = properties(
        "[class.default]\nnetwork = \"host\"\nmemory_max = \"1G\"\ncpu_quota = \"50%\"\nmounts = [\"/srv/a:/mnt/a\", \"/srv/b:/mnt/b:rw\"]\n",
    );
    assert_eq!(host["PrivateNetwork"], Variant::from(false));
    assert_eq!(host["MemoryMax"], Variant::from(1u64 << 30));
    assert_eq!(host["CPUQuotaPerSecUSec"], Variant::from(500_000u64));
    assert!(binds(&host["BindPaths"]).contains(&("/srv/b".to_owned(), "/mnt/b".to_owned())));
    assert!(binds(&host["BindReadOnlyPaths"]).contains(&("/srv/a".to_owned(), "/mnt/a".to_owned())));
    let ordinary = properties("");
    assert_eq!(ordinary["PrivateNetwork"], Variant::from(true));
    assert_eq!(ordinary["PrivateDevices"], Variant::from(true));
    assert_eq!(ordinary["MemorySwapMax"], Variant::from(u64::MAX));
    assert!(!ordinary.contains_key("RuntimeMaxUSec"));
}
