//! What a running instance uses at a moment, and whether anything of its user's runs in it.

use serde::{Deserialize, Serialize};

/// The most names of programs that are told.
const MOST_NAMES: usize = 5;

/// The most characters of one; the kernel's own names have 15 bytes.
const LONGEST_NAME: usize = 32;

/// What an instance uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// How many processes there are.
    pub processes: usize,
    /// How many of them are the user's: neither the engine's own, nor a shell that waits for somebody to type.
    pub user_processes: usize,
    /// The names of some of those, each once, for people to look at.
    pub programs: Vec<String>,
    /// Bytes of memory that it has for itself: shared with no file, swapped out or not.
    pub memory: u64,
    /// Processor time it has used so far, in microseconds.
    pub cpu_usec: u64,
    /// Bytes that are saved because pages of its memory equal others' and are kept once, less what that costs; none where nobody looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ksm_profit: Option<i64>,
}

impl Usage {
    /// The same with nothing in it that could do harm where it is shown: whoever counted may have been the tenant.
    #[must_use]
    pub fn harmless(mut self) -> Self {
        self.programs.truncate(MOST_NAMES);
        for name in &mut self.programs {
            *name = name.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
        }
        self
    }

    /// Adds the name of a program of the user's.
    pub fn name(&mut self, name: &str) {
        if self.programs.len() < MOST_NAMES && !self.programs.iter().any(|known| known == name) {
            self.programs.push(name.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_few_short_and_plain() {
        let mut usage = Usage { programs: vec!["\u{1b}[2Jnode".to_owned(), "x".repeat(1000)], ..Usage::default() };
        for number in 0..10 {
            usage.name(&number.to_string());
            usage.name("0");
        }
        let usage = usage.harmless();
        assert_eq!(usage.programs, ["[2Jnode", &"x".repeat(LONGEST_NAME), "0", "1", "2"]);
    }
}
