//! The man page of the configuration file, made from the file that is installed: what explains a key there explains it here.

use clap_mangen::roff::{Inline, Roff, bold, roman};

/// What gets installed as /etc/hoody-code/config.toml.
const INSTALLED: &str = include_str!("../../../etc/config.toml");

/// hoody-code-config(5)
pub(super) fn page() -> Vec<u8> {
    let mut page = Roff::new();
    page.control("TH", ["hoody-code-config", "5"]);
    page.control("SH", ["NAME"]).text([roman("hoody-code-config - configuration of hoody-code")]);
    page.control("SH", ["SYNOPSIS"]).text([bold("/etc/hoody-code/config.toml"), roman(", "), bold("/etc/hoody-code/conf.d/*.toml")]);
    page.control("SH", ["DESCRIPTION"]);
    body(&mut page, INSTALLED);
    page.control("SH", ["SEE ALSO"]).text([bold("hoody-code"), roman("(1), "), bold("hoody-code-broker"), roman("(8)")]);
    page.render().into_bytes()
}

/// Explanations stand above what they explain: the file itself, a section, a key or some keys.
fn body(page: &mut Roff, text: &str) {
    let mut said: Vec<&str> = Vec::new();
    let mut keys = 0;
    for line in text.lines() {
        let bare = line.trim_start_matches('#');
        let is_prose = line.starts_with("# ") || line == "#";
        if is_prose {
            // What stands above the last keys has been said with them.
            if keys > 0 {
                said.clear();
                keys = 0;
            }
            said.push(bare.strip_prefix(' ').unwrap_or(bare));
        } else if bare.is_empty() {
            if keys == 0 {
                paragraphs(page, &said);
            }
            said.clear();
            keys = 0;
        } else if bare.starts_with('[') && !bare.contains('=') {
            // The explanation of a section stands above its name.
            page.control("SS", [bare]);
            paragraphs(page, &said);
            said.clear();
            keys = 0;
        } else {
            page.control("TP", []);
            let (key, value) = bare.split_once(" = ").unwrap_or((bare, ""));
            let note = if line.starts_with("##") { " (an example: there is no default)" } else { "" };
            page.text([bold(key), roman(format!(" = {value}{note}"))]);
            let words = if keys == 0 || said.is_empty() { said.join(" ") } else { "See above.".to_owned() };
            page.text([roman(words)]);
            keys += 1;
        }
    }
}

fn paragraphs(page: &mut Roff, lines: &[&str]) {
    let mut words = String::new();
    let flush = |page: &mut Roff, words: &mut String| {
        if !words.is_empty() {
            page.text(vec![Inline::Roman(std::mem::take(words))]);
            page.control("PP", []);
        }
    };
    for line in lines {
        if line.is_empty() {
            flush(page, &mut words);
        } else if line.starts_with("  ") {
            // A table of two columns.
            flush(page, &mut words);
            page.text([roman(line.trim())]).control("br", []);
        } else {
            if !words.is_empty() {
                words.push(' ');
            }
            words.push_str(line);
        }
    }
    flush(page, &mut words);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_with_what_they_mean() {
        let mut page = Roff::new();
        body(&mut page, "# The first\n# words.\n\n# About a.\n[a]\n# What one is.\n#one = 1\n##two = \"2\"\n# A third.\n#three = 3\n");
        let text = page.to_roff();
        for part in ["The first words.", ".SS [a]\nAbout a.", "\\fBone\\fR = 1\nWhat one is.", "an example", "\\fBthree\\fR = 3\nA third."]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
