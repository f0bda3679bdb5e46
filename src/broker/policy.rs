//! Who may ask, and what is a request. Pure.

use super::error::BrokerError;
use crate::proto::BrokerRequest;

/// The request in `packet`, when `peer` may make one: only the front's user and root may.
pub(super) fn admit(peer: u32, front: Option<u32>, packet: &[u8]) -> Result<BrokerRequest, BrokerError> {
    if peer != 0 && Some(peer) != front {
        return Err(BrokerError::Stranger(peer));
    }
    serde_json::from_slice(packet).map_err(|e| BrokerError::Malformed(e.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_the_front_and_root_ask() {
        let packet = br#"{"verb":"start","id":"acme"}"#;
        assert!(admit(990, Some(990), packet).is_ok());
        assert!(admit(0, Some(990), packet).is_ok());
        for (peer, front) in [(991, Some(990)), (2_000_300_000, Some(990)), (990, None)] {
            assert!(matches!(admit(peer, front, packet), Err(BrokerError::Stranger(_))));
        }
        assert!(matches!(admit(990, Some(990), b"{}"), Err(BrokerError::Malformed(_))));
        assert!(matches!(admit(990, Some(990), &[0xff, 0xfe]), Err(BrokerError::Malformed(_))));
    }
}
