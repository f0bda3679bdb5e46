//! Completions and man pages, from the same definition as the parser and the help.

mod config_page;

use std::fs;
use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate_to};

use super::args::Cli;

/// For fish, clap_complete knows options of commands within commands, and no deeper: what is behind `hoody code` is completed as it is
/// behind `hoody-code`.
const HOODY_FISH: &str = r#"complete -c hoody -f -n __fish_use_subcommand -a code -d "VS Code as a URL"
complete -c hoody -f -n "__fish_seen_subcommand_from code" -a '(complete -C (string replace -r "^\s*\S+\s+code" hoody-code -- (commandline -cp)))'
"#;

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
        let path = generate_to(shell, &mut Cli::command(), "hoody-code", &dir)?;
        if shell == Shell::Bash {
            // In a program's name with a hyphen, clap_complete (4.6) takes what is behind it for a command in one half of its script, and
            // offers nothing of any command then (clap-rs/clap#6421).
            let text = fs::read_to_string(&path)?;
            fs::write(&path, text.replace("hoody__subcmd__code", "hoody__code"))?;
        }
        // Shells look for a program's completions by its name; `hoody code …` is the same one.
        let mut hoody = Command::new("hoody").disable_help_subcommand(true).subcommand(Cli::command().name("code"));
        let path = generate_to(shell, &mut hoody, "hoody", &dir)?;
        if shell == Shell::Fish {
            fs::write(&path, HOODY_FISH)?;
        }
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
        let shells = ["bash/hoody-code.bash", "zsh/_hoody-code", "fish/hoody-code.fish", "fish/hoody.fish"];
        let pages = ["man/hoody-code.1", "man/hoody-code-instances-list.1", "man/hoody-code-config.5"];
        for file in shells.into_iter().chain(pages) {
            let text = fs::read_to_string(dir.path().join(file)).unwrap();
            assert!(text.contains("hoody-code"), "{file}");
        }
        assert!(!dir.path().join("man/hoody-code-generate.1").exists());
        for (file, line) in [("zsh/_hoody", "#compdef hoody\n"), ("bash/hoody.bash", " default hoody\n")] {
            assert!(fs::read_to_string(dir.path().join(file)).unwrap().contains(line), "{file}");
        }
    }

    #[test]
    fn bash_completes_both_names() {
        let dir = tempfile::tempdir().unwrap();
        run(dir.path()).unwrap();
        // What bash does when the tabulator key is pressed behind `line`.
        let offers = |line: &str| {
            let program = line.split(' ').next().unwrap();
            let script = r#"
                . "$0"; COMP_WORDS=($1); case $1 in *\ ) COMP_WORDS+=('') ;; esac; COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
                read -r _ _ function _ <<<"$(complete -p "${COMP_WORDS[0]}" | sed 's/.* -F \([^ ]*\) .*/x x \1 x/')"
                "$function" "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"; echo "${COMPREPLY[@]}""#;
            let file = dir.path().join(format!("bash/{program}.bash"));
            let output = std::process::Command::new("bash").arg("-c").arg(script).arg(file).arg(line).output().unwrap();
            assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        for program in ["hoody-code", "hoody code"] {
            assert_eq!(offers(&format!("{program} ins")), "instances");
            assert_eq!(offers(&format!("{program} instances res")), "restart restore");
            assert_eq!(offers(&format!("{program} instances list --js")), "--json");
        }
        assert!(offers("hoody ").contains("code"));
    }
}
