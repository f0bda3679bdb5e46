//! Bodies that are read whole before anything is done: forms and JSON.

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
