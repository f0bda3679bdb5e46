//! All commands and options. One definition feeds the parser and the help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

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
    /// Manage the engines: the VS Code builds that editors are made of.
    #[command(subcommand)]
    Engine(EngineCommand),
    /// Read a password (twice from a terminal, once from a pipe) and print its hash for the configuration.
    Password,
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
    /// How instances are run: `process`.
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
        /// The directory of engines to work on.
        #[arg(long, value_name = "DIR")]
        store: Option<PathBuf>,
    },
    /// List the installed engines.
    List {
        /// For programs.
        #[arg(long)]
        json: bool,
        /// The directory of engines to work on.
        #[arg(long, value_name = "DIR")]
        store: Option<PathBuf>,
    },
    /// Remove an installed engine.
    Remove {
        /// Its name, as `list` shows it.
        id: String,
        /// The directory of engines to work on.
        #[arg(long, value_name = "DIR")]
        store: Option<PathBuf>,
    },
}
