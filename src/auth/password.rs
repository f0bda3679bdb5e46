//! Argon2: from a password to a hash that can be kept, and back to a yes or no. Slow on purpose: not for async threads.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};

use super::error::AuthError;
use crate::model::Password;

/// Memory of one hash, in KiB. OWASP's cheat sheet on password storage asks for at least 19 MiB with two passes; one more pass and
/// half as much memory again still takes well under a tenth of a second.
const MEMORY: u32 = 32 << 10;

/// Passes over that memory.
const PASSES: u32 = 3;

/// Lanes. More only help whoever has idle cores at the time.
const LANES: u32 = 1;

/// What a configured hash may ask for: a gibibyte and a hundred passes would take minutes.
const MOST_MEMORY: u32 = 1 << 20;
const MOST_PASSES: u32 = 100;

/// A checked argon2 hash as a PHC string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hash(String);

impl Hash {
    /// Takes a PHC string of any argon2: other programs' defaults differ, and it will be replaced by one of ours in time.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let hash = PasswordHash::new(text).map_err(|_| "it is not a PHC string")?;
        if !matches!(hash.algorithm.as_str(), "argon2id" | "argon2i" | "argon2d") {
            return Err("it is not of argon2");
        }
        if hash.salt.is_none() || hash.hash.is_none() {
            return Err("its salt or its hash is missing");
        }
        let params = Params::try_from(&hash).map_err(|_| "its parameters are none of argon2")?;
        if params.m_cost() > MOST_MEMORY || params.t_cost() > MOST_PASSES {
            return Err("it asks for too much memory or too many passes");
        }
        Ok(Self(text.to_owned()))
    }

    /// Hashes `password` with today's parameters and a new salt.
    pub(super) fn of(password: &Password) -> Result<Self, AuthError> {
        let failed = |e: &dyn std::fmt::Display| AuthError::Hashing(e.to_string());
        let hash: PasswordHash = ours().and_then(|argon2| argon2.hash_password(password.as_bytes()).map_err(|e| failed(&e)))?;
        Ok(Self(hash.to_string()))
    }

    /// Whether `password` is the one. The comparison takes the same time wherever they differ.
    pub(super) fn admits(&self, password: &Password) -> bool {
        Argon2::default().verify_password(password.as_bytes(), self.0.as_str()).is_ok()
    }

    /// Whether it was made in a weaker or simply in another way than we would today.
    pub(super) fn is_outdated(&self) -> bool {
        let Ok(hash) = PasswordHash::new(&self.0) else { return true };
        let Ok(params) = Params::try_from(&hash) else { return true };
        hash.algorithm.as_str() != "argon2id"
            || hash.version != Some(Version::V0x13.into())
            || (params.m_cost(), params.t_cost(), params.p_cost()) != (MEMORY, PASSES, LANES)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

fn ours() -> Result<Argon2<'static>, AuthError> {
    let params = Params::new(MEMORY, PASSES, LANES, None).map_err(|e| AuthError::Hashing(e.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// The hash of `password` for a configuration. Takes a tenth of a second of processor time.
///
/// # Errors
/// When the system gives no randomness for the salt.
pub fn hash_password(password: &Password) -> Result<String, AuthError> {
    Hash::of(password).map(|hash| hash.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::new(text).unwrap()
    }

    #[test]
    fn a_hash_admits_its_password_only() {
        let hash = Hash::of(&password("correct horse")).unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=32768,t=3,p=1$"), "{}", hash.as_str());
        assert!(hash.admits(&password("correct horse")) && !hash.is_outdated());
        for wrong in ["correct hors", "correct horse ", "Correct horse", hash.as_str()] {
            assert!(!hash.admits(&password(wrong)), "{wrong}");
        }
        assert_ne!(Hash::of(&password("correct horse")).unwrap(), hash, "a salt of its own");
    }

    #[test]
    fn other_peoples_hashes_are_read_and_seen_to_be_old() {
        // `echo -n password | argon2 somesalt -t 2 -m 16 -p 4 -l 24`, from the reference implementation's README.
        let reference = "$argon2i$v=19$m=65536,t=2,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub+b+dWRWJTmaaJObG";
        let hash = Hash::parse(reference).unwrap();
        assert!(hash.admits(&password("password")) && !hash.admits(&password("passwort")) && hash.is_outdated());
    }

    #[test]
    fn what_is_no_hash() {
        for text in [
            "",
            "password",
            "$argon2id$",
            "$argon2id$v=19$m=65536,t=2,p=4$c29tZXNhbHQ",
            "$argon2id$v=19$m=4000000000,t=2,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub+b+dWRWJTmaaJObG",
            "$argon2id$v=19$m=65536,t=1000,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub+b+dWRWJTmaaJObG",
            "$2b$12$KIXp8e4xq7c6G0Qm8Jq7Uu9pQ1q0v0n8r1m1eS5b5u1w6n7jY1ZxW",
            "$pbkdf2-sha256$i=1000,l=32$c29tZXNhbHQ$RdescudvJCsgt3ub+b+dWRWJTmaaJObG",
        ] {
            assert!(Hash::parse(text).is_err(), "{text}");
        }
    }
}
