//! The documents say what is true: their commands exist, their configurations are taken, their error codes are ours.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;
use clap::error::ErrorKind;
use hoody_code::cli::Cli;

use crate::support::{FakeEngine, with_password};

/// Commands of other programs, and who runs them. What is not in here is a command that nobody has tried.
const OTHERS: &[(&str, &str)] = &[
    ("make", "the targets run and test are how this is built and tested"),
    ("curl", "run below"),
    ("systemctl", "tests/vm/moving"),
    ("journalctl", "tests/vm/moving"),
    ("systemd-cgtop", "tests/vm/moving"),
    ("tar", "tests/vm/moving"),
    ("setpriv", "tests/vm/moving"),
    ("runuser", "tests/vm/moving"),
    ("chown", "tests/vm/moving"),
    ("chmod", "tests/vm/services"),
    ("cat", "tests/vm/services"),
    ("chgrp", "tests/vm/moving"),
    ("ls", "tests/vm/moving"),
    ("useradd", "tests/vm/services"),
    ("mkfs.btrfs", "tests/vm/disk"),
    ("mount", "tests/vm/disk"),
    ("systemd-tmpfiles", "tests/vm/disk"),
    ("btrfs", "tests/vm/disk"),
    ("id=acme-web-code-1", "tests/vm/moving"),
    ("uid=$(stat", "tests/vm/moving"),
];

struct Fence {
    place: String,
    kind: String,
    text: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The documents: their names, and what is in them.
fn documents() -> Vec<(String, String)> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.push(root().join("README.md"));
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.sort();
    let name = |path: &Path| path.strip_prefix(root()).unwrap().display().to_string();
    paths.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

fn fences() -> Vec<Fence> {
    let mut all = Vec::new();
    for (name, document) in documents() {
        let mut open: Option<Fence> = None;
        for (number, line) in document.lines().enumerate() {
            match (line.strip_prefix("```"), &mut open) {
                (Some(kind), None) => {
                    open = Some(Fence { place: format!("{name}:{}", number + 1), kind: kind.to_owned(), text: String::new() })
                }
                (Some(_), Some(_)) => all.extend(open.take()),
                (None, Some(fence)) => fence.text += &format!("{line}\n"),
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{name}: a block does not end");
    }
    all
}

/// The command lines of a block, without comments and the explanations in a second column.
fn lines(text: &str) -> Vec<String> {
    let whole = text.replace("\\\n", " ");
    let bare = whole.lines().map(|line| line.split(" #").next().unwrap_or_default().split("   ").next().unwrap_or_default().trim());
    bare.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

/// Whether the command line is one that the program understands; words with “…” stand for something.
fn understood(line: &str) -> Result<(), String> {
    let words: Vec<&str> = line.split_whitespace().filter(|word| !word.contains('…')).collect();
    let words: Vec<&str> = if words.starts_with(&["hoody", "code"]) { [&["hoody-code"], &words[2..]].concat() } else { words };
    // A word for a thing: the real one is checked for its form.
    let words = words.into_iter().map(|word| if word == "ID" { "acme-web-code-1" } else { word.trim_matches('\'') });
    match Cli::try_parse_from(words.map(|word| word.replace("$id", "acme-web-code-1"))) {
        Ok(_) => Ok(()),
        Err(e) if matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => Ok(()),
        Err(e) if line.contains('…') && matches!(e.kind(), ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand) => Ok(()),
        // Named in passing.
        Err(e) if e.kind() == ErrorKind::MissingRequiredArgument && line.split_whitespace().count() < 4 => Ok(()),
        Err(e) => Err(e.to_string()),
    }
}

/// Whether a line of a block without a kind is meant to be typed, and not a drawing.
fn is_command(line: &str) -> bool {
    line.starts_with("hoody") || OTHERS.iter().any(|(program, _)| line.split_whitespace().next() == Some(program))
}

#[test]
fn who_runs_them_does() {
    for (program, who) in OTHERS.iter().filter(|(_, who)| who.starts_with("tests/")) {
        let test = std::fs::read_to_string(root().join(format!("{who}.test.mjs"))).unwrap();
        // By its name, or by taking the commands from the document itself.
        assert!(test.contains(program) || test.contains("blocks("), "{who} does not run {program}");
    }
}

#[test]
fn commands_exist() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for fence in fences().iter().filter(|fence| fence.kind == "sh" || fence.kind.is_empty()) {
        for line in lines(&fence.text) {
            if fence.kind.is_empty() && !is_command(&line) {
                continue;
            }
            for command in line.split(" && ") {
                seen += 1;
                let first = command.split_whitespace().next().unwrap_or_default();
                if first.starts_with("hoody") {
                    wrong.extend(understood(command).err().map(|e| format!("{}: {command}: {e}", fence.place)));
                } else if !OTHERS.iter().any(|(program, _)| *program == first) {
                    wrong.push(format!("{}: nobody runs {command}", fence.place));
                }
            }
        }
    }
    for (name, document) in documents() {
        for inline in
            document.split('`').skip(1).step_by(2).filter(|code| code.starts_with("hoody-code ") || code.starts_with("hoody code "))
        {
            seen += 1;
            wrong.extend(understood(inline).err().map(|e| format!("{name}: {inline}: {e}")));
        }
    }
    assert!(seen > 40, "only {seen} commands found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_unknown_command_is_noticed() {
    assert!(understood("hoody-code instances list --jsn").is_err());
    assert!(understood("hoody-code instance list").is_err());
    assert!(understood("hoody code drain --deadline soon").is_err());
    assert!(understood("hoody-code instances …").is_ok());
}

#[test]
fn configurations_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    let hash = run(Command::new(env!("CARGO_BIN_EXE_hoody-code")).arg("password").stdin(input(dir.path(), "secret\n")));
    let mut seen = 0;
    for fence in fences().iter().filter(|fence| fence.kind == "toml") {
        seen += 1;
        // The files that it names are there, and hashes are whole.
        let text = fence.text.replace("\"/etc/", &format!("\"{}/etc/", dir.path().display()));
        let mut pieces: Vec<String> = text.split('"').map(str::to_owned).collect();
        for value in pieces.iter_mut().skip(1).step_by(2) {
            if value.starts_with("$argon2id$") {
                hash.trim().clone_into(value);
            } else if value.ends_with("/fullchain.pem") {
                // The key comes beside it.
                let folder = Path::new(&value).parent().unwrap();
                std::fs::create_dir_all(folder).unwrap();
                let make =
                    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=a -out fullchain.pem -keyout privkey.pem";
                run(Command::new("openssl").args(make.split(' ')).current_dir(folder));
            } else if value.ends_with("/privkey.pem") {
            } else if Path::new(&value).starts_with(dir.path()) {
                std::fs::create_dir_all(Path::new(&value).parent().unwrap()).unwrap();
                std::fs::write(&value, &hash).unwrap();
            }
        }
        std::fs::write(&file, pieces.join("\"")).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_hoody-code")).args(["config", "check"]).arg(&file).output().unwrap();
        assert!(output.status.success(), "{}: {}", fence.place, String::from_utf8_lossy(&output.stderr));
    }
    assert!(seen >= 8, "only {seen} configurations found");
}

#[test]
fn requests_are_answered() {
    let engine = FakeEngine::new();
    let daemon = with_password(&engine, "secret", "");
    let dir = tempfile::tempdir().unwrap();
    // A session for what is shown without one, where the text says that there has to be one.
    let origin = format!("http://{}", daemon.address);
    let login = format!("curl -s -c own -d password=secret {origin}/api/v1/code/login -o /dev/null -w %{{http_code}}");
    assert_eq!(run(Command::new("sh").args(["-c", &login]).current_dir(dir.path())), "200");
    std::fs::write(dir.path().join("my.vsix"), b"PK\x03\x04pub.two").unwrap();
    let mut seen = 0;
    for fence in fences().iter().filter(|fence| fence.kind == "sh") {
        for line in lines(&fence.text).iter().filter(|line| line.starts_with("curl ")) {
            seen += 1;
            let named = format!("http://acme-web-code-1.localhost:{}", daemon.address.port());
            let line = line.replace("https://acme-web-code-1.srv7.example.com", &named).replace("password=…", "password=secret");
            let line = line.replace(" localhost:8080", &format!(" -b own {origin}"));
            let command = format!("{line} -s -S -o answer -w %{{http_code}}");
            let status = run(Command::new("sh").args(["-c", &command]).current_dir(dir.path()));
            let answer = std::fs::read_to_string(dir.path().join("answer")).unwrap_or_default();
            assert!(status.starts_with('2'), "{}: {line}: {status} {answer}", fence.place);
        }
    }
    assert!(seen >= 7, "only {seen} requests found");
}

/// Every code with its status, from the one place that has them.
fn codes() -> BTreeMap<String, String> {
    let source = std::fs::read_to_string(root().join("src/front/answer.rs")).unwrap();
    let (_, rest) = source.split_once("fn status(self)").unwrap();
    let (statuses, rest) = rest.split_once("fn text(self)").unwrap();
    let (names, _) = rest.split_once("fn advice(self)").unwrap();
    let variants = |text: &str| -> Vec<String> {
        let word = |part: &str| part.chars().take_while(char::is_ascii_alphanumeric).collect::<String>();
        text.split("Self::").skip(1).map(word).collect()
    };
    let mut by_variant = BTreeMap::new();
    let mut before = String::new();
    for line in statuses.lines() {
        before += line;
        if let Some((_, status)) = line.split_once("StatusCode::") {
            let status: String = status.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect();
            let number = http::StatusCode::from_bytes(number_of(&status).as_bytes()).unwrap();
            for variant in variants(&std::mem::take(&mut before)) {
                by_variant.insert(variant, number.as_str().to_owned());
            }
        }
    }
    let name = |line: &str| Some((variants(line).pop()?, line.split('"').nth(1)?.to_owned()));
    names.lines().filter_map(name).map(|(variant, name)| (name, by_variant[&variant].clone())).collect()
}

fn number_of(status: &str) -> &'static str {
    match status {
        "BAD_REQUEST" => "400",
        "UNAUTHORIZED" => "401",
        "FORBIDDEN" => "403",
        "NOT_FOUND" => "404",
        "METHOD_NOT_ALLOWED" => "405",
        "CONFLICT" => "409",
        "PAYLOAD_TOO_LARGE" => "413",
        "UNSUPPORTED_MEDIA_TYPE" => "415",
        "RANGE_NOT_SATISFIABLE" => "416",
        "TOO_MANY_REQUESTS" => "429",
        "INTERNAL_SERVER_ERROR" => "500",
        "BAD_GATEWAY" => "502",
        "SERVICE_UNAVAILABLE" => "503",
        "GATEWAY_TIMEOUT" => "504",
        other => panic!("{other}: which number is that?"),
    }
}

#[test]
fn error_codes_are_ours_and_each_is_produced_by_a_test() {
    let codes = codes();
    assert!(codes.len() > 20, "{codes:?}");
    let mut tests = String::new();
    for folder in ["tests/integration", "tests/browser", "tests/vm"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path()) {
            if !entry.ends_with("documents.rs") && entry.is_file() {
                tests += &std::fs::read_to_string(&entry).unwrap_or_default();
            }
        }
    }
    let mut seen = 0;
    for (name, document) in documents() {
        // A status, and behind it codes: 404 `a`, `b`; or a cell of a table each.
        let pieces: Vec<&str> = document.split('`').collect();
        let mut status = None;
        for pair in pieces.chunks(2) {
            let (text, code) = (pair[0], pair.get(1).copied().unwrap_or_default());
            let digits: String = text.trim_end_matches([' ', '|']).chars().rev().take_while(char::is_ascii_digit).collect();
            let digits: String = digits.chars().rev().collect();
            status = match (digits.len(), text.trim()) {
                (3, _) if text.ends_with(' ') => Some(digits),
                (_, ",") => status,
                _ => None,
            };
            if let Some(status) = &status
                && code.len() > 4
                && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
            {
                seen += 1;
                assert_eq!(codes.get(code), Some(status), "{name}: {status} {code}");
                assert!(tests.contains(code), "{name}: no test produces {code}");
            }
        }
    }
    assert!(seen >= 20, "only {seen} codes found");
}

/// Units that are named are there.
#[test]
fn units_exist() {
    let mut seen = 0;
    for (name, document) in documents() {
        for code in document.split('`').skip(1).step_by(2) {
            let suffix = [".service", ".socket", ".slice"].iter().any(|suffix| code.ends_with(suffix));
            // A lab's own is shown in the text.
            if !suffix || !code.starts_with("hoody-code") || code.contains(char::is_whitespace) {
                continue;
            }
            seen += 1;
            let file = match code.split_once('@') {
                Some((stem, rest)) => format!("{stem}@.{}", rest.rsplit_once('.').unwrap().1),
                None => code.to_owned(),
            };
            let units = root().join("systemd");
            // An instance's unit is transient; what is the same for all is its drop-in.
            assert!(units.join(&file).exists() || units.join(format!("{file}.d")).exists(), "{name}: {code}");
        }
    }
    assert!(seen >= 10, "only {seen} units found");
}

/// Each link to another document, or to a heading in one, leads somewhere.
#[test]
fn links_lead_somewhere() {
    for (name, document) in documents() {
        let here = root().join(&name);
        for target in document.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
            let path = if file.is_empty() { here.clone() } else { here.parent().unwrap().join(file) };
            assert!(path.exists(), "{name}: {target}");
            if let Some(anchor) = anchor {
                let text = std::fs::read_to_string(&path).unwrap();
                let slug = |heading: &str| -> String {
                    let kept = heading.trim_start_matches('#').trim().to_lowercase();
                    kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
                };
                assert!(text.lines().any(|line| line.starts_with('#') && slug(line) == anchor), "{name}: {target}");
            }
        }
    }
}

fn input(dir: &Path, text: &str) -> std::fs::File {
    let file = dir.join("input");
    std::fs::write(&file, text).unwrap();
    std::fs::File::open(file).unwrap()
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
