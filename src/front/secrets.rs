//! What the daemon keeps to itself: the login and the certificate. Read at the start and at each reload.

use super::error::ServeError;
use super::tls::{self, Certificate};
use crate::auth::{Auth, MadePassword};
use crate::config::Config;

/// The login, unless everybody may come in, and the certificate, if there is one.
pub(super) struct Secrets {
    pub(super) auth: Option<Auth>,
    pub(super) certificate: Option<Certificate>,
}

impl Secrets {
    /// Blocks: reads files, hashes passwords.
    pub(super) fn open(config: &Config) -> Result<(Self, Option<MadePassword>), ServeError> {
        let certificate = config.tls.as_ref().map(Certificate::open).transpose()?;
        let (auth, made) = if config.login.required {
            let (auth, made) = Auth::open(config.server.data_dir.join("auth"), &config.login)?;
            (Some(auth), made)
        } else {
            (None, None)
        };
        Ok((Self { auth, certificate }, made))
    }

    /// Takes all of it into force anew, or, when one thing is wrong, nothing.
    pub(super) fn reload(&self, config: &Config) -> Result<(), ServeError> {
        let loaded = match (&self.certificate, &config.tls) {
            (Some(certificate), Some(tls)) => Some((certificate, tls::load(tls)?)),
            _ => None,
        };
        if let Some(auth) = &self.auth
            && config.login.required
            && let Some(made) = auth.reload(&config.login)?
        {
            tracing::warn!("there was no password any more: a new one is in {}", made.path.display());
        }
        if let Some((certificate, new)) = loaded {
            certificate.replace(new);
        }
        Ok(())
    }
}
