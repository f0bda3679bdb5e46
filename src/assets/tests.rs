//! Whole answers, on a small made-up engine.

use std::fs;
use std::path::Path;

use http::header::HeaderMap;
use http::{Method, Response};

use super::{Assets, Refused};
use crate::engine::{AddOptions, Engine, Store, Tree, pack::Effort};

const SCRIPT: &str = "out/vs/code/browser/workbench/workbench.js";

fn engine(dir: &Path) -> Engine {
    let root = dir.join("tree");
    let put = |path: &str, content: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("parent")).expect("mkdir");
        fs::write(path, content).expect("write");
    };
    put("out/server-main.js", "server");
    put("product.json", r#"{"version":"1.2.3","commit":"abc","quality":"stable"}"#);
    put(SCRIPT, &"let a = 1;\n".repeat(1000));
    put("out/media/a b.svg", "<svg/>");
    put("node", "#!/bin/sh\necho v24.0.0\n");
    fs::set_permissions(root.join("node"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
    let tree = Tree::discover(&root, None).expect("tree");
    let options = AddOptions { warm: false, effort: Effort::Quick, ..AddOptions::default() };
    Store::new(dir.join("store")).add(&tree, &options, &mut |_| ()).expect("add")
}

struct Site {
    assets: Assets,
    engine: Engine,
    _dir: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("tempdir");
        let engine = engine(dir.path());
        Self { assets: Assets::open(&engine).expect("assets"), engine, _dir: dir }
    }

    fn ask(&self, method: &Method, path: &str, headers: &[(&'static str, &str)]) -> Result<Response<bytes::Bytes>, Refused> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().expect("header"));
        }
        self.assets.respond(method, path, &map)
    }

    fn get(&self, path: &str, headers: &[(&'static str, &str)]) -> Response<bytes::Bytes> {
        self.ask(&Method::GET, path, headers).expect("a file")
    }

    fn refused(&self, method: &Method, path: &str, headers: &[(&'static str, &str)]) -> Refused {
        self.ask(method, path, headers).expect_err("no file")
    }
}

fn header<'a>(response: &'a Response<bytes::Bytes>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().expect("ascii"))
}

#[test]
fn serves_the_smallest_variant_with_everything_said() {
    let site = Site::new();
    let response = site.get(SCRIPT, &[("accept-encoding", "gzip, br, zstd")]);
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "content-type"), "text/javascript; charset=utf-8");
    assert_eq!(header(&response, "cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(header(&response, "vary"), "accept-encoding");
    assert_eq!(header(&response, "x-content-type-options"), "nosniff");
    assert_eq!(header(&response, "accept-ranges"), "bytes");
    assert_eq!(header(&response, "content-length"), response.body().len().to_string());
    let encoding = header(&response, "content-encoding");
    assert!(!encoding.is_empty() && header(&response, "etag").ends_with(&format!("-{encoding}\"")));

    let plain = site.get(SCRIPT, &[]);
    assert_eq!((plain.body().len(), header(&plain, "content-encoding")), (11_000, ""));
    assert_ne!(header(&plain, "etag"), header(&response, "etag"));
}

#[test]
fn head_has_the_headers_of_get() {
    let site = Site::new();
    let accept = [("accept-encoding", "gzip")];
    let (get, head) = (site.get(SCRIPT, &accept), site.ask(&Method::HEAD, SCRIPT, &accept).expect("a file"));
    assert!(head.body().is_empty());
    assert_eq!(head.headers(), get.headers());
}

#[test]
fn conditional_requests() {
    let site = Site::new();
    let gzip = header(&site.get(SCRIPT, &[("accept-encoding", "gzip")]), "etag").to_owned();
    let ask = |tag: &str, accept: &str| site.get(SCRIPT, &[("if-none-match", tag), ("accept-encoding", accept)]);
    for tag in [gzip.as_str(), &format!("W/{gzip}"), &format!("\"x\", {gzip}"), "*"] {
        let response = ask(tag, "gzip");
        assert_eq!(response.status(), 304, "{tag}");
        assert_eq!((header(&response, "etag"), response.body().len()), (gzip.as_str(), 0));
        assert_eq!(header(&response, "content-length"), "");
    }
    assert_eq!(ask(&gzip, "identity").status(), 200, "another representation");
    assert_eq!(ask("\"x\"", "gzip").status(), 200);
}

#[test]
fn ranges_are_of_the_plain_content() {
    let site = Site::new();
    let etag = header(&site.get(SCRIPT, &[]), "etag").to_owned();
    let part = site.get(SCRIPT, &[("range", "bytes=4-8"), ("accept-encoding", "br")]);
    assert_eq!((part.status().as_u16(), &part.body()[..]), (206, &b"a = 1"[..]));
    assert_eq!(header(&part, "content-range"), "bytes 4-8/11000");
    assert_eq!((header(&part, "content-length"), header(&part, "content-encoding")), ("5", ""));
    assert_eq!(site.refused(&Method::GET, SCRIPT, &[("range", "bytes=11000-")]), Refused::Range { size: 11_000 });
    for headers in [
        [("range", "bytes=0-1"), ("if-range", "\"other\"")],
        [("range", "bytes=0-1"), ("if-range", "Tue, 15 Nov 1994 12:45:26 GMT")],
        [("range", "bytes=0-1,4-5"), ("if-range", etag.as_str())],
    ] {
        assert_eq!(site.get(SCRIPT, &headers).status(), 200, "{headers:?}");
    }
    assert_eq!(site.get(SCRIPT, &[("range", "bytes=0-1"), ("if-range", &etag)]).status(), 206);
    assert_eq!(site.get(SCRIPT, &[("range", "bytes=0-1"), ("if-none-match", &etag)]).status(), 304);
}

#[test]
fn only_exact_names_are_found() {
    let site = Site::new();
    assert_eq!(site.get("out/media/a%20b.svg", &[]).status(), 200);
    for path in [
        "",
        "product.json",
        "out/server-main.js",
        "out/../product.json",
        "out/media/../../product.json",
        "%2e%2e/product.json",
        "out%2Fmedia%2fa%20b.svg",
        "out//media/a%20b.svg",
        "/out/media/a%20b.svg",
        "out/media/a%20b.svg%00",
        "out/media/a%ff.svg",
        "out/media/",
    ] {
        assert_eq!(site.refused(&Method::GET, path, &[]), Refused::NotFound, "{path}");
    }
    assert_eq!(site.refused(&Method::POST, SCRIPT, &[]), Refused::Method);
}

#[test]
fn a_file_that_changed_is_not_served() {
    let site = Site::new();
    fs::write(site.engine.root().join("out/media/a b.svg"), "longer than it was").expect("write");
    assert_eq!(site.refused(&Method::GET, "out/media/a%20b.svg", &[]), Refused::Broken);
}
