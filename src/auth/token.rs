//! The text of a session: who it is for, until when, under which key, and a MAC over all of it. Pure.
//!
//! `1.INSTANCE.EXPIRY.KEYID.ID.MAC`: expiry in seconds since 1970, the rest in hex. A MAC rather than a table of sessions: checking
//! one takes a microsecond and no memory, and a restart forgets none.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::model::InstanceId;

/// A session's own name, the same in all cookies that belong to it.
pub(super) type SessionId = [u8; 16];

/// Names a signing key without saying anything of it.
pub(super) type KeyId = [u8; 8];

/// Seconds since 1970, UTC.
pub(super) type Seconds = u64;

/// What a token is good for. Part of the MAC, not of the text: a token used elsewhere is just a wrong one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience<'a> {
    /// The instance itself.
    Instance,
    /// One other host name of the instance, such as that of a port.
    Host(&'a str),
    /// Nothing but being known as a device that has signed in before.
    Device,
}

/// What the MAC says is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claims {
    pub(super) instance: InstanceId,
    pub(super) expires: Seconds,
    pub(super) id: SessionId,
}

/// Signs the tokens of one instance under one password.
#[derive(Clone)]
pub(super) struct Signer {
    mac: Hmac<Sha256>,
    key_id: KeyId,
}

impl Signer {
    /// The signer for `instance`, derived from the daemon's `secret` and whatever shall end all sessions when it changes.
    pub(super) fn new(secret: &[u8; 32], instance: &InstanceId, bound_to: &[&[u8]]) -> Self {
        let mut derive = keyed(secret);
        for part in [&b"hoody-code session key 1"[..], instance.as_str().as_bytes()].iter().chain(bound_to) {
            // With their lengths, no two lists of parts are the same bytes.
            derive.update(&(part.len() as u64).to_be_bytes());
            derive.update(part);
        }
        let mac = keyed(&derive.finalize().into_bytes().into());
        let name = mac.clone().chain_update(b"name").finalize().into_bytes();
        let mut key_id = [0; 8];
        key_id.copy_from_slice(&name[..8]);
        Self { mac, key_id }
    }

    pub(super) fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// The token that says `claims` to `audience`.
    pub(super) fn sign(&self, claims: &Claims, audience: Audience<'_>) -> String {
        let Claims { instance, expires, id } = claims;
        let text = format!("1.{instance}.{expires}.{}.{}", hex::encode(self.key_id), hex::encode(id));
        let mac = self.over(&text, audience).finalize().into_bytes();
        format!("{text}.{}", hex::encode(mac))
    }

    /// What `token` says to `audience`, if we signed it under this key. Its expiry is for the caller to look at.
    pub(super) fn read(&self, token: &str, audience: Audience<'_>) -> Option<Claims> {
        let (text, mac) = token.rsplit_once('.')?;
        // Upper case would be a second text with the same meaning.
        if mac.len() != 64 || mac.bytes().any(|b| b.is_ascii_uppercase()) {
            return None;
        }
        // Compares in constant time.
        self.over(text, audience).verify_slice(&hex::decode(mac).ok()?).ok()?;
        let mut parts = text.split('.');
        let (version, instance, expires) = (parts.next()?, parts.next()?, parts.next()?);
        let (_, id) = (parts.next()?, parts.next()?);
        if version != "1" || parts.next().is_some() {
            return None;
        }
        Some(Claims { instance: instance.parse().ok()?, expires: expires.parse().ok()?, id: hex::decode(id).ok()?.try_into().ok()? })
    }

    fn over(&self, text: &str, audience: Audience<'_>) -> Hmac<Sha256> {
        let (kind, name): (&[u8], &str) = match audience {
            Audience::Instance => (b"instance\0", ""),
            Audience::Host(name) => (b"host\0", name),
            Audience::Device => (b"device\0", ""),
        };
        self.mac.clone().chain_update(kind).chain_update(name).chain_update(b"\0").chain_update(text)
    }
}

/// HMAC-SHA256 under `secret`.
pub(super) fn keyed(secret: &[u8; 32]) -> Hmac<Sha256> {
    // Padded to the block as HMAC does itself (RFC 2104): a key of the type's own length cannot be refused.
    let mut key = hmac::digest::Key::<Hmac<Sha256>>::default();
    key[..32].copy_from_slice(secret);
    <Hmac<Sha256> as KeyInit>::new(&key)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn alice() -> InstanceId {
        "alice".parse().unwrap()
    }

    fn signer(instance: &InstanceId, epoch: &[u8]) -> Signer {
        Signer::new(&[7; 32], instance, &[epoch])
    }

    fn claims() -> Claims {
        Claims { instance: alice(), expires: 2_000_000_000, id: [3; 16] }
    }

    #[test]
    fn what_was_signed_is_read() {
        let signer = signer(&alice(), b"e");
        for audience in [Audience::Instance, Audience::Host("3000--a.example"), Audience::Device] {
            let token = signer.sign(&claims(), audience);
            assert!(token.len() < 200 && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-'), "{token}");
            assert_eq!(signer.read(&token, audience), Some(claims()));
        }
    }

    #[test]
    fn nothing_else_is() {
        let good = signer(&alice(), b"e");
        let token = good.sign(&claims(), Audience::Instance);
        for audience in [Audience::Device, Audience::Host("a"), Audience::Host("")] {
            assert_eq!(good.read(&token, audience), None, "another audience");
        }
        assert_eq!(signer(&"bob".parse().unwrap(), b"e").read(&token, Audience::Instance), None, "another instance");
        assert_eq!(signer(&alice(), b"f").read(&token, Audience::Instance), None, "another password");
        assert_eq!(Signer::new(&[8; 32], &alice(), &[b"e"]).read(&token, Audience::Instance), None, "another secret");
        assert_eq!(Signer::new(&[7; 32], &alice(), &[b"", b"e"]).read(&token, Audience::Instance), None, "other parts");
        for at in 0..token.len() {
            for bit in 0..7 {
                let mut bytes = token.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let Ok(flipped) = String::from_utf8(bytes) else { continue };
                assert_eq!(good.read(&flipped, Audience::Instance), None, "{flipped}");
            }
            assert_eq!(good.read(&token[..at], Audience::Instance), None);
        }
        for text in ["", ".", "1.alice.1.a.b", "a.b.c.d.e.f.g", &token.to_uppercase(), &format!("{token}0"), &format!("{token}.")] {
            assert_eq!(good.read(text, Audience::Instance), None, "{text}");
        }
    }

    #[test]
    fn checking_takes_microseconds() {
        let (id, secret) = (alice(), [7; 32]);
        let token = signer(&id, b"e").sign(&claims(), Audience::Instance);
        let round = |_| {
            let began = std::time::Instant::now();
            for _ in 0..50 {
                assert!(Signer::new(&secret, &id, &[b"e"]).read(&token, Audience::Instance).is_some());
            }
            began.elapsed()
        };
        // A hundred times what it takes, for builds without optimisation; the best of many, for busy machines.
        let best = (0..20).map(round).min().unwrap();
        assert!(best < std::time::Duration::from_millis(50), "{best:?}");
    }
}
