//! Static files, over the real engine: no instance is woken for them.

use crate::support::{BROWSER, Daemon, real_engine};

#[test]
fn the_workbench_comes_compressed_and_immutable_without_an_instance() {
    let engine = real_engine();
    let daemon = Daemon::start(engine.dir(), "");
    let path = format!("{}out/vs/code/browser/workbench/workbench.js", engine.static_prefix());
    let original = std::fs::read(engine.root().join("out/vs/code/browser/workbench/workbench.js")).unwrap();
    let plain = daemon.get(&path);
    assert!(plain.status == 200 && plain.body == original);
    assert_eq!(plain.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(plain.header("vary"), Some("accept-encoding"));
    for encoding in ["br", "zstd", "gzip"] {
        let packed = daemon.send("GET", &path, &[("Accept-Encoding", encoding)]);
        assert_eq!(packed.header("content-encoding"), Some(encoding));
        assert!(packed.body.len() * 3 < original.len(), "{encoding}: {}", packed.body.len());
        let unpacked = match encoding {
            "zstd" => zstd::decode_all(&packed.body[..]).unwrap(),
            "gzip" => {
                let mut unpacked = Vec::new();
                std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed.body[..]), &mut unpacked).unwrap();
                unpacked
            }
            _ => {
                let mut unpacked = Vec::new();
                brotli::BrotliDecompress(&mut &packed.body[..], &mut unpacked).unwrap();
                unpacked
            }
        };
        assert!(unpacked == original, "{encoding}");
        let again = daemon.send("GET", &path, &[("Accept-Encoding", encoding), ("If-None-Match", packed.header("etag").unwrap())]);
        assert_eq!((again.status, again.body.len()), (304, 0));
        assert_ne!(packed.header("etag"), plain.header("etag"), "each representation has its own");
    }
    let range = daemon.send("GET", &path, &[("Range", "bytes=100-199")]);
    assert_eq!((range.status, &range.body[..]), (206, &original[100..200]));
    assert_eq!(range.header("content-range"), Some(format!("bytes 100-199/{}", original.len()).as_str()));
    let head = daemon.send("HEAD", &path, &[]);
    assert_eq!((head.status, head.header("content-length")), (200, Some(original.len().to_string().as_str())));
    let beyond = [("Range", "bytes=99999999-"), ("Accept", "*/*")];
    let (none, page) = (daemon.send("GET", &path, &beyond[..]), daemon.send("GET", &path, &[beyond[0], BROWSER]));
    assert_eq!((none.status, none.code().as_str()), (416, "range_not_satisfiable"));
    assert_eq!((page.status, page.header("content-type")), (416, Some("text/html; charset=utf-8")));
    for refused in [none, page] {
        assert_eq!(refused.header("content-range"), Some(format!("bytes */{}", original.len()).as_str()));
    }
    assert_eq!(daemon.get("/api/v1/code/health").json()["instances"]["running"], 0);
}

#[test]
fn what_comes_with_the_engine_is_not_asked_of_a_running_one() {
    let engine = real_engine();
    let daemon = Daemon::start(engine.dir(), "");
    let resource = |file: &str| {
        format!("{}/vscode-remote-resource?path={}&tkn=", engine.base(), engine.root().join(file).display().to_string().replace('/', "%2F"))
    };
    let theme = "extensions/theme-defaults/themes/2026-dark.json";
    let packed = daemon.send("GET", &resource(theme), &[("Accept-Encoding", "br")]);
    assert_eq!((packed.status, packed.header("content-encoding")), (200, Some("br")));
    assert_eq!(daemon.get(&resource(theme)).body, std::fs::read(engine.root().join(theme)).unwrap());
    assert_eq!(daemon.get("/api/v1/code/health").json()["instances"]["running"], 0);
    // What is not in the static set is the engine's to answer, and what only looks like it, too.
    let other = daemon.get(&resource("extensions/../product.json"));
    assert_ne!(other.header("cache-control"), Some("public, max-age=31536000, immutable"), "{other:?}");
    assert_eq!(daemon.get("/api/v1/code/health").json()["instances"]["running"], 1);
    // Our own files are no larger than they have to be, either.
    let page = daemon.get("/?folder=/").text();
    let (_, rest) = page.split_once("/_static/touch/").unwrap();
    let module = daemon.send("GET", &format!("/_static/touch/{}", rest.split('"').next().unwrap()), &[("Accept-Encoding", "gzip")]);
    assert_eq!((module.status, module.header("content-encoding")), (200, Some("gzip")));
}

#[test]
fn nothing_outside_the_static_set_is_served() {
    let engine = real_engine();
    let daemon = Daemon::start(engine.dir(), "");
    let base = engine.base();
    for path in [
        format!("{base}/static/product.json"),
        format!("{base}/static/out/server-main.js"),
        format!("{base}/static/../engine.json"),
        format!("{base}/static/out/../../engine.json"),
        format!("{base}/static/%2e%2e/engine.json"),
        format!("{base}/static/out/..%2f..%2fengine.json"),
        format!("{base}/static//etc/passwd"),
        format!("{base}/static/"),
        format!("{base}/static/out/%00"),
        format!("{base}/static/out/%ff"),
    ] {
        assert_eq!(daemon.get(&path).status, 404, "{path}");
    }
    assert_eq!(daemon.send("POST", &format!("{base}/static/out/vs/code/browser/workbench/workbench.js"), &[]).status, 405);
}
