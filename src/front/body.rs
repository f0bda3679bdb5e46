//! Bodies of requests that are read whole: how long they may be, and what is wrong with their JSON.

use http::header::{self, HeaderMap};

use super::answer::{ApiError, ErrorCode};

/// Refuses a body that says of itself that it has more than `most` bytes. Before anything of it is read: no client that asks first
/// (`Expect: 100-continue`) is told to send it.
pub(super) fn check_length(headers: &HeaderMap, most: usize) -> Result<(), ApiError> {
    let said = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if said.is_some_and(|length| length > most as u64) {
        return Err(ApiError::new(ErrorCode::TooLarge, format!("at most {most} bytes can be sent here")));
    }
    Ok(())
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
    fn lengths_and_places() {
        let mut headers = HeaderMap::new();
        check_length(&headers, 3).unwrap();
        for (length, fits) in [("3", true), ("4", false), ("18446744073709551615", false)] {
            headers.insert(header::CONTENT_LENGTH, length.parse().unwrap());
            assert_eq!(check_length(&headers, 3).is_ok(), fits, "{length}");
        }
        let error = serde_json::from_str::<Vec<u8>>("[1, ").unwrap_err();
        assert_eq!(wrong_json(&error), "EOF while parsing a value");
    }
}
