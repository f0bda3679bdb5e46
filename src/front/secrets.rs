//! What the daemon keeps to itself: the logins and the certificate. Read at the start and at each reload.

use super::app::Realm;
use super::error::ServeError;
use super::tls::{self, Certificate};
use crate::auth::{Auth, MadePassword};
use crate::config::{Config, ConfigError};

/// The directory of the operator's login, in that of the instances' login: a key of its own, so that no session of one opens the other.
const OPERATOR: &str = "operator";

/// What a reload is told that finds the operator's password gone.
const GONE: &str = "its password is gone, and its page is there: restart the service to have neither";

/// The logins and the certificate, as far as there are any.
pub(super) struct Secrets {
    /// That of instances, unless everybody may come in.
    pub(super) auth: Option<Auth>,
    /// That of the operator's page on its own listener, if a password is set for it.
    pub(super) operator: Option<Auth>,
    pub(super) certificate: Option<Certificate>,
}

impl Secrets {
    /// Blocks: reads files, hashes passwords.
    pub(super) fn open(config: &Config) -> Result<(Self, Option<MadePassword>), ServeError> {
        let certificate = config.tls.as_ref().map(Certificate::open).transpose()?;
        let dir = config.server.data_dir.join("auth");
        let operator = config.dashboard.login.as_ref().map(|login| Auth::open(dir.join(OPERATOR), login)).transpose()?;
        let operator = operator.map(|(auth, _)| auth);
        let (auth, made) = if config.login.required {
            let (auth, made) = Auth::open(dir, &config.login)?;
            (Some(auth), made)
        } else {
            (None, None)
        };
        Ok((Self { auth, operator, certificate }, made))
    }

    /// The login to `realm`, if there is one.
    pub(super) fn of(&self, realm: Realm) -> Option<&Auth> {
        match realm {
            Realm::Instance => self.auth.as_ref(),
            Realm::Operator => self.operator.as_ref(),
        }
    }

    /// Takes all of it into force anew, or, when one thing is wrong, nothing.
    pub(super) fn reload(&self, config: &Config) -> Result<(), ServeError> {
        let loaded = match (&self.certificate, &config.tls) {
            (Some(certificate), Some(tls)) => Some((certificate, tls::load(tls)?)),
            _ => None,
        };
        let operator = match (&self.operator, &config.dashboard.login) {
            (Some(auth), Some(login)) => Some(auth.prepare(login)?),
            // Its listener goes on, and must not go on with a password that is gone.
            (Some(_), None) => return Err(ConfigError::Value { key: "dashboard", message: GONE.to_owned() }.into()),
            (None, _) => None,
        };
        let instances = match &self.auth {
            Some(auth) if config.login.required => Some(auth.prepare(&config.login)?),
            _ => None,
        };
        if let Some(made) = instances.and_then(crate::auth::Prepared::apply) {
            tracing::warn!("there was no password any more: a new one is in {}", made.path.display());
        }
        if let Some(operator) = operator {
            operator.apply();
        }
        if let Some((certificate, new)) = loaded {
            certificate.replace(new);
        }
        Ok(())
    }
}
