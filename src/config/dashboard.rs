//! The operator's page on a listener of its own: what `[dashboard]` says. On the control socket it needs none of this.

use std::collections::BTreeMap;
use std::time::Duration;

use super::checked::ListenAddress;
use super::error::ConfigError;
use super::load::listen_address;
use super::login::{Login, from_source, session};
use super::raw;

/// How long an operator's session lasts when nothing else is said: a working day. It is not renewed.
const SESSION: Duration = Duration::from_secs(12 * 3600);

/// The checked `[dashboard]`, its password read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dashboard {
    /// Where the page is shown besides the control socket: [`ListenAddress::Tls`], or [`ListenAddress::Tcp`] on loopback.
    pub listen: Option<ListenAddress>,
    /// The operator's login; none when no password is set, and then nothing listens.
    pub login: Option<Login>,
    /// How long a session lasts, also where there is no password yet.
    pub session: Duration,
}

/// Checks `[dashboard]`; `tls` says whether there is a certificate.
pub(super) fn check(raw: raw::Dashboard, tls: bool) -> Result<Dashboard, ConfigError> {
    let failed = |e: ConfigError| e.of("dashboard");
    let session = session(raw.session.as_deref(), SESSION).map_err(failed)?;
    let source = raw::Source {
        hashed_password: raw.hashed_password,
        hashed_password_file: raw.hashed_password_file,
        password_file: raw.password_file,
    };
    let password = from_source(source).map_err(failed)?;
    let login = password.map(|password| Login { required: true, service: Some(password), instances: BTreeMap::new(), session });
    let listen = raw.listen.as_deref().map(|text| address(text, tls)).transpose()?;
    if listen.is_some() && login.is_none() {
        return Err(ConfigError::value("dashboard.listen", NO_PASSWORD));
    }
    Ok(Dashboard { listen, login, session })
}

/// What a listener without a password is told.
pub(crate) const NO_PASSWORD: &str = "the operator's page needs a password of its own: [dashboard] hashed_password ('hoody-code password' \
                                      makes one), hashed_password_file or password_file";

/// What one is told to which passwords would travel as they are.
pub(crate) const PLAIN: &str = "plain HTTP is for loopback addresses: use https:// with [tls], or an address such as 127.0.0.1:9465";

fn address(text: &str, tls: bool) -> Result<ListenAddress, ConfigError> {
    match listen_address(text).map_err(|e| e.of("dashboard.listen"))? {
        ListenAddress::Tcp(address) if !address.ip().is_loopback() => {
            Err(ConfigError::value("dashboard.listen", format!("{address}: {PLAIN}")))
        }
        ListenAddress::Tls(_) if !tls => Err(ConfigError::value("dashboard.listen", "https:// needs [tls] certificate and key")),
        address @ (ListenAddress::Tcp(_) | ListenAddress::Tls(_)) => Ok(address),
        ListenAddress::Redirect(_) | ListenAddress::Unix(_) => {
            Err(ConfigError::value("dashboard.listen", "is ADDR:PORT on loopback, such as 127.0.0.1:9465, or https://ADDR:PORT"))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HASH: &str = "$argon2id$v=19$m=32768,t=3,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA";

    fn of(toml: &str, tls: bool) -> Result<Dashboard, String> {
        check(toml::from_str(toml).unwrap(), tls).map_err(|e| e.to_string())
    }

    #[test]
    fn no_listener_without_a_password_or_in_the_clear() {
        let with = |listen: &str| format!("listen = '{listen}'\nhashed_password = '{HASH}'\n");
        assert_eq!(of("", false), Ok(Dashboard { listen: None, login: None, session: SESSION }));
        for listen in ["127.0.0.1:9465", "localhost:9465", "[::1]:9465", "http://127.0.0.2:1"] {
            assert!(matches!(of(&with(listen), false).unwrap().listen, Some(ListenAddress::Tcp(_))), "{listen}");
        }
        assert!(of(&with("https://0.0.0.0:9465"), true).unwrap().login.unwrap().service.is_some());
        for (toml, tls, said) in [
            ("listen = '127.0.0.1:1'", false, "needs a password of its own"),
            (&*with("0.0.0.0:9465"), true, "plain HTTP is for loopback"),
            (&*with("https://0.0.0.0:9465"), false, "needs [tls]"),
            (&*with("unix:/run/x"), true, "ADDR:PORT on loopback"),
            (&*with("redirect://127.0.0.1:80"), true, "ADDR:PORT on loopback"),
            ("hashed_password = 'secret'", false, "is not an argon2 hash"),
            ("session = '1s'", false, "from one minute"),
        ] {
            let error = of(toml, tls).unwrap_err();
            assert!(error.contains(said) && error.starts_with("dashboard"), "{toml}: {error}");
        }
    }
}
