//! A pass that the editor's page gets when it is opened, and that nobody else on its origin can read.
//!
//! An app on `/proxy/PORT/` shares the editor's origin, and with it cookies and everything that a browser decides by origin. What
//! still tells the two apart is that a script cannot read a page it did not open: the pass stands in the answer to a navigation,
//! and comes back in a header with the requests that matter.

use sha2::{Digest, Sha256};

/// How long a pass is good, in seconds: as long as somebody leaves a tab open on a tablet.
const LIFETIME: u64 = 30 * 24 * 60 * 60;

/// Makes and judges the passes of one instance.
pub struct PagePasses {
    key: [u8; 32],
}

impl PagePasses {
    /// Derives its key from a secret of the instance, so that pages outlive a restart of the daemon.
    pub fn new(secret: &[u8]) -> Self {
        Self { key: hmac(secret, b"page pass") }
    }

    /// A pass that was made at `now` (seconds of any clock that goes on over restarts).
    pub fn issue(&self, now: u64) -> String {
        let until = format!("{:x}", now.saturating_add(LIFETIME));
        let seal = hex::encode(hmac(&self.key, until.as_bytes()));
        format!("{until}.{seal}")
    }

    /// Whether `pass` is one of ours and still good.
    pub fn admits(&self, pass: &str, now: u64) -> bool {
        let Some((until, seal)) = pass.split_once('.') else { return false };
        let expected = hex::encode(hmac(&self.key, until.as_bytes()));
        // In constant time, so that nobody finds it byte by byte.
        let differs = seal.len() != expected.len() || seal.bytes().zip(expected.bytes()).fold(0, |all, (a, b)| all | (a ^ b)) != 0;
        !differs && u64::from_str_radix(until, 16).is_ok_and(|until| until > now)
    }
}

/// HMAC-SHA256 (RFC 2104) for keys of at most one block.
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let pad = |byte: u8| {
        let mut block = [byte; 64];
        block.iter_mut().zip(key).for_each(|(b, k)| *b ^= k);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answer() {
        // RFC 4231, test case 2.
        let mac = hex::encode(hmac(b"Jefe", b"what do ya want for nothing?"));
        assert_eq!(mac, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn good_for_one_instance_and_a_while() {
        let (alice, bob) = (PagePasses::new(b"alice"), PagePasses::new(b"bob"));
        let pass = alice.issue(1000);
        assert!(alice.admits(&pass, 1000) && alice.admits(&pass, 999 + LIFETIME));
        assert!(!alice.admits(&pass, 1000 + LIFETIME) && !bob.admits(&pass, 1000));
        let (until, seal) = pass.split_once('.').unwrap_or_default();
        for bad in ["", ".", seal, &format!("f{until}.{seal}"), &format!("{until}.{}", &seal[1..]), &format!("+{until}.{seal}")] {
            assert!(!alice.admits(bad, 1000), "{bad}");
        }
    }
}
