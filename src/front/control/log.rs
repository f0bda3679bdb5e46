//! The last lines of an instance, made fit to be shown: they are text of whoever uses it.

/// The most lines, and the most characters of each, that are passed on.
const MOST_LINES: usize = 200;
const MOST_CHARS: usize = 1000;

/// `lines` without empty ones, and without what is for a terminal alone: colours and other control sequences (ECMA-48), and every other control character.
pub(super) fn printable(lines: Vec<String>) -> Vec<String> {
    let from = lines.len().saturating_sub(MOST_LINES);
    lines.into_iter().skip(from).map(|line| plain(&line)).filter(|line| !line.trim().is_empty()).collect()
}

fn plain(line: &str) -> String {
    let mut text = String::new();
    let mut chars = line.chars().take(MOST_CHARS).peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            // "ESC [", parameters, one final letter; of any other sequence the escape alone.
            if chars.next_if_eq(&'[').is_some() {
                while chars.next_if(|c| ('\u{20}'..='\u{3f}').contains(c)).is_some() {}
                let _ = chars.next_if(|c| ('\u{40}'..='\u{7e}').contains(c));
            }
        } else if c == '\t' {
            text.push_str("    ");
        } else if !c.is_control() && !is_direction(c) {
            text.push(c);
        }
    }
    text
}

/// What makes text read in another order than it is written in (UAX #9): a line of a log has none of it.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_read_is_left() {
        for (line, expected) in [
            ("[12:00:01] \u{1b}[31;1mbad\u{1b}[0m\r", "[12:00:01] bad"),
            ("a\tb\u{0}\u{7}\u{9b}c", "a    bc"),
            ("\u{1b}]0;title\u{7}x\u{1b}", "]0;titlex"),
            ("<script>alert(1)</script> \u{202e}gnp.exe", "<script>alert(1)</script> gnp.exe"),
            ("\u{1b}[", ""),
        ] {
            assert_eq!(plain(line), expected);
        }
        let many = printable((0..500).map(|n| format!("{n}{}", "x".repeat(5000))).collect());
        assert!(many.len() == MOST_LINES && many[0].starts_with("300x") && many.iter().all(|line| line.len() <= MOST_CHARS));
    }
}
