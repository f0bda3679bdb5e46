//! Extensions by API: installed from a gallery, from a directory, as a file; listed and removed; refused when they should be.

use crate::support::{BROWSER, Daemon, FakeEngine, Response, SECRET, cookie_of, eventually, guarded, request, sign_in};

const LIST: &str = "/api/v1/code/extensions";

fn install(daemon: &Daemon, body: &str) -> Response {
    request(daemon.address, "POST", LIST, &[("Content-Type", "application/json")], body.as_bytes())
}

fn upload(daemon: &Daemon, body: &[u8]) -> Response {
    request(daemon.address, "POST", LIST, &[("Content-Type", "application/octet-stream")], body)
}

fn remove(daemon: &Daemon, id: &str) -> Response {
    daemon.send("DELETE", &format!("{LIST}/{id}"), &[])
}

/// `id@version` of what is installed.
fn installed(daemon: &Daemon) -> Vec<String> {
    let list = daemon.get(LIST).json();
    let name = |one: &serde_json::Value| format!("{}@{}", one["id"].as_str().unwrap(), one["version"].as_str().unwrap());
    list.as_array().unwrap_or_else(|| panic!("{list}")).iter().map(name).collect()
}

#[test]
fn installed_listed_and_removed() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    assert_eq!(installed(&daemon), [""; 0]);
    let answer = install(&daemon, r#"{"id":"pub.one@1.2.3"}"#);
    assert_eq!((answer.status, answer.json()), (200, serde_json::json!({"id": "pub.one", "version": "1.2.3"})));
    assert_eq!(upload(&daemon, b"PK\x03\x04pub.two").json()["id"], "pub.two");
    assert_eq!(installed(&daemon), ["pub.one@1.2.3", "pub.two@2.0.0"]);
    let one = &daemon.get(LIST).json()[0];
    assert_eq!((&one["enabled"], &one["built_in"]), (&true.into(), &false.into()));
    assert!(one["size"].as_u64().unwrap() > 0 && one["display_name"] == "one", "{one}");
    assert_eq!(remove(&daemon, "Pub.One").status, 200);
    assert_eq!(installed(&daemon), ["pub.two@2.0.0"]);
    assert_eq!((remove(&daemon, "pub.one").status, remove(&daemon, "pub.one").code().as_str()), (404, "extension_not_found"));
    // Another instance has nothing of it.
    assert_eq!(daemon.get(&format!("/i/alice{LIST}")).json(), serde_json::json!([]));
}

#[test]
fn many_at_once() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    std::thread::scope(|scope| {
        for n in 0..8 {
            let daemon = &daemon;
            scope.spawn(move || assert_eq!(install(daemon, &format!(r#"{{"id":"pub.n{n}"}}"#)).status, 200));
            scope.spawn(move || assert_eq!(upload(daemon, format!("PK\x03\x04pub.u{n}").as_bytes()).status, 200));
        }
    });
    assert_eq!(installed(&daemon).len(), 16, "{:?}", installed(&daemon));
}

#[test]
fn what_a_tenant_writes_into_a_manifest_stays_small() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    assert_eq!(install(&daemon, r#"{"id":"pub.one@1.0.0"}"#).status, 200);
    let dirs = std::fs::read_dir(daemon.instance_dir("default").join("extensions")).unwrap();
    let dir = dirs.map(|dir| dir.unwrap().path()).find(|path| path.is_dir()).unwrap();
    let name = "x".repeat(15 << 20);
    let manifest = serde_json::json!({"publisher": "pub", "name": "one", "version": "1.0.0", "displayName": name});
    std::fs::write(dir.join("package.json"), manifest.to_string()).unwrap();
    let before = daemon.peak_memory();
    // Who asks and goes away leaves its list behind.
    for _ in 0..16 {
        drop(daemon.begin(LIST));
    }
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let list = daemon.get(LIST);
                assert_eq!((list.status, list.json()[0]["display_name"].as_str().unwrap().len()), (200, 256));
            });
        }
    });
    let grown = daemon.peak_memory() - before;
    assert!(grown < 250 << 20, "{} MiB: all at once", grown >> 20);
}

#[test]
fn what_is_wrong_is_said() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "[extensions]\nmax_upload_mib = 1\n");
    let of = |answer: Response| (answer.status, answer.code());
    let bad = |body: &str| of(install(&daemon, body));
    for body in
        ["", "{}", "[]", r#"{"id":5}"#, r#"{"id":"one"}"#, r#"{"id":"pub.one; rm"}"#, r#"{"id":"--x.y"}"#, r#"{"id":"pub.one","x":1}"#]
    {
        assert_eq!(bad(body), (400, "invalid_extension".into()), "{body}");
    }
    assert_eq!(bad(r#"{"id":"no.such"}"#), (404, "extension_not_found".into()));
    assert_eq!(bad(r#"{"id":"gallery.down"}"#), (502, "extension_failed".into()));
    assert_eq!(of(upload(&daemon, b"MZ this is a program")), (400, "invalid_extension".into()));
    assert_eq!(of(upload(&daemon, &[0; (1 << 20) + 1])), (413, "too_large".into()));
    let form = [("Content-Type", "multipart/form-data; boundary=x")];
    assert_eq!(of(request(daemon.address, "POST", LIST, &form, b"x")), (400, "bad_request".into()));
    let evil = [("Content-Type", "text/plain"), ("Origin", "http://evil.example")];
    assert_eq!(of(request(daemon.address, "POST", LIST, &evil, b"PK\x03\x04pub.evil")), (403, "origin_refused".into()));
    assert_eq!(of(daemon.send("DELETE", &format!("{LIST}/pub.x"), &[("Origin", "http://evil.example")])), (403, "origin_refused".into()));
    assert_eq!(daemon.send("PUT", LIST, &[]).header("allow"), Some("GET, HEAD, POST"));
    for name in ["", "one", "..", "pub.one%00"] {
        assert_eq!(of(remove(&daemon, name)), (400, "invalid_extension".into()), "{name}");
    }
    assert_eq!(installed(&daemon), [""; 0]);
}

#[test]
fn a_body_without_a_length_is_limited_too() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "[extensions]\nmax_upload_mib = 1\n");
    let send = |pieces: &[&[u8]]| {
        let mut bytes =
            format!("POST {LIST} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n", daemon.address)
                .into_bytes();
        for piece in pieces {
            bytes.extend(format!("{:x}\r\n", piece.len()).as_bytes());
            bytes.extend(*piece);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
        crate::support::read_response(&mut crate::support::exchange(daemon.address, &bytes), false).unwrap()
    };
    assert_eq!(send(&[b"PK", b"\x03\x04pub.", b"three"]).json()["id"], "pub.three");
    assert_eq!(send(&[b"PK\x03\x04", &[0; 600_000], &[0; 600_000]]).status, 413);
    let left = std::fs::read_dir(daemon.instance_dir("default").join("user-data/hoody-vsix")).unwrap();
    let vsix = |entry: &std::fs::DirEntry| entry.path().extension().is_some_and(|extension| extension == "vsix");
    drop(left);
    eventually("nothing of it is left", || {
        let dir = std::fs::read_dir(daemon.instance_dir("default").join("user-data/hoody-vsix")).unwrap();
        (dir.flatten().filter(vsix).count() == 0).then_some(())
    });
}

#[test]
fn files_that_do_not_come_to_an_end_are_few() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let half = |id: &str| {
        let path = if id == "default" { LIST.to_owned() } else { format!("/i/{id}{LIST}") };
        let head = format!("POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 1000\r\n\r\nPK\x03\x04pub", daemon.address);
        crate::support::exchange(daemon.address, head.as_bytes())
    };
    let under_way = |id: &str| {
        let dir = std::fs::read_dir(daemon.instance_dir(id).join("user-data/hoody-vsix"));
        dir.into_iter().flatten().flatten().filter(|entry| entry.path().extension().is_some_and(|kind| kind == "vsix")).count()
    };
    let mut all: Vec<_> = (0..8).map(|_| half("default")).collect();
    eventually("four are under way", || (under_way("default") >= 4).then_some(()));
    let _other = half("alice");
    eventually("nobody else waits", || (under_way("alice") == 1).then_some(()));
    assert_eq!(under_way("default"), 4);
    all.clear();
    eventually("all are gone", || (under_way("default") == 0).then_some(()));
    assert_eq!(upload(&daemon, b"PK\x03\x04pub.two").json()["id"], "pub.two");
}

#[test]
fn progress_as_events() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let events = |body: &str| {
        let headers = [("Content-Type", "application/json"), ("Accept", "text/event-stream")];
        request(daemon.address, "POST", LIST, &headers, body.as_bytes()).text()
    };
    let good = events(r#"{"id":"pub.one"}"#);
    assert!(good.ends_with("data: {\"id\":\"pub.one\",\"state\":\"done\",\"version\":\"2.0.0\"}\n\n"), "{good}");
    let bad = events(r#"{"id":"no.such"}"#);
    assert!(bad.contains("\"code\":\"extension_not_found\"") && bad.contains("\"state\":\"failed\""), "{bad}");
    let idle = daemon.get(&format!("{LIST}/events?id=pub.other")).text();
    assert!(idle.contains("\"state\":\"idle\""), "{idle}");
    assert_eq!(daemon.get(&format!("{LIST}/events?id=x")).code(), "invalid_extension");
}

#[test]
fn a_directory_and_a_set() {
    let engine = FakeEngine::new();
    let shelf = tempfile::tempdir().unwrap();
    std::fs::write(shelf.path().join("pub.one-1.0.0.vsix"), b"PK\x03\x04pub.one@1.0.0").unwrap();
    std::fs::write(shelf.path().join("pub.set-1.0.0.vsix"), b"PK\x03\x04pub.set@1.0.0").unwrap();
    let config = format!("[extensions]\ngallery = '{}'\npreinstall = ['pub.set@1.0.0']\n", shelf.path().display());
    let daemon = Daemon::start(engine.path(), &config);
    assert_eq!(daemon.get("/?ew=1").status, 200);
    eventually("the set", || (installed(&daemon) == ["pub.set@1.0.0"]).then_some(()));
    assert_eq!(install(&daemon, r#"{"id":"pub.one"}"#).json()["version"], "1.0.0");
    assert_eq!(install(&daemon, r#"{"id":"pub.two"}"#).code(), "extension_not_found");
    // Who has removed one of the set does not get it again with the next start.
    assert_eq!(remove(&daemon, "pub.set").status, 200);
    let daemon = Daemon::start_in(daemon.stop(), engine.path(), &config, |_| {});
    assert_eq!(daemon.get("/?ew=1").status, 200);
    daemon.wait_log("extensions: preinstall done");
    assert_eq!(installed(&daemon), ["pub.one@1.0.0"]);
}

#[test]
fn a_class_has_a_set_of_its_own_besides() {
    let engine = FakeEngine::new();
    let shelf = tempfile::tempdir().unwrap();
    for id in ["pub.one", "pub.set", "pub.own"] {
        std::fs::write(shelf.path().join(format!("{id}-1.0.0.vsix")), format!("PK\x03\x04{id}@1.0.0")).unwrap();
    }
    let config = format!(
        "[extensions]\ngallery = '{}'\npreinstall = ['pub.set@1.0.0']\n[class.exam]\npreinstall = ['pub.one', 'pub.set@1.0.0']\n\
         [instance.ada]\nclass = 'exam'\n[instance.bob]\nclass = 'exam'\npreinstall = ['pub.own']\n",
        shelf.path().display()
    );
    let daemon = Daemon::start(engine.path(), &config);
    for (id, expected) in
        [("ada", vec!["pub.one@1.0.0", "pub.set@1.0.0"]), ("bob", vec!["pub.own@1.0.0", "pub.set@1.0.0"]), ("eve", vec!["pub.set@1.0.0"])]
    {
        assert_eq!(daemon.get(&format!("/i/{id}/?ew=1")).status, 200);
        eventually(&format!("the set of {id}"), || {
            let list = daemon.get(&format!("/i/{id}/api/v1/code/extensions")).json();
            let all = list.as_array().unwrap().iter().filter(|one| one["built_in"] == false);
            let mut all: Vec<_> = all.map(|one| format!("{}@{}", one["id"].as_str().unwrap(), one["version"].as_str().unwrap())).collect();
            all.sort();
            (all == expected).then_some(())
        });
    }
}

#[test]
fn the_page_of_one_extension() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let page = |query: &str, accept: &str| daemon.send("GET", &format!("/?ew=1&extension={query}"), &[("Accept", accept)]);
    for query in ["one", "", "a.b@1", "..%2Fx.y"] {
        let answer = page(query, "*/*");
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_extension"), "{query}");
    }
    let answer = page("no.such", "*/*");
    assert_eq!((answer.status, answer.code().as_str()), (404, "extension_not_found"));
    // A person sees what happens, and then the page that says why not.
    let waiting = page("pub.one", "text/html");
    assert!(waiting.status == 200 && waiting.text().contains("Installing pub.one"), "{}", waiting.text());
    eventually("it is installed", || (installed(&daemon) == ["pub.one@2.0.0"]).then_some(()));
    let shown = page("Pub.One", "text/html").text();
    let attribute = shown.split("data-settings=\"").nth(1).unwrap().split('"').next().unwrap().replace("&quot;", "\"");
    let configuration: serde_json::Value = serde_json::from_str(&attribute).unwrap();
    assert_eq!(configuration["enabledExtensions"], serde_json::json!(["pub.one", "hoody.extension-view"]));
    assert_eq!(configuration["configurationDefaults"]["workbench.activityBar.location"], "hidden");
    let plain = daemon.get("/?ew=1").text();
    assert!(!plain.contains("enabledExtensions") && !plain.contains("extension-view"), "the full editor is as ever");
    // Another site may link to what is there; what is not there it cannot bring in.
    let linked = |path: &str| {
        let headers =
            [("Accept", "text/html"), ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")];
        daemon.send("GET", path, &headers).text()
    };
    assert!(linked("/?ew=1&extension=pub.one").contains("enabledExtensions"));
    assert!(linked("/?ew=1&extension=pub.evil").contains("Install this extension?"));
    assert!(linked("/api/v1/code?ew=1&extension=pub.evil").contains("Install this extension?"));
    assert!(linked("/i/other/?ew=1&extension=pub.evil").contains("Install this extension?"));
    assert_eq!(daemon.status("other")["state"], "stopped");
    assert_eq!(installed(&daemon), ["pub.one@2.0.0"]);
    let embedded = daemon.get("/api/v1/code?ew=1&extension=pub.one").text();
    assert!(embedded.contains("extension=pub.one"), "{embedded}");
    eventually("what failed is told", || {
        let answer = page("no.other", "text/html");
        (answer.status == 404).then(|| assert!(answer.text().contains("This extension is not there")))
    });
}

#[test]
fn a_login_on_the_way_makes_nobody_elses_link_ones_own() {
    let engine = FakeEngine::new();
    let daemon = guarded(&engine, "");
    let linked = [BROWSER, ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")];
    let own = [BROWSER, ("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")];
    let answer = |page: &str, headers: &[(&str, &str)], password: &str| {
        let body = format!("{}&to={page}&password={password}", if headers[1].1 == "cross-site" { "elsewhere=1" } else { "" });
        let headers = [("Content-Type", "application/x-www-form-urlencoded"), own[0], own[1], own[2], own[3]];
        request(daemon.address, "POST", "/api/v1/code/login", &headers, body.as_bytes())
    };
    let secret = SECRET.replace(' ', "+").replace('&', "%26");
    let mark = "name=\"elsewhere\" value=\"1\"";
    let login = daemon.send("GET", "/login?to=%3Few%3D1%26extension%3Dpub.evil", &linked);
    assert!(login.text().contains(mark), "the page knows who has sent the browser");
    assert!(!daemon.send("GET", "/login?to=%3Few%3D1%26extension%3Dpub.evil", &own).text().contains(mark));
    let page = "%3Few%3D1%26extension%3Dpub.evil";
    assert!(answer(page, &linked, "wrong").text().contains(mark), "also after a wrong password");

    for page in [page, "%3Few%3D1%26extension%3Dpub.evil%23x", "./%3Fextension%3Dpub.evil", "api/v1/code%3Fextension%3Dpub.evil"] {
        let asked = answer(page, &linked, &secret);
        assert!(asked.status == 200 && asked.text().contains("Install this extension?"), "{page}: {} {}", asked.status, asked.text());
        cookie_of(&asked, "session");
    }
    assert!(answer(page, &linked, &secret).text().contains("href=\"../../../?ew=1&#38;extension=pub.evil\""));
    let round = answer("login%3Fto%3D%253Fextension%253Dpub.evil", &linked, &secret);
    assert_eq!((round.status, round.header("location")), (303, Some("../../../")), "not by a second login either");
    assert!(daemon.processes("default").is_empty(), "nothing was started for it");
    let plain = answer("%3Few%3D1", &linked, &secret);
    assert_eq!((plain.status, plain.header("location")), (303, Some("../../../?ew=1")));

    // Who has typed the address, or has a bookmark, is not asked; nor is anybody for what is there already.
    let typed = answer(page, &own, &secret);
    assert_eq!((typed.status, typed.header("location")), (303, Some("../../../?ew=1&extension=pub.evil")));
    let cookie = sign_in(&daemon, "/", SECRET);
    let open = || daemon.send("GET", "/?ew=1&extension=pub.evil", &[("Cookie", &cookie), ("Accept", "*/*")]).status;
    eventually("it is installed", || (open() == 200).then_some(()));
    assert_eq!(answer(page, &linked, &secret).status, 303);
}
