//! How much of the time something waits for memory (PSI, Documentation/accounting/psi.rst).

use std::path::Path;

/// The share of the last ten seconds, in percent, in which at least one process has waited for memory; none when the file is not
/// there, or the kernel does not count. `path` is `/proc/pressure/memory`, or a control group's `memory.pressure`.
pub fn memory_pressure(path: &Path) -> Option<f32> {
    parse(&std::fs::read_to_string(path).ok()?)
}

fn parse(text: &str) -> Option<f32> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    some.split(' ').find_map(|field| field.strip_prefix("avg10="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_text() {
        let text = "some avg10=0.88 avg60=0.35 avg300=0.08 total=408168\nfull avg10=0.70 avg60=0.30 avg300=0.07 total=375401\n";
        assert_eq!(parse(text), Some(0.88));
        assert_eq!(parse(""), None);
        assert_eq!(memory_pressure(Path::new("/no/such/file")), None);
    }
}
