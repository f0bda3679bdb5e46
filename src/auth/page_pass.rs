//! A pass that the editor's page gets when it is opened, and that nobody else on its origin can read.
//!
//! An app on `/proxy/PORT/` shares the editor's origin, and with it cookies and everything that a browser decides by origin. What
//! still tells the two apart is that a script cannot read a page it did not open: the pass stands in the answer to a navigation,
//! and comes back in a header with the requests that matter.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::token::keyed;

/// How long a pass is good, in seconds: as long as somebody leaves a tab open on a tablet.
const LIFETIME: u64 = 30 * 24 * 60 * 60;

/// Makes and judges the passes of one instance.
pub struct PagePasses {
    key: Hmac<Sha256>,
}

impl PagePasses {
    /// Derives its key from a secret of the instance, so that pages outlive a restart of the daemon.
    pub fn new(secret: &[u8; 32]) -> Self {
        let derived = keyed(secret).chain_update(b"page pass").finalize().into_bytes();
        Self { key: keyed(&derived.into()) }
    }

    /// A pass that was made at `now` (seconds of any clock that goes on over restarts).
    pub fn issue(&self, now: u64) -> String {
        let until = format!("{:x}", now.saturating_add(LIFETIME));
        let seal = hex::encode(self.key.clone().chain_update(&until).finalize().into_bytes());
        format!("{until}.{seal}")
    }

    /// Whether `pass` is one of ours and still good.
    pub fn admits(&self, pass: &str, now: u64) -> bool {
        let Some((until, seal)) = pass.split_once('.') else { return false };
        // Lower case alone is what we write.
        let seal = hex::decode(seal).ok().filter(|bytes| hex::encode(bytes) == seal);
        let sealed = seal.is_some_and(|seal| self.key.clone().chain_update(until).verify_slice(&seal).is_ok());
        sealed && u64::from_str_radix(until, 16).is_ok_and(|until| until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_for_one_instance_and_a_while() {
        let (alice, bob) = (PagePasses::new(&[1; 32]), PagePasses::new(&[2; 32]));
        let pass = alice.issue(1000);
        assert!(alice.admits(&pass, 1000) && alice.admits(&pass, 999 + LIFETIME));
        assert!(!alice.admits(&pass, 1000 + LIFETIME) && !bob.admits(&pass, 1000));
        let (until, seal) = pass.split_once('.').unwrap_or_default();
        for bad in ["", ".", seal, &format!("f{until}.{seal}"), &format!("{until}.{}", &seal[1..]), &format!("+{until}.{seal}")] {
            assert!(!alice.admits(bad, 1000), "{bad}");
        }
    }
}
