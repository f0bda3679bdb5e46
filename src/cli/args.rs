//! All commands and options. One definition feeds the parser and the help.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use super::disk::DiskCommand;
use super::url::ServiceUrl;
use crate::model::InstanceId;

/// What `--store` means to `engine`.
const STORE: &str = "The directory of engines: an installed service's is /usr/lib/hoody-code/engines, root's to change; left out, your own, \
                     ~/.cache/hoody-code/engines, which `make build` fills";

/// VS Code as a URL.
#[derive(Debug, Parser)]
#[command(name = "hoody-code", version, about, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve editors.
    Serve(ServeArgs),
    /// See and manage instances: the editors of people.
    #[command(subcommand)]
    Instances(InstancesCommand),
    /// Show who is busy, as it changes; `q` ends it. Once, where the output is no terminal.
    Top {
        /// Seconds between two looks.
        #[arg(long, short = 'd', value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
        delay: u64,
        /// How to ask.
        #[command(flatten)]
        ask: AskOptions,
    },
    /// Print the URL of a folder in an editor, start that editor, and open a browser where there is one.
    Open(OpenArgs),
    /// Empty the host: nothing new starts, what runs goes on until nobody uses it, or until a deadline.
    Drain(DrainArgs),
    /// See and change the extensions of an instance.
    #[command(subcommand)]
    Extensions(ExtensionsCommand),
    /// Write what a package needs: completions of shells, man pages.
    #[command(hide = true)]
    Generate {
        /// The directory to write to; `bash`, `zsh`, `fish` and `man` are made in it.
        dir: PathBuf,
    },
    /// Check a configuration, or look at it.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// End sign-ins.
    #[command(subcommand)]
    Sessions(SessionsCommand),
    /// Ask a daemon how it is. Exit status 69 when it is degraded.
    Health {
        /// How to ask.
        #[command(flatten)]
        ask: AskOptions,
    },
    /// Manage the engines: the VS Code builds that editors are made of.
    #[command(subcommand)]
    Engine(EngineCommand),
    /// Read a password (twice from a terminal, once from a pipe) and print its hash for the configuration.
    Password {
        /// For programs.
        #[arg(long)]
        json: bool,
    },
}

/// Options of `serve`. They win over the configuration file.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address to listen on, ADDR:PORT, https://ADDR:PORT, redirect://ADDR:PORT or unix:PATH; repeatable. Sockets passed by systemd win.
    #[arg(long, value_name = "ADDR")]
    pub listen: Vec<String>,
    /// Where instances and their state are kept.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// An installed engine, or a directory of them.
    #[arg(long, value_name = "DIR")]
    pub engine: Option<PathBuf>,
    /// How users prove who they are: `password`, or `none` (loopback and unix sockets only).
    #[arg(long, value_name = "HOW")]
    pub auth: Option<String>,
    /// File with the password. Without any, one is made, kept in the data directory and printed once.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// File with the password's argon2 hash, as `hoody-code password` prints it.
    #[arg(long, value_name = "FILE")]
    pub hashed_password_file: Option<PathBuf>,
    /// The password itself. Everybody on this machine can see it in the list of processes.
    #[arg(long, value_name = "TEXT")]
    pub password: Option<String>,
    /// How instances are run: `systemd` or `process`.
    #[arg(long, value_name = "HOW")]
    pub launcher: Option<String>,
    /// Show a branded page while a fresh instance starts.
    #[arg(long)]
    pub page_loader: bool,
}

/// The commands on engines.
#[derive(Debug, Subcommand)]
pub enum EngineCommand {
    /// Install an engine from a VS Code server tree: a code-server, openvscode-server, VSCodium or Microsoft server directory.
    Add {
        /// The tree, or a directory around it.
        path: PathBuf,
        /// The node that belongs to it, when it is not beside it.
        #[arg(long, value_name = "FILE")]
        node: Option<PathBuf>,
        /// Name of the installed engine; made from its content when left out.
        #[arg(long)]
        id: Option<String>,
        /// Move the tree instead of copying it.
        #[arg(long = "move")]
        move_tree: bool,
        /// For programs.
        #[arg(long)]
        json: bool,
        /// The directory of engines to work on.
        #[arg(long, value_name = "DIR", help = STORE)]
        store: Option<PathBuf>,
    },
    /// List the installed engines.
    List {
        /// For programs.
        #[arg(long)]
        json: bool,
        /// The directory of engines to work on.
        #[arg(long, value_name = "DIR", help = STORE)]
        store: Option<PathBuf>,
    },
    /// Remove an installed engine.
    Remove {
        /// Its name, as `list` shows it.
        id: String,
        /// For programs.
        #[arg(long)]
        json: bool,
        /// The directory of engines to work on.
        #[arg(long, value_name = "DIR", help = STORE)]
        store: Option<PathBuf>,
    },
}

/// How the daemon is asked, and how its answer is shown.
#[derive(Clone, Debug, Args)]
pub struct ControlOptions {
    /// The daemon's control socket.
    #[arg(long, value_name = "PATH", env = "HOODY_CODE_SOCKET")]
    pub socket: Option<PathBuf>,
    /// For programs.
    #[arg(long)]
    pub json: bool,
}

/// As [`ControlOptions`], and how a daemon is asked that is elsewhere.
#[derive(Clone, Debug, Args)]
pub struct AskOptions {
    /// How to ask.
    #[command(flatten)]
    pub control: ControlOptions,
    /// Ask the daemon that browsers find there, as its user; what is the operator's does not work this way. HOODY_CODE_URL says the same
    /// where neither this nor --socket is given.
    #[arg(long, value_name = "URL")]
    pub url: Option<ServiceUrl>,
    /// File with the password for --url; asked for on a terminal otherwise.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

/// The commands on instances.
#[derive(Debug, Subcommand)]
pub enum InstancesCommand {
    /// List all instances, also those that do not run.
    List {
        /// Also those that were removed and still have their files.
        #[arg(long)]
        all: bool,
        /// How to ask.
        #[command(flatten)]
        ask: AskOptions,
    },
    /// Show what is known of one.
    Show {
        /// Which.
        id: InstanceId,
        /// How to ask.
        #[command(flatten)]
        ask: AskOptions,
    },
    /// Start one, and wait until it answers.
    Start {
        /// Which.
        id: InstanceId,
        /// How to ask.
        #[command(flatten)]
        ask: AskOptions,
    },
    /// Stop one: its editor, its terminals, everything it runs.
    Stop {
        /// Which.
        id: InstanceId,
        /// How to ask.
        #[command(flatten)]
        ask: AskOptions,
    },
    /// Stop one and start it again.
    Restart {
        /// Which.
        id: InstanceId,
        /// How to ask.
        #[command(flatten)]
        ask: AskOptions,
    },
    /// Show everything the journal has of one: the daemon's records and what its editor said. Where it has nothing, what the daemon still
    /// knows of its editor's last lines.
    Logs {
        /// Which.
        id: InstanceId,
        /// Go on as new lines come to the journal.
        #[arg(long, short)]
        follow: bool,
        /// How many lines to begin with.
        #[arg(long, short = 'n', default_value_t = 100)]
        lines: u32,
        /// How to ask the daemon; as JSON, there is one object per line.
        #[command(flatten)]
        control: ControlOptions,
    },
    /// Snapshots and templates.
    #[command(flatten)]
    Disk(DiskCommand),
    /// Stop one and forget it. Its files stay, unless told otherwise.
    Remove {
        /// Which.
        id: InstanceId,
        /// Delete its files as well. There is no way back.
        #[arg(long)]
        purge: bool,
        /// How to ask.
        #[command(flatten)]
        ask: AskOptions,
    },
}

/// How the host is emptied.
#[derive(Debug, Args)]
pub struct DrainArgs {
    /// Take instances in again.
    #[arg(long, conflicts_with_all = ["deadline", "idle", "wait"])]
    pub off: bool,
    /// After this time everything that still runs is stopped: `30min`, `2h`, `0s` for now. Without it nothing in use is.
    #[arg(long, value_name = "TIME", value_parser = crate::config::parse_time)]
    pub deadline: Option<Duration>,
    /// Stop an instance when nobody has used it for this long.
    #[arg(long, value_name = "TIME", value_parser = crate::config::parse_time, default_value = "10min")]
    pub idle: Duration,
    /// Come back when nothing runs any more.
    #[arg(long)]
    pub wait: bool,
    /// How to ask.
    #[command(flatten)]
    pub ask: AskOptions,
}

/// The commands on sessions.
#[derive(Debug, Subcommand)]
pub enum SessionsCommand {
    /// End all sessions of an instance, or of all: whoever is signed in has to do it again.
    Revoke {
        /// Whose.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<InstanceId>,
        /// Everybody's.
        #[arg(long)]
        all: bool,
        /// How to ask.
        #[command(flatten)]
        ask: AskOptions,
    },
}

/// What to open.
#[derive(Debug, Args)]
pub struct OpenArgs {
    /// The folder, as the instance sees it; relative to the working directory.
    #[arg(long, value_name = "DIR", required_unless_present_any = ["workspace", "extension"])]
    pub folder: Option<PathBuf>,
    /// A .code-workspace file; wins over the folder.
    #[arg(long, value_name = "FILE")]
    pub workspace: Option<PathBuf>,
    /// Show this extension and nothing else, PUBLISHER.NAME.
    #[arg(long, value_name = "PUB.NAME")]
    pub extension: Option<String>,
    /// Display language, such as `fr`.
    #[arg(long, value_name = "TAG")]
    pub locale: Option<String>,
    /// In which instance.
    #[arg(long, value_name = "ID", default_value = "default")]
    pub instance: InstanceId,
    /// Where browsers find the daemon, when that is not its own address.
    #[arg(long, value_name = "URL", env = "HOODY_CODE_URL")]
    pub url: Option<String>,
    /// Only print the URL.
    #[arg(long)]
    pub no_browser: bool,
    /// How to ask.
    #[command(flatten)]
    pub control: ControlOptions,
}

/// The commands on extensions.
#[derive(Debug, Subcommand)]
pub enum ExtensionsCommand {
    /// List those that are installed.
    List {
        /// Also those that are part of the editor.
        #[arg(long)]
        all: bool,
        /// Whose; the one that --url names, or "default".
        #[arg(long, value_name = "ID")]
        instance: Option<InstanceId>,
        /// How to ask.
        #[command(flatten)]
        ask: AskOptions,
    },
    /// Install one: PUBLISHER.NAME, PUBLISHER.NAME@VERSION, or a .vsix file.
    Install {
        /// Which.
        extension: String,
        /// Whose; the one that --url names, or "default".
        #[arg(long, value_name = "ID")]
        instance: Option<InstanceId>,
        /// How to ask.
        #[command(flatten)]
        ask: AskOptions,
    },
    /// Remove one.
    Uninstall {
        /// Which, PUBLISHER.NAME.
        extension: String,
        /// Whose; the one that --url names, or "default".
        #[arg(long, value_name = "ID")]
        instance: Option<InstanceId>,
        /// How to ask.
        #[command(flatten)]
        ask: AskOptions,
    },
}

/// The commands on the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say whether a file can be used, and where not. Changes nothing, asks no daemon.
    Check {
        /// The file.
        #[arg(default_value = "/etc/hoody-code/config.toml")]
        file: PathBuf,
        /// For programs.
        #[arg(long)]
        json: bool,
    },
    /// Print the configuration that a file makes, with every default, and without secrets.
    Show {
        /// The file; without any, the installed one, or the defaults where there is none.
        file: Option<PathBuf>,
        /// For programs.
        #[arg(long)]
        json: bool,
    },
}
