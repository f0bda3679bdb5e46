//! Certificates, and who may embed the editor: what `[tls]` and `[embed]` say.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::checked::ListenAddress;
use super::error::ConfigError;
use super::load::duration;
use super::raw;
use crate::model::WebOrigin;

/// The checked `[tls]`. The files are read by whoever listens, at the start and at each reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate and those between it and a root, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// For how long browsers are told to come by HTTPS only (`Strict-Transport-Security`); zero: not at all.
    pub hsts: Duration,
}

/// Checks `[tls]`; a certificate among systemd's credentials (`tls-certificate`, `tls-key`) is taken when the file names none.
pub(super) fn check(raw: raw::Tls, listen: &[ListenAddress]) -> Result<Option<Tls>, ConfigError> {
    let hsts = duration("hsts", raw.hsts.as_deref(), Duration::ZERO)?;
    let tls = match (raw.certificate, raw.key) {
        (Some(certificate), Some(key)) => Some(Tls { certificate, key, hsts }),
        (None, None) => std::env::var_os("CREDENTIALS_DIRECTORY").and_then(|dir| from_credentials(Path::new(&dir), hsts)),
        (Some(_), None) => return Err(ConfigError::value("tls", "has a certificate, and no key")),
        (None, Some(_)) => return Err(ConfigError::value("tls", "has a key, and no certificate")),
    };
    let needed = listen.iter().any(|address| matches!(address, ListenAddress::Tls(_)));
    if needed && tls.is_none() {
        return Err(ConfigError::value("listen", "https:// needs [tls] certificate and key"));
    }
    if !needed && listen.iter().any(|address| matches!(address, ListenAddress::Redirect(_))) {
        return Err(ConfigError::value("listen", "redirect:// needs an https:// address to send people to"));
    }
    Ok(tls)
}

fn from_credentials(dir: &Path, hsts: Duration) -> Option<Tls> {
    let (certificate, key) = (dir.join("tls-certificate"), dir.join("tls-key"));
    (certificate.exists() && key.exists()).then_some(Tls { certificate, key, hsts })
}

/// Checks `[embed]`.
pub(super) fn check_embed(raw: &raw::Embed) -> Result<Vec<WebOrigin>, ConfigError> {
    let origin = |text: &String| {
        let origin = text.parse::<WebOrigin>().map_err(|e| ConfigError::value("embed.allow", format!("'{text}' is {e}")))?;
        // The policy that browsers enforce has no way to write such an address (CSP, host-source).
        if origin.to_string().contains('[') {
            return Err(ConfigError::value("embed.allow", format!("'{text}': browsers know no IPv6 addresses here, use a name")));
        }
        Ok(origin)
    };
    raw.allow.iter().map(origin).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::{Config, Overrides, load};

    fn with_file(toml: &str, listen: &[&str]) -> Result<Config, ConfigError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), toml).unwrap();
        load(&Overrides {
            config: Some(file.path().to_owned()),
            data_dir: Some("/tmp/x".into()),
            listen: listen.iter().map(|text| (*text).to_owned()).collect(),
            ..Overrides::default()
        })
    }

    #[test]
    fn listeners_have_kinds() {
        let tls = "[tls]\ncertificate = '/c'\nkey = '/k'\nhsts = '1d'";
        let config = with_file(tls, &["http://[::1]:80", "https://0.0.0.0:443", "redirect://0.0.0.0:80", "unix:/x"]).unwrap();
        let any = |port| ([0, 0, 0, 0], port).into();
        assert_eq!(config.server.listen[1..3], [ListenAddress::Tls(any(443)), ListenAddress::Redirect(any(80))]);
        assert_eq!(config.tls.unwrap().hsts, Duration::from_secs(86400));
    }

    #[test]
    fn what_does_not_go_together() {
        for (toml, listen, said) in [
            ("", "https://127.0.0.1:1", "needs [tls]"),
            ("[tls]\ncertificate = '/c'", "127.0.0.1:1", "no key"),
            ("[tls]\nkey = '/c'", "127.0.0.1:1", "no certificate"),
            ("", "redirect://127.0.0.1:1", "needs an https://"),
            ("", "ftp://127.0.0.1:1", "none of http://"),
            ("[embed]\nallow = ['app.example.com']", "127.0.0.1:1", "not an origin"),
            ("[embed]\nallow = ['https://app.example.com/x']", "127.0.0.1:1", "not an origin"),
            ("[embed]\nallow = ['*']", "127.0.0.1:1", "not an origin"),
            ("[embed]\nallow = ['https://[::1]']", "127.0.0.1:1", "use a name"),
        ] {
            let error = with_file(toml, &[listen]).unwrap_err().to_string();
            assert!(error.contains(said), "{toml}: {error}");
        }
    }

    #[test]
    fn a_certificate_among_the_credentials() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(from_credentials(dir.path(), Duration::ZERO), None);
        std::fs::write(dir.path().join("tls-certificate"), "").unwrap();
        std::fs::write(dir.path().join("tls-key"), "").unwrap();
        assert_eq!(from_credentials(dir.path(), Duration::ZERO).unwrap().key, dir.path().join("tls-key"));
    }
}
