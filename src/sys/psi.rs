//! How much on this host waits for what is short: pressure stall information (Documentation/accounting/psi.rst).

use std::fs;
use std::path::Path;

/// What can be short.
pub const PRESSURES: [&str; 3] = ["cpu", "memory", "io"];

/// Where it is written: at the root of the control groups first, because `/proc` may show us nothing but processes.
const PLACES: [(&str, &str); 2] = [("/sys/fs/cgroup", ".pressure"), ("/proc/pressure", "")];

/// How much has waited for one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure {
    /// The share of the last ten seconds in which something has waited, 0 to 1.
    pub some: f64,
    /// The same for all of the host's work at once.
    pub full: f64,
    /// Seconds in which something has waited, since the host came up.
    pub some_seconds: f64,
    /// The same for all of the host's work at once.
    pub full_seconds: f64,
}

/// The host's pressure on one of [`PRESSURES`]; none when its kernel does not count, or we cannot see it.
pub fn pressure(resource: &str) -> Option<Pressure> {
    let read = |(dir, suffix): &(&str, &str)| fs::read_to_string(Path::new(dir).join(format!("{resource}{suffix}"))).ok();
    PLACES.iter().find_map(read).and_then(|text| parse(&text))
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, in percent and microseconds, and a line `full` after it, where there is one.
fn parse(text: &str) -> Option<Pressure> {
    let line = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        let value = |key: &str| line.split(' ').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('=')?.parse::<f64>().ok());
        Some((value("avg10")? / 100.0, value("total")? / 1e6))
    };
    let (some, some_seconds) = line("some")?;
    let (full, full_seconds) = line("full").unwrap_or_default();
    Some(Pressure { some, full, some_seconds, full_seconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_totals() {
        let text = "some avg10=12.50 avg60=1.00 avg300=0.00 total=2500000\nfull avg10=1.00 avg60=0.00 avg300=0.00 total=500000\n";
        let expected = Pressure { some: 0.125, full: 0.01, some_seconds: 2.5, full_seconds: 0.5 };
        assert_eq!(parse(text), Some(expected));
        assert_eq!(parse("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"), Some(Pressure::default()));
        assert_eq!(parse(""), None);
    }
}
