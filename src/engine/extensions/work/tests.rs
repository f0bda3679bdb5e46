use super::*;

/// A place whose node is the shell, and whose engine is `script`.
fn place(dir: &Path, script: &str) -> Place {
    let main = dir.join("engine/out/server-main.js");
    fs::create_dir_all(main.parent().unwrap()).unwrap();
    fs::write(&main, script).unwrap();
    let argv: Vec<OsString> = [
        OsStr::new("/bin/sh"),
        OsStr::new("--flag"),
        main.as_os_str(),
        OsStr::new("--extensions-dir"),
        dir.join("e").as_os_str(),
        OsStr::new("--user-data-dir"),
        dir.join("u").as_os_str(),
        OsStr::new("--server-data-dir"),
        dir.join("u").as_os_str(),
    ]
    .map(OsString::from)
    .to_vec();
    fs::create_dir_all(dir.join("e")).unwrap();
    Place::of(&argv, None).unwrap()
}

/// Does `job` and gives what was told; `send` goes first.
fn tell(place: &Place, job: ExtensionJob, send: &[u8]) -> Vec<ExtensionNews> {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let place = place.clone();
    let worker = std::thread::spawn(move || work(&place, job, theirs));
    ours.write_all(send).unwrap();
    ours.shutdown(std::net::Shutdown::Write).unwrap();
    let mut text = String::new();
    ours.read_to_string(&mut text).unwrap();
    worker.join().unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What an engine does that installs `pub.one` at 1.0.0.
const INSTALLS: &str = r#"d=$(dirname "$0")/../..; echo "Installing extensions..."; mkdir -p $d/e/pub.one-1.0.0
echo '{"publisher":"pub","name":"one","version":"1.0.0"}' >$d/e/pub.one-1.0.0/package.json
echo "$2" >$d/argument
cp "$2" $d/content 2>/dev/null
echo '[{"identifier":{"id":"pub.one"},"version":"1.0.0","relativeLocation":"pub.one-1.0.0","metadata":{"source":"vsix","installedTimestamp":7}}]' >$d/e/extensions.json"#;

#[test]
fn an_install_is_told_and_listed() {
    let dir = tempfile::tempdir().unwrap();
    let place = place(dir.path(), INSTALLS);
    let spec: ExtensionSpec = "pub.one@1.0.0".parse().unwrap();
    let news = tell(&place, ExtensionJob::Install { spec, from: None }, b"");
    let done = ExtensionNews::Done { id: Some("pub.one".into()), version: Some("1.0.0".into()) };
    assert_eq!(news, [ExtensionNews::Line { text: "Installing extensions...".into() }, done]);
    assert_eq!(fs::read_to_string(dir.path().join("argument")).unwrap().trim(), "pub.one@1.0.0");
    match tell(&place, ExtensionJob::List { sizes: true }, b"").as_slice() {
        [ExtensionNews::Listed { extensions }] => assert_eq!(extensions[0].version, "1.0.0"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_upload_is_whole_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let place = place(dir.path(), INSTALLS);
    for cut in [&b""[..], b"\0\0\0\x05abc", b"\0\0\0\x03abc", b"\xff\xff\xff\xffabc"] {
        match tell(&place, ExtensionJob::InstallFile, cut).as_slice() {
            [ExtensionNews::Failed { reason: FailureReason::Unusable, message }] => assert!(message.contains("cut off"), "{message}"),
            other => panic!("{other:?}"),
        }
    }
    assert!(!dir.path().join("argument").exists());
    let news = tell(&place, ExtensionJob::InstallFile, b"\0\0\0\x03abc\0\0\0\x02de\0\0\0\0");
    assert_eq!(news.last(), Some(&ExtensionNews::Done { id: Some("pub.one".into()), version: Some("1.0.0".into()) }));
    assert_eq!(fs::read(dir.path().join("content")).unwrap(), b"abcde");
    let left: Vec<_> = fs::read_dir(place.workshop()).unwrap().flatten().map(|e| e.file_name()).filter(|name| name != ".lock").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn failures_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let spec: ExtensionSpec = "no.such".parse().unwrap();
    let failure = |script: &str| match tell(&place(dir.path(), script), ExtensionJob::Install { spec: spec.clone(), from: None }, b"").pop()
    {
        Some(ExtensionNews::Failed { reason, message }) => (reason, message),
        other => panic!("{other:?}"),
    };
    let not_found = "echo \"Extension 'no.such' not found.\" >&2; echo 'Make sure you use the full extension ID' >&2; exit 1";
    assert_eq!(failure(not_found), (FailureReason::NotFound, "Extension 'no.such' not found".into()));
    assert_eq!(failure("echo connect ECONNREFUSED >&2; exit 1"), (FailureReason::Other, "connect ECONNREFUSED".into()));
    assert_eq!(failure("exit 0").0, FailureReason::Unusable, "an engine that says yes and has done nothing");
    let remove = |id: &str| tell(&place(dir.path(), ""), ExtensionJob::Remove { id: id.parse().unwrap() }, b"").pop();
    assert!(matches!(remove("no.such"), Some(ExtensionNews::Failed { reason: FailureReason::NotFound, .. })));
    fs::create_dir_all(dir.path().join("engine/extensions/git")).unwrap();
    fs::write(dir.path().join("engine/extensions/git/package.json"), r#"{"publisher":"vscode","name":"git"}"#).unwrap();
    assert!(matches!(remove("vscode.git"), Some(ExtensionNews::Failed { reason: FailureReason::BuiltIn, .. })));
}

#[test]
fn a_directory_is_a_gallery() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["Pub.one-1.9.0.vsix", "pub.one-1.10.0.vsix", "pub.one-two-3.0.0.vsix", "pub.one.vsix", "pub.one-9.0.0.zip"] {
        fs::write(dir.path().join(name), "x").unwrap();
    }
    let find = |spec: &str| find_in(dir.path(), &spec.parse().unwrap()).unwrap().map(|path| path.file_name().unwrap().to_owned());
    assert_eq!(find("pub.one").unwrap(), "pub.one-1.10.0.vsix");
    assert_eq!(find("PUB.ONE@1.9.0").unwrap(), "Pub.one-1.9.0.vsix");
    assert_eq!(find("pub.one@2.0.0"), None);
    assert_eq!(find("pub.two"), None);
}

#[test]
fn a_killed_editors_file_is_swept_up_when_it_is_old() {
    let dir = tempfile::tempdir().unwrap();
    let place = place(dir.path(), INSTALLS);
    fs::create_dir_all(place.workshop()).unwrap();
    let (old, fresh) = (place.workshop().join("upload-old.vsix"), place.workshop().join("upload-new.vsix"));
    for path in [&old, &fresh] {
        fs::write(path, "x").unwrap();
    }
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(24 * 3600);
    File::options().write(true).open(&old).unwrap().set_modified(long_ago).unwrap();
    place.sweep();
    assert_eq!((old.exists(), fresh.exists()), (false, true));
}

#[test]
fn a_set_is_installed_once() {
    let dir = tempfile::tempdir().unwrap();
    let place = place(dir.path(), &format!("[ $2 = no.such ] && {{ echo \"Extension 'no.such' not found.\"; exit 1; }}\n{INSTALLS}"));
    let set = |specs: &[&str]| {
        let specs = specs.iter().map(|text| text.parse().unwrap()).collect();
        tell(&place, ExtensionJob::Preinstall { specs, from: None }, b"").pop().unwrap()
    };
    let done = ExtensionNews::Done { id: None, version: None };
    let argument = dir.path().join("argument");
    assert!(matches!(set(&["no.such", "pub.one"]), ExtensionNews::Failed { reason: FailureReason::NotFound, .. }));
    assert!(fs::remove_file(&argument).is_ok(), "the second all the same");
    assert_eq!(set(&["pub.one"]), done);
    assert!(!argument.exists(), "not again");
    assert_eq!(set(&["pub.one@1.0.0"]), done);
    assert!(argument.exists(), "another wish");
}
