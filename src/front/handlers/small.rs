//! Bodies that are read whole before anything is done: forms and JSON, and what is wrong with that.

use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::super::answer::{ApiError, ErrorCode};
use crate::proxy::BoxError;

/// All of `body`, of `most` bytes at most, when it comes within `patience`. One that is announced as larger is not even asked for.
///
/// # Errors
/// When it is larger, takes longer or breaks off.
pub(super) async fn read<B>(body: B, most: usize, patience: Duration) -> Result<Bytes, ApiError>
where
    B: Body<Data: Send, Error: Into<BoxError>> + Send,
{
    let too_large = || ApiError::new(ErrorCode::TooLarge, format!("at most {most} bytes at a time"));
    if body.size_hint().lower() > most as u64 {
        return Err(too_large());
    }
    let read = tokio::time::timeout(patience, Limited::new(body, most).collect()).await;
    match read.map_err(|_| ApiError::new(ErrorCode::BadRequest, "the request's body took too long"))? {
        Ok(body) => Ok(body.to_bytes()),
        Err(e) if e.is::<LengthLimitError>() => Err(too_large()),
        Err(e) => Err(ApiError::new(ErrorCode::BadRequest, format!("the request's body broke off: {e}"))),
    }
}

/// What is wrong with somebody's JSON, without the place in it.
pub(super) fn wrong_json(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_has_no_place() {
        let error = serde_json::from_str::<Vec<u8>>("[1, ").unwrap_err();
        assert_eq!(wrong_json(&error), "EOF while parsing a value");
    }
}
