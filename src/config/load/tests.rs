use super::*;

fn none() -> Overrides {
    Overrides { auth: Some("none".into()), data_dir: Some("/tmp/x".into()), ..Overrides::default() }
}

fn with_file(toml: &str) -> Result<Config, ConfigError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), toml).unwrap();
    load(&Overrides { config: Some(file.path().to_owned()), ..none() })
}

#[test]
fn defaults() {
    let config = load(&none()).unwrap();
    assert_eq!(config.server.listen, [ListenAddress::Tcp(([127, 0, 0, 1], 8080).into())]);
    assert_eq!(config.page.settings["chat.disableAIFeatures"], true);
    assert!(!config.page.loader);
}

#[test]
fn no_login_stays_on_loopback() {
    for listen in ["0.0.0.0:80", "[::]:80", "10.0.0.1:1"] {
        let error = load(&Overrides { listen: vec![listen.into()], ..none() }).unwrap_err();
        assert!(error.to_string().contains("open to everybody"), "{error}");
    }
    load(&Overrides { listen: vec!["unix:/run/x.sock".into(), "[::1]:0".into(), "localhost:9".into()], ..none() }).unwrap();
    load(&Overrides { auth: None, listen: vec!["0.0.0.0:80".into()], ..none() }).unwrap();
}

#[test]
fn bad_values_say_what_is_right() {
    for (toml, said) in [
        ("[server]\nlisten = ['8080']", "ADDR:PORT"),
        ("[server]\nlisten = ['unix:relative']", "absolute"),
        ("[server]\nlisten_on = 1", "unknown field `listen_on`"),
        ("[instances]\nmax_running = 0", "at least 1"),
        ("[instances]\nstart_timeout = 'soon'", "30s"),
        ("[instances]\nabandoned_after = '500ms'", "less than a second"),
        ("[instances]\nkeep_terminals = '0s'", "at least 1 s"),
        ("[page]\nbackground = 'red;}'", "CSS colour"),
        ("[page]\ncss = ['/no/such.css']", "/no/such.css"),
        ("[server]\ndomains = ['a b']", "not a domain"),
        ("[server]\ntrusted_proxies = ['proxy']", "not an IP address"),
        ("[server", "line 1"),
    ] {
        let error = with_file(toml).unwrap_err().to_string();
        assert!(error.contains(said), "{toml}: {error}");
    }
}

#[test]
fn the_file_is_read() {
    let config = with_file(
        "[instances]\nkeep_terminals = '2d'\nrequest_wait = '1min 30s'\n[page.settings]\n'editor.fontSize' = 15\n'chat.disableAIFeatures' = false\n[page.options]\nhomeIndicator = { href = '/' }",
    )
    .unwrap();
    assert_eq!(config.instances.keep_terminals, Duration::from_secs(172_800));
    assert_eq!(config.instances.request_wait, Duration::from_secs(90));
    assert_eq!(config.page.settings["editor.fontSize"], 15);
    assert_eq!(config.page.settings["chat.disableAIFeatures"], false);
    assert_eq!(config.page.options["homeIndicator"]["href"], "/");
}
