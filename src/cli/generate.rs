//! Completions and man pages, from the same definition as the parser and the help.

mod config_page;

use std::fs;
use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate_to};

use super::args::Cli;

/// Writes completions and man pages below `dir`.
///
/// # Errors
/// When a file cannot be written.
pub fn run(dir: &Path) -> io::Result<()> {
    let mut command = Cli::command();
    command.build();
    for (shell, name) in [(Shell::Bash, "bash"), (Shell::Zsh, "zsh"), (Shell::Fish, "fish")] {
        let dir = dir.join(name);
        fs::create_dir_all(&dir)?;
        generate_to(shell, &mut Cli::command(), "hoody-code", &dir)?;
    }
    let man = dir.join("man");
    fs::create_dir_all(&man)?;
    fs::write(man.join("hoody-code-config.5"), config_page::page())?;
    page(&command, "hoody-code", &man)
}

/// The page of a command, and those of its own commands: `hoody-code-instances-list.1`.
fn page(command: &Command, name: &str, dir: &Path) -> io::Result<()> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone().name(name.to_owned()).display_name(name.to_owned())).render(&mut text)?;
    fs::write(dir.join(format!("{name}.1")), text)?;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        page(sub, &format!("{name}-{}", sub.get_name()), dir)?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_every_shell_a_file() {
        let dir = tempfile::tempdir().unwrap();
        run(dir.path()).unwrap();
        let pages = ["man/hoody-code.1", "man/hoody-code-instances-list.1", "man/hoody-code-config.5"];
        for file in ["bash/hoody-code.bash", "zsh/_hoody-code", "fish/hoody-code.fish"].into_iter().chain(pages) {
            let text = fs::read_to_string(dir.path().join(file)).unwrap();
            assert!(text.contains("hoody-code"), "{file}");
        }
        assert!(!dir.path().join("man/hoody-code-generate.1").exists());
    }
}
