//! The contract's answers, over the real engine.

use std::os::unix::fs::PermissionsExt;

use crate::support::{Daemon, FakeEngine, eventually, exchange, read_response, real_engine, request};

#[test]
fn the_page_is_vs_code_with_our_configuration() {
    let config = "[page.settings]\n'editor.fontSize' = 19\n[page.options]\nadditionalTrustedDomains = ['https://a.example']\n";
    let daemon = Daemon::start(real_engine().dir(), config);
    let project = tempfile::tempdir().unwrap();
    let page = daemon.get(&format!("/?folder={}", project.path().display()));
    assert_eq!(page.status, 200, "{}", page.text());
    let settings = page.text().split("data-settings=\"").nth(1).unwrap().split('"').next().unwrap().replace("&quot;", "\"");
    let settings: serde_json::Value = serde_json::from_str(&settings).unwrap();
    assert_eq!(settings["configurationDefaults"]["editor.fontSize"], 19);
    assert_eq!(settings["configurationDefaults"]["chat.disableAIFeatures"], true);
    assert_eq!(settings["additionalTrustedDomains"][0], "https://a.example");
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert!(page.all("content-security-policy").contains(&"frame-ancestors 'self'"));
    assert!(page.text().contains("/static/out/vs/code/browser/workbench/workbench.js"));
}

#[test]
fn errors_are_named_and_leak_nothing() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let file = tempfile::NamedTempFile::new().unwrap();
    let file = file.path().display();
    for (path, status, code) in [
        ("/?folder=relative".to_owned(), 400, "invalid_folder"),
        ("/?folder=/a/../b".to_owned(), 400, "invalid_folder"),
        ("/?folder=/a%00b".to_owned(), 400, "invalid_folder"),
        ("/?folder=/no/such/folder".to_owned(), 404, "folder_not_found"),
        (format!("/?folder={file}"), 404, "folder_not_found"),
        ("/?workspace=/tmp".to_owned(), 400, "invalid_workspace"),
        ("/?workspace=/no/such.code-workspace".to_owned(), 404, "workspace_not_found"),
        ("/?locale=fr_FR".to_owned(), 400, "invalid_locale"),
        ("/api/v1/code?folder=relative".to_owned(), 400, "invalid_folder"),
        ("/api/v1/code?folder=/no/such/folder".to_owned(), 404, "folder_not_found"),
        ("/i/Not-An-Id/".to_owned(), 400, "invalid_instance"),
        ("/no/such/page".to_owned(), 404, "not_found"),
        ("/version".to_owned(), 404, "not_found"),
    ] {
        let json = daemon.get(&path);
        assert_eq!((json.status, json.code().as_str()), (status, code), "{path}");
        assert_eq!(json.header("content-type"), Some("application/json"));
        let page = daemon.send("GET", &path, &[("Accept", "text/html,*/*;q=0.8")]);
        assert_eq!(page.status, status, "{path}");
        assert!(page.text().contains("<h1>"), "{path}");
        let data = daemon.data();
        for answer in [json.text(), page.text()] {
            assert!(!answer.contains(&*data.to_string_lossy()) && !answer.contains(&*engine.path().to_string_lossy()), "{answer}");
        }
    }
    assert_eq!(daemon.get("/api/v1/code/health").json()["instances"]["running"], 0, "no bad request starts anything");
}

#[test]
fn wrong_methods_are_told_what_is_allowed() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    for (method, path, allow) in [
        ("POST", "/", "GET, HEAD"),
        ("GET", "/mint-key", "POST"),
        ("DELETE", "/api/v1/code/health", "GET, HEAD"),
        ("PUT", "/stable-c0ffee/x", "GET, HEAD"),
    ] {
        let answer = daemon.send(method, path, &[]);
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allow)), "{method} {path}");
    }
}

#[test]
fn the_mint_key_is_32_stable_bytes_per_instance() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let key = |path: &str| daemon.send("POST", path, &[]);
    let first = key("/i/alice/mint-key");
    assert_eq!((first.status, first.body.len()), (200, 32));
    assert_eq!(first.header("content-type"), Some("application/octet-stream"));
    assert_eq!(key("/i/alice/api/v1/code/mint-key").body, first.body);
    assert_ne!(key("/i/bob/mint-key").body, first.body);
    assert_ne!(key("/mint-key").body, first.body);
    let file = daemon.data().join("state/alice/mint-key");
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    let dir = daemon.stop();
    let daemon = Daemon::start_in(dir, engine.path(), "", |_| {});
    assert_eq!(daemon.send("POST", "/i/alice/mint-key", &[]).body, first.body, "the same after a restart");
}

#[test]
fn health_has_all_nine_fields_and_can_say_no() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "[instances]\nmax_running = 7\n");
    let answer = daemon.send("GET", "/api/v1/code/health", &[("User-Agent", "HoodyMonitor/1.0")]);
    assert_eq!(answer.status, 200);
    let health = answer.json();
    assert_eq!((health["status"].as_str(), health["service"].as_str()), (Some("ok"), Some("hoody-code")));
    for moment in ["started", "built"] {
        let text = health[moment].as_str().unwrap();
        assert!(text.len() == 24 && text.ends_with('Z') && text.as_bytes()[19] == b'.', "{text}");
    }
    assert_eq!(health["pid"], daemon.pid());
    assert_eq!(health["ip"], "127.0.0.1");
    assert!(health["memory"]["rss"].as_u64().unwrap() > 1_000_000 && health["memory"]["heap"].as_u64().unwrap() > 10_000);
    assert!(health["fds"].as_u64().unwrap() > 3);
    assert_eq!(health["userAgent"], "HoodyMonitor/1.0");
    assert_eq!(health["instances"]["limit"], 7);
    assert!(health["version"].is_string());
    let answer = daemon.send("GET", "/api/v1/code/health", &[("User-Agent", "Überwacher")]);
    assert_eq!(answer.json()["userAgent"], "Überwacher");
    assert_eq!((daemon.get("/i/alice?x=1").status, daemon.send("POST", "/i/alice?x=1", &[]).status), (302, 307));
    // A monitor asks by whatever address it has.
    assert_eq!(daemon.send("GET", "/api/v1/code/health", &[("Host", "monitored.example.com")]).status, 200);
    // So do load balancers that are older than the header.
    let mut old = exchange(daemon.address, b"GET /api/v1/code/health HTTP/1.0\r\n\r\n");
    assert_eq!(read_response(&mut old, false).unwrap().status, 200);
    std::fs::remove_file(engine.path().join("node")).unwrap();
    // What was found out a moment ago counts for everybody who asks.
    let answer = eventually("health is degraded", || Some(daemon.get("/api/v1/code/health")).filter(|answer| answer.status != 200));
    assert_eq!((answer.status, answer.json()["status"].as_str()), (503, Some("degraded")));
    assert_eq!(answer.json()["reasons"][0], "engine_missing");
}

#[test]
fn the_last_opened_comes_back() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let project = tempfile::Builder::new().prefix("a b+c").tempdir().unwrap();
    let folder = project.path().to_str().unwrap();
    let encoded = folder.replace(' ', "%20").replace('+', "%2B");
    assert_eq!(daemon.get("/").status, 200, "nothing was opened yet");
    assert_eq!(daemon.get(&format!("/?folder={encoded}")).status, 200);
    let back = daemon.get("/?x=1");
    assert_eq!((back.status, back.header("location")), (302, Some(format!("./?folder={encoded}&x=1").as_str())));
    assert_eq!(daemon.get("/i/other/").status, 200, "another instance has its own memory");

    let workspace = project.path().join("w.code-workspace");
    std::fs::write(&workspace, "{\"folders\":[]}").unwrap();
    let both = daemon.get(&format!("/?folder={encoded}&workspace={encoded}/w.code-workspace"));
    assert_eq!(both.header("location"), Some(format!("./?workspace={encoded}/w.code-workspace").as_str()), "the workspace wins");
    assert_eq!(daemon.get(&format!("/?workspace={encoded}/w.code-workspace")).status, 200);
    assert_eq!(daemon.get("/").header("location"), Some(format!("./?workspace={encoded}/w.code-workspace").as_str()));

    assert_eq!(daemon.get("/?ew=true").status, 200);
    assert_eq!(daemon.get("/").status, 200, "an empty window forgets");

    assert_eq!(daemon.get(&format!("/?folder={encoded}")).status, 200);
    drop(project);
    assert_eq!(daemon.get("/").status, 200, "what is gone is not an error page");
}

#[test]
fn the_locale_reaches_the_engine_and_the_browser() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let page = daemon.send("GET", "/?ew=1&locale=zh-CN", &[("Cookie", "a=1; vscode.nls.locale=de")]);
    assert_eq!(page.header("set-cookie"), Some("vscode.nls.locale=zh-cn; SameSite=Lax; Max-Age=31536000"));
    assert_eq!(daemon.get("/?ew=1").header("set-cookie"), None);
}

#[test]
fn the_small_files_of_an_installable_app_are_there() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "[page]\nname = 'Acme'\n");
    let manifest = daemon.get("/i/alice/manifest.json");
    assert_eq!(manifest.header("content-type"), Some("application/manifest+json"));
    assert_eq!(manifest.json()["name"], "Acme – alice");
    for icon in manifest.json()["icons"].as_array().unwrap() {
        let path = format!("/i/alice/{}", icon["src"].as_str().unwrap().trim_start_matches("./"));
        let answer = daemon.get(&path);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("image/png")), "{path}");
    }
    let worker = daemon.get("/i/alice/_static/out/browser/serviceWorker.js");
    assert_eq!((worker.status, worker.header("service-worker-allowed")), (200, Some("../../../")));
    assert_eq!(daemon.get("/update/check").json()["isLatest"], true);
    let logout = daemon.get("/logout?base=.&href=x");
    assert_eq!((logout.status, logout.header("location")), (302, Some("./")));
    let logout = daemon.send("POST", "/api/v1/code/logout", &[]);
    assert_eq!((logout.status, logout.json()), (200, serde_json::json!({"signed_out": true})), "a program is told");
    let moved = daemon.send("POST", "/i/alice", &[]);
    assert_eq!((moved.status, moved.header("location")), (307, Some("alice/")), "what is sent stays what it is");
    for absent in ["/_static/package.json", "/_static/../Cargo.toml", "/_static/", "/i/alice/_static/src"] {
        assert_eq!(daemon.get(absent).status, 404, "{absent}");
    }
    let head = daemon.send("HEAD", "/manifest.json", &[]);
    let whole = daemon.get("/manifest.json").body.len().to_string();
    assert_eq!((head.status, head.body.len(), head.header("content-length")), (200, 0, Some(whole.as_str())));
    // Nothing is made for these, so nobody knows how long it would be.
    for unmade in ["/", "/api/v1/code/events", "/api/v1/code/extensions", "/api/v1/code/extensions/events?id=pub.one"] {
        let head = daemon.send("HEAD", unmade, &[]);
        assert_eq!((head.status, head.header("content-length")), (200, None), "{unmade}");
    }
    let slash = daemon.get("/i/alice?folder=/tmp");
    assert_eq!((slash.status, slash.header("location")), (302, Some("alice/?folder=/tmp")));
    assert_eq!(daemon.get("/api/v1/code/health").json()["instances"]["running"], 0);
}

#[test]
fn the_frame_embeds_the_same_parameters() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let frame = daemon.get("/i/alice/api/v1/code?folder=/tmp&payload=%5B%22%3Cb%3E%22%5D&evil=\"><script>alert(1)</script>");
    assert_eq!(frame.status, 400, "an address with bare quotes is no address");
    let frame = daemon.get("/i/alice/api/v1/code?folder=/tmp&payload=%5B%22%3Cb%3E%22%5D&evil='");
    assert_eq!(frame.status, 200, "{}", frame.text());
    assert!(frame.text().contains("src=\"../../?folder=/tmp&#38;payload=%5B%22%3Cb%3E%22%5D&#38;evil=&#39;\""), "{}", frame.text());
    crate::support::eventually("the instance starts meanwhile", || (daemon.status("alice")["state"] == "running").then_some(()));
}

#[test]
fn added_style_sheets_and_scripts_are_linked_and_served() {
    let engine = FakeEngine::new();
    let files = tempfile::tempdir().unwrap();
    let (css, js) = (files.path().join("a.css"), files.path().join("b.js"));
    std::fs::write(&css, "body { --mark: 1 }").unwrap();
    std::fs::write(&js, "window.mark = 1").unwrap();
    let daemon = Daemon::start(engine.path(), &format!("[page]\ncss = ['{}']\njs = ['{}']\n", css.display(), js.display()));
    let page = daemon.get("/i/alice/?ew=1").text();
    let url = |before: &str| page.split(before).nth(1).unwrap().split('"').next().unwrap().trim_start_matches("./").to_owned();
    let style = daemon.get(&format!("/i/alice/{}", url("rel=\"stylesheet\" href=\"")));
    assert_eq!((style.text().as_str(), style.header("content-type")), ("body { --mark: 1 }", Some("text/css; charset=utf-8")));
    let script = daemon.get(&format!("/i/alice/{}", url("<script nonce=\"engine-nonce\" defer src=\"")));
    assert_eq!(script.text(), "window.mark = 1");
    assert!(script.header("cache-control").unwrap().contains("immutable"));
}

#[test]
fn every_request_leaves_one_record_without_its_query() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    request(daemon.address, "GET", "/i/alice/?ew=1&token=s3cr3t", &[("Cookie", "session=s3cr3t")], b"");
    daemon.wait_log("route=\"workbench\"");
    let log = daemon.log();
    let record = log.lines().find(|line| line.contains("workbench")).unwrap();
    for field in ["instance=\"alice\"", "method=\"GET\"", "status=200", "duration_us=", "bytes=", "client=\"127.0.0.1\""] {
        assert!(record.contains(field), "{field}: {record}");
    }
    assert!(!log.contains("s3cr3t"), "{log}");
}

#[test]
fn who_starts_it_again_comes_back_to_what_was_asked_for() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let start = |body: &str| {
        let headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Accept", "text/html")];
        let answer = request(daemon.address, "POST", "/i/alice/api/v1/code/start", &headers, body.as_bytes());
        (answer.status, answer.header("location").unwrap_or_default().to_owned())
    };
    let back = |to: &str| (303, format!("../../../{to}"));
    assert_eq!(start(""), back(""));
    assert_eq!(start("to=%3Ffolder%3D%2Ftmp%26x%3D1"), back("?folder=/tmp&x=1"));
    assert_eq!(start("to=api%2Fv1%2Fcode%3Few%3D1"), back("api/v1/code?ew=1"));
    for to in ["//evil.example", "https:evil.example", "..%2F..%2Fbob%2F", "%ff"] {
        assert_eq!(start(&format!("to={to}")), back(""), "{to}");
    }
    assert_eq!(daemon.send("POST", "/i/alice/api/v1/code/start", &[]).json()["instance"], "alice", "a program is told the state");
}

#[test]
fn made_up_names_fill_no_disk_and_keep_nobody_out() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let key = |name: &str| daemon.send("POST", &format!("/i/{name}/api/v1/code/mint-key"), &[]);
    let refused = (0..).map(|n| key(&format!("made-up-{n}"))).take(1000).find(|answer| answer.status != 200).expect("an end");
    assert_eq!((refused.status, refused.code().as_str()), (503, "too_many_instances"));
    assert_eq!(key("alice").status, 503);
    assert_eq!(daemon.get("/i/alice/?ew=1").status, 200);
    let sealed = key("alice");
    assert_eq!((sealed.status, sealed.body.len()), (200, 32), "who is there is no made-up name");
    assert_eq!(key("made-up-0").status, 200);
}
