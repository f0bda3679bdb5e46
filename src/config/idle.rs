//! `[instances]`: when one that nobody uses is stopped and when it is removed, and when the host counts as short of memory.

use std::time::Duration;

use super::error::ConfigError;
use super::load::duration;
use super::raw;

/// How long nobody has to use an instance before it is stopped, when the file does not say.
const STOP_AFTER: Duration = Duration::from_secs(600);

/// The shortest such time: a page that is being loaded holds nothing between two of its requests.
const SHORTEST: Duration = Duration::from_secs(1);

/// The shortest time after which one is removed: less than people stay away over night is a mistake.
const SHORTEST_STAY: Duration = Duration::from_secs(24 * 3600);

/// The share of the last ten seconds, in percent, in which something has waited for memory.
const PRESSURE: u8 = 40;

/// When instances are stopped unasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idle {
    /// How long nobody has to use one of which nothing runs; none means that none is ever stopped unasked.
    pub stop_after: Option<Duration>,
    /// How long nobody has to be at an open tab before it gives the instance up; none means that an open tab is somebody.
    pub idle_tabs: Option<Duration>,
    /// How long nobody has to use one before it is removed from the list, with its files kept; none means that none ever is.
    pub remove_after: Option<Duration>,
    /// From this share of waiting on (percent), the host is short of memory; none means that nobody looks.
    pub memory_pressure: Option<u8>,
}

/// A time after which something happens, or `never`; none when nothing is said.
fn time(key: &'static str, text: Option<&str>, shortest: Duration, too_short: &str) -> Result<Option<Option<Duration>>, ConfigError> {
    let time = match text.map(str::trim) {
        None => return Ok(None),
        Some("0" | "never") => None,
        text => Some(duration(key, text, Duration::ZERO)?).filter(|time| !time.is_zero()),
    };
    if time.is_some_and(|time| time < shortest) { Err(ConfigError::value(key, too_short)) } else { Ok(Some(time)) }
}

/// `stop_after`, of all instances or of a class.
pub(super) fn stop_after(text: Option<&str>) -> Result<Option<Option<Duration>>, ConfigError> {
    time("stop_after", text, SHORTEST, "less than a second would stop an editor that is being opened; 'never' turns it off")
}

/// `idle_tabs`, of all instances or of a class.
pub(super) fn idle_tabs(text: Option<&str>) -> Result<Option<Option<Duration>>, ConfigError> {
    time("idle_tabs", text, SHORTEST, "less than a second would take the editor from whoever is at it")
}

pub(super) fn check(raw: &raw::Instances) -> Result<Idle, ConfigError> {
    let stop_after = stop_after(raw.stop_after.as_deref())?.unwrap_or(Some(STOP_AFTER));
    let idle_tabs = idle_tabs(raw.idle_tabs.as_deref())?.flatten();
    let too_short = "less than a day ('1d') would remove what people come back to tomorrow";
    let remove_after = time("remove_after", raw.remove_after.as_deref(), SHORTEST_STAY, too_short)?.flatten();
    let memory_pressure = match raw.memory_pressure.as_deref().map(str::trim) {
        None => Some(PRESSURE),
        Some("off") => None,
        Some(text) => {
            let percent =
                text.strip_suffix('%').and_then(|number| number.trim().parse().ok()).filter(|percent| (1..=100).contains(percent));
            let wrong = || ConfigError::value("memory_pressure", format!("'{text}' is neither a share such as '40%' nor 'off'"));
            Some(percent.ok_or_else(wrong)?)
        }
    };
    Ok(Idle { stop_after, idle_tabs, remove_after, memory_pressure })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn checked(stop_after: Option<&str>, memory_pressure: Option<&str>) -> Result<Idle, ConfigError> {
        let own = |text: Option<&str>| text.map(str::to_owned);
        check(&raw::Instances { stop_after: own(stop_after), memory_pressure: own(memory_pressure), ..raw::Instances::default() })
    }

    #[test]
    fn times_shares_and_neither() {
        let idle = checked(None, None).unwrap();
        assert_eq!(
            idle,
            Idle { stop_after: Some(Duration::from_secs(600)), idle_tabs: None, remove_after: None, memory_pressure: Some(40) }
        );
        for off in ["0", "never", "0s"] {
            assert_eq!(checked(Some(off), None).unwrap().stop_after, None, "{off}");
        }
        let idle = checked(Some("2s"), Some("5 %")).unwrap();
        assert_eq!((idle.stop_after, idle.memory_pressure), (Some(Duration::from_secs(2)), Some(5)));
        let tabs = |text: &str| {
            check(&raw::Instances { idle_tabs: Some(text.to_owned()), ..raw::Instances::default() }).map(|idle| idle.idle_tabs)
        };
        assert_eq!(tabs("1h").unwrap(), Some(Duration::from_secs(3600)));
        assert_eq!(tabs("never").unwrap(), None);
        assert!(tabs("5ms").is_err() && tabs("1").is_err());
        let stay = |text: &str| {
            check(&raw::Instances { remove_after: Some(text.to_owned()), ..raw::Instances::default() }).map(|idle| idle.remove_after)
        };
        assert_eq!(stay("90d").unwrap(), Some(Duration::from_secs(90 * 24 * 3600)));
        assert_eq!((stay("never").unwrap(), stay("0").unwrap()), (None, None));
        assert!(stay("23h").is_err() && stay("90").is_err() && stay("long").is_err());
        assert_eq!(checked(None, Some("off")).unwrap().memory_pressure, None);
        for (stop_after, memory_pressure) in
            [(Some("soon"), None), (Some("10ms"), None), (None, Some("40")), (None, Some("0%")), (None, Some("101%"))]
        {
            assert!(checked(stop_after, memory_pressure).is_err(), "{stop_after:?} {memory_pressure:?}");
        }
    }
}
