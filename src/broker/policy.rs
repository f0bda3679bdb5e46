//! Who may ask, what is a request, and whose an instance is. Pure.

use std::fmt;

use super::error::BrokerError;
use crate::proto::BrokerRequest;

/// The user of the host's main service; those of others have `-NAME` behind it.
pub(super) const FRONT: &str = "hoody-code";

/// One of the host's services: a front with its own configuration. None is the main one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service(pub(super) Option<String>);

impl fmt::Display for Service {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => to.write_str("the main service"),
            Some(name) => write!(to, "the service '{name}'"),
        }
    }
}

impl Service {
    /// The name of the user that it runs as.
    pub(super) fn user(&self) -> String {
        self.0.as_ref().map_or_else(|| FRONT.to_owned(), |name| format!("{FRONT}-{name}"))
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// root: for all instances.
    Root,
    /// A front: for those of its service.
    Front(Service),
}

impl Asker {
    /// Whether it may ask about an instance of `owner`.
    pub(super) fn may(&self, owner: &Service) -> bool {
        match self {
            Self::Root => true,
            Self::Front(own) => own == owner,
        }
    }
}

/// Who `peer` is: root, or the user of one of `fronts`.
pub(super) fn asker(peer: u32, fronts: impl IntoIterator<Item = (Service, Option<u32>)>) -> Result<Asker, BrokerError> {
    if peer == 0 {
        return Ok(Asker::Root);
    }
    let front = fronts.into_iter().find(|(_, uid)| *uid == Some(peer));
    front.map(|(service, _)| Asker::Front(service)).ok_or(BrokerError::Stranger(peer))
}

/// Whether what `request` does to an instance's files or its place on the host cannot be taken back.
pub(super) fn takes_away(request: &BrokerRequest) -> bool {
    matches!(request, BrokerRequest::Remove { .. } | BrokerRequest::Purge { .. } | BrokerRequest::Disk { .. })
}

/// The request in `packet`.
pub(super) fn parse(packet: &[u8]) -> Result<BrokerRequest, BrokerError> {
    serde_json::from_slice(packet).map_err(|e| BrokerError::Malformed(e.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_fronts_and_root_ask() {
        let (main, lab) = (Service(None), Service(Some("lab".to_owned())));
        let fronts = || [(main.clone(), Some(990)), (lab.clone(), Some(991)), (Service(Some("gone".to_owned())), None)];
        assert_eq!(asker(0, fronts()).unwrap(), Asker::Root);
        assert_eq!(asker(990, fronts()).unwrap(), Asker::Front(main.clone()));
        assert_eq!(asker(991, fronts()).unwrap(), Asker::Front(lab.clone()));
        for peer in [992, 2_000_300_000] {
            assert!(matches!(asker(peer, fronts()), Err(BrokerError::Stranger(_))));
        }
        assert!(matches!(asker(990, [(main.clone(), None)]), Err(BrokerError::Stranger(_))));
        assert_eq!((main.user().as_str(), lab.user().as_str()), ("hoody-code", "hoody-code-lab"));
    }

    #[test]
    fn each_for_its_own() {
        let (main, lab) = (Service(None), Service(Some("lab".to_owned())));
        assert!(Asker::Root.may(&main) && Asker::Root.may(&lab));
        assert!(Asker::Front(main.clone()).may(&main) && !Asker::Front(main.clone()).may(&lab));
        assert!(Asker::Front(lab.clone()).may(&lab) && !Asker::Front(lab).may(&main));
    }

    #[test]
    fn what_is_no_request() {
        assert!(parse(br#"{"verb":"start","id":"acme"}"#).is_ok());
        assert!(matches!(parse(b"{}"), Err(BrokerError::Malformed(_))));
        assert!(matches!(parse(&[0xff, 0xfe]), Err(BrokerError::Malformed(_))));
    }
}
