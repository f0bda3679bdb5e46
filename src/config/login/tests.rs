use super::*;
use crate::config::{ConfigError, Overrides, load};

const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAA";

fn file(content: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), content).unwrap();
    file
}

fn with_file(toml: &str, flags: PasswordFlags) -> Result<Login, ConfigError> {
    let config = file(toml);
    let overrides =
        Overrides { config: Some(config.path().to_owned()), data_dir: Some("/tmp/x".into()), password: flags, ..Overrides::default() };
    load(&overrides).map(|config| config.login)
}

fn plain(text: &str) -> PasswordSource {
    PasswordSource::Plain(Password::new(text).unwrap())
}

#[test]
fn a_login_is_the_default() {
    let login = with_file("", PasswordFlags::default()).unwrap();
    assert!(login.required && login.service.is_none() && login.instances.is_empty());
    assert_eq!(login.session, Duration::from_secs(30 * 24 * 3600));
    assert!(!with_file("[server]\nauth = 'none'", PasswordFlags::default()).unwrap().required);
}

#[test]
fn sources() {
    let secret = file("from file\n");
    let hash = file(&format!("{HASH}\n"));
    let path = |file: &tempfile::NamedTempFile| file.path().display().to_string();
    let toml = format!(
        "[login]\npassword_file = '{}'\nsession = '2d'\n[login.instances.alice]\nhashed_password = '{HASH}'\n[login.instances.bob]\nhashed_password_file = '{}'",
        path(&secret),
        path(&hash)
    );
    let login = with_file(&toml, PasswordFlags::default()).unwrap();
    assert_eq!(login.service, Some(plain("from file")));
    assert_eq!(login.instances[&"alice".parse().unwrap()], PasswordSource::Hashed(HASH.into()));
    assert_eq!(login.instances[&"bob".parse().unwrap()], PasswordSource::Hashed(HASH.into()));
    assert_eq!(login.session, Duration::from_secs(2 * 24 * 3600));
    // The command line wins.
    let flags = PasswordFlags { password: Some(Password::new("typed").unwrap()), ..PasswordFlags::default() };
    assert_eq!(with_file(&toml, flags).unwrap().service, Some(plain("typed")));
}

#[test]
fn credentials_of_systemd() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(from_credentials(Some(dir.path()), "").unwrap(), None);
    fs::write(dir.path().join("password"), "one").unwrap();
    fs::write(dir.path().join("hashed-password.alice"), HASH).unwrap();
    assert_eq!(from_credentials(Some(dir.path()), "").unwrap(), Some(plain("one")));
    assert_eq!(from_credentials(Some(dir.path()), ".alice").unwrap(), Some(PasswordSource::Hashed(HASH.into())));
    assert_eq!(from_credentials(Some(dir.path()), ".bob").unwrap(), None);
}

#[test]
fn bad_sources_say_why_and_show_no_secret() {
    let empty = file("\n");
    let nul = file("a\0b");
    let long = file(&"x".repeat(1025));
    let huge = file(&"x".repeat(5000));
    let no_hash = file("hunter2-the-password");
    for (toml, said) in [
        (format!("password_file = '{}'", empty.path().display()), "at least one byte"),
        (format!("password_file = '{}'", nul.path().display()), "zero byte"),
        (format!("password_file = '{}'", long.path().display()), "1024"),
        (format!("password_file = '{}'", huge.path().display()), "larger than 4096"),
        (format!("hashed_password_file = '{}'", no_hash.path().display()), "hoody-code password"),
        ("hashed_password = 'hunter2-the-password'".to_owned(), "hoody-code password"),
        (format!("hashed_password = '{HASH}'\npassword_file = '/x'"), "say one of"),
        ("password_file = '/no/such/file'".to_owned(), "/no/such/file"),
        ("session = '5s'".to_owned(), "one minute"),
        ("instances.Alice.password_file = '/x'".to_owned(), "'Alice'"),
        ("instances.alice = {}".to_owned(), "nothing of its password"),
        ("password = 'x'".to_owned(), "unknown field `password`"),
    ] {
        let error = with_file(&format!("[login]\n{toml}"), PasswordFlags::default()).unwrap_err().to_string();
        assert!(error.contains(said), "{toml}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
