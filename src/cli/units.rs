//! Figures as people say them.

/// Bytes, with the unit that leaves three or four digits.
pub(super) fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    match bytes / MIB {
        0 => format!("{}K", bytes >> 10),
        mib @ 1..10_240 => format!("{mib}M"),
        mib => format!("{}G", mib >> 10),
    }
}

/// Seconds: the two largest units.
pub(super) fn time(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}min {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// How long before `now` the moment `text` (RFC 3339) was; a moment ago is now.
pub(super) fn ago(text: &str, now: jiff::Timestamp) -> Option<String> {
    let then: jiff::Timestamp = text.parse().ok()?;
    let seconds = now.as_second().saturating_sub(then.as_second()).max(0).unsigned_abs();
    Some(if seconds < 5 { "now".to_owned() } else { format!("{} ago", time(seconds)) })
}

/// How long after `now` the moment `text` (RFC 3339) is; one that has come is soon.
pub(super) fn ahead(text: &str, now: jiff::Timestamp) -> Option<String> {
    let then: jiff::Timestamp = text.parse().ok()?;
    let seconds = u64::try_from(then.as_second().saturating_sub(now.as_second())).unwrap_or(0);
    Some(if seconds < 60 { "soon".to_owned() } else { format!("in {}", time(seconds)) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let all = [0, 59, 60, 3599, 3600, 86_399, 86_400, 200_000].map(time);
        assert_eq!(all, ["0s", "59s", "1min 0s", "59min 59s", "1h 0min", "23h 59min", "1d 0h", "2d 7h"]);
    }

    #[test]
    fn sizes() {
        assert_eq!([0, 5 << 10, 45 << 20, 20 << 30].map(size), ["0K", "5K", "45M", "20G"]);
    }

    #[test]
    fn moments() {
        let now = "2026-01-15T10:30:00Z".parse().unwrap();
        let ago = |text| ago(text, now);
        assert_eq!(ago("2026-01-15T10:29:58Z").as_deref(), Some("now"));
        assert_eq!(ago("2026-01-13T10:30:00Z").as_deref(), Some("2d 0h ago"));
        assert_eq!(ago("2027-01-13T10:30:00Z").as_deref(), Some("now"), "a clock that was set back");
        assert_eq!(ago("-"), None);
        let ahead = |text| super::ahead(text, now);
        assert_eq!(ahead("2026-01-18T10:30:00Z").as_deref(), Some("in 3d 0h"));
        assert_eq!((ahead("2026-01-15T10:30:01Z").as_deref(), ahead("2025-01-15T10:30:00Z").as_deref()), (Some("soon"), Some("soon")));
        assert_eq!(ahead("-"), None);
    }
}
