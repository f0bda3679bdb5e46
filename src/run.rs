//! From the command line to the command.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::auth;
use crate::cli::{
    Cli, Command, ConfigCommand, ServeArgs, read_password, run_drain, run_engine, run_extensions, run_generate, run_health, run_instances,
    run_open, run_sessions, run_top,
};
use crate::config::{self, Config, ConfigError, ListenAddress, LogFormat, Overrides, PasswordFlags};
use crate::front::{self, Bound, Kind, ServeError, Service};
use crate::model::Password;
use crate::sys;
use crate::telemetry::{self, Sink};

/// Exit codes of sysexits(3).
const EX_USAGE: u8 = 64;
const EX_DATAERR: u8 = 65;
const EX_SOFTWARE: u8 = 70;
const EX_CANTCREAT: u8 = 73;
const EX_CONFIG: u8 = 78;
const EX_UNAVAILABLE: u8 = 69;
const EX_IOERR: u8 = 74;

/// Where an installed host has its configuration.
const INSTALLED_CONFIG: &str = "/etc/hoody-code/config.toml";

/// Runs the program that the command line asks for.
pub fn run() -> ExitCode {
    // Installed as `hoody` too, where the first word says which of Hoody's programs is meant.
    let mut words: Vec<_> = std::env::args_os().collect();
    if words.get(1).is_some_and(|word| word == "code") {
        words.remove(1);
    }
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            return if e.use_stderr() { ExitCode::from(EX_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match cli.command {
        Command::Serve(args) => serve(&args),
        Command::Engine(command) => match run_engine(&command) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => fail(EX_CANTCREAT, &e),
        },
        Command::Instances(command) => match run_instances(&command) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => fail(e.exit_code(), &e),
        },
        Command::Top { delay, ask } => match run_top(&ask, std::time::Duration::from_secs(delay)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => fail(e.exit_code(), &e),
        },
        Command::Open(args) => match run_open(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => fail(e.exit_code(), &e),
        },
        Command::Drain(args) => match run_drain(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => fail(e.exit_code(), &e),
        },
        Command::Extensions(command) => match run_extensions(&command) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => fail(e.exit_code(), &e),
        },
        Command::Sessions(command) => match run_sessions(&command) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => fail(e.exit_code(), &e),
        },
        Command::Health { ask } => match run_health(&ask) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(EX_UNAVAILABLE),
            Err(e) => fail(e.exit_code(), &e),
        },
        Command::Generate { dir } => match run_generate(&dir) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => fail(EX_CANTCREAT, &e),
        },
        Command::Config(ConfigCommand::Check { file, json }) => check_config(&file, json),
        Command::Config(ConfigCommand::Show { file, json }) => show_config(file, json),
        Command::Password { json } => password(json),
    }
}

fn check_config(file: &Path, json: bool) -> ExitCode {
    let told = |error: Option<String>| {
        if json {
            println!("{:#}", serde_json::json!({ "file": file, "ok": error.is_none(), "error": error }));
        }
    };
    let failed = |e: &dyn std::error::Error| {
        told(Some(e.to_string()));
        fail(EX_CONFIG, e)
    };
    let config = match config::load(&Overrides { config: Some(file.to_owned()), ..Overrides::default() }) {
        Ok(config) => config,
        Err(e) => return failed(&e),
    };
    // A service that cannot read its certificate does not start.
    if let Some(Err(e)) = config.tls.as_ref().map(front::check_certificate) {
        return failed(&e);
    }
    told(None);
    if !json {
        println!("{}: can be used", file.display());
    }
    ExitCode::SUCCESS
}

fn show_config(file: Option<PathBuf>, json: bool) -> ExitCode {
    let installed = || Some(PathBuf::from(INSTALLED_CONFIG)).filter(|path| path.exists());
    let value = match config::show(file.or_else(installed).as_deref()) {
        Ok(value) => value,
        Err(e) => return fail(EX_CONFIG, &e),
    };
    let text = if json {
        format!("{value:#}\n")
    } else {
        match toml::to_string(&config::without_nulls(&value)) {
            Ok(text) => text,
            Err(e) => return fail(EX_SOFTWARE, &e),
        }
    };
    match std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => fail(EX_IOERR, &e),
    }
}

fn password(json: bool) -> ExitCode {
    let password = match read_password() {
        Ok(password) => password,
        Err(e) => return fail(EX_DATAERR, &e),
    };
    match auth::hash_password(&password) {
        Ok(hash) => {
            if json {
                println!("{:#}", serde_json::json!({ "hash": hash }))
            } else {
                println!("{hash}")
            }
            ExitCode::SUCCESS
        }
        Err(e) => fail(EX_SOFTWARE, &e),
    }
}

fn password_flags(args: &ServeArgs) -> Result<PasswordFlags, ConfigError> {
    let bad = |e: crate::model::InvalidPassword| ConfigError::Value { key: "--password", message: e.to_string() };
    let password = args.password.as_deref().map(Password::new).transpose().map_err(bad)?;
    if password.is_some() {
        eprintln!("hoody-code: warning: everybody on this machine can see --password in the list of processes; --password-file hides it");
    }
    Ok(PasswordFlags { password, password_file: args.password_file.clone(), hashed_password_file: args.hashed_password_file.clone() })
}

fn serve(args: &ServeArgs) -> ExitCode {
    let has_password = args.password.is_some() || args.password_file.is_some() || args.hashed_password_file.is_some();
    if has_password && args.auth.as_deref() == Some("none") {
        eprintln!("hoody-code: --auth none asks nobody for a password: leave out one of the two");
        return ExitCode::from(EX_USAGE);
    }
    let password = match password_flags(args) {
        Ok(flags) => flags,
        Err(e) => return fail(EX_CONFIG, &e),
    };
    let overrides = Overrides {
        password,
        config: args.config.clone(),
        listen: args.listen.clone(),
        data_dir: args.data_dir.clone(),
        engine: args.engine.clone(),
        auth: args.auth.clone(),
        launcher: args.launcher.clone(),
        page_loader: args.page_loader,
    };
    let config = match config::load(&overrides) {
        Ok(config) => config,
        Err(e) => return fail(EX_CONFIG, &e),
    };
    let sink = match config.log.format {
        LogFormat::Auto => Sink::Auto,
        LogFormat::Terminal => Sink::Terminal,
        LogFormat::Journal => Sink::Journal,
    };
    let _guard = match telemetry::init(&config.log.level, sink) {
        Ok(guard) => guard,
        Err(e) => return fail(EX_CONFIG, &e),
    };
    sys::raise_fd_limit();
    // Sockets are taken over before anything else could open a descriptor.
    let passed = match sys::inherited_listeners() {
        Ok(passed) => passed,
        Err(e) => return fail(EX_UNAVAILABLE, &e),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return fail(EX_SOFTWARE, &e),
    };
    let result = runtime.block_on(daemon(config, passed, overrides));
    // A thread that waits for a dead network mount must not keep us.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e @ (ServeError::Config(_) | ServeError::Auth(_) | ServeError::Certificate { .. })) => fail(EX_CONFIG, &e),
        Err(e) => fail(EX_UNAVAILABLE, &e),
    }
}

async fn daemon(config: Config, passed: Vec<(String, std::os::fd::OwnedFd)>, overrides: Overrides) -> Result<(), ServeError> {
    let system = |what| move |source| ServeError::System { what, source };
    // Signals first: one that comes while we start must not be lost.
    let mut terminate = signal(SignalKind::terminate()).map_err(system("watch for signals"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system("watch for signals"))?;
    let mut hangup = signal(SignalKind::hangup()).map_err(system("watch for signals"))?;
    let listeners = front::bind(passed, &config).await?;
    let service = Service::new(config.clone()).await?;
    announce(&service, &listeners, &config);
    let (reload, reloads) = mpsc::channel(1);
    let stop = async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                // One reload under way is enough: it reads what is there when it runs.
                _ = hangup.recv() => drop(reload.try_send(())),
            }
        }
        // A second signal means now.
        tokio::spawn(async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            std::process::exit(i32::from(EX_SOFTWARE));
        });
    };
    front::serve(service, listeners, reloads, move || config::load(&overrides), stop).await
}

fn announce(service: &Service, listeners: &[Bound], config: &Config) {
    let product = service.engine().product();
    tracing::info!(engine = service.engine().id(), data_dir = %config.server.data_dir.display(), "VS Code {}", product.version);
    for address in listeners.iter().filter(|bound| bound.kind == Kind::Metrics).filter_map(|bound| bound.listener.tcp_address()) {
        tracing::info!("metrics: http://{address}/metrics");
    }
    let scheme = |bound: &Bound| if bound.kind.is_secure() { "https" } else { "http" };
    for bound in listeners.iter().filter(|bound| bound.kind.is_dashboard()) {
        let Some(address) = bound.listener.tcp_address() else { continue };
        tracing::info!("dashboard: {}://{address}/", scheme(bound));
    }
    let urls = listeners.iter().filter(|bound| bound.kind != Kind::Metrics && !bound.kind.is_dashboard()).filter_map(|bound| {
        let scheme = scheme(bound);
        bound.listener.tcp_address().map(|address| format!("{scheme}://{address}/"))
    });
    let sockets = config.server.listen.iter().filter_map(|address| match address {
        ListenAddress::Unix(path) => Some(format!("unix:{}", path.display())),
        ListenAddress::Tcp(_) | ListenAddress::Tls(_) | ListenAddress::Redirect(_) => None,
    });
    for place in urls.chain(sockets) {
        tracing::info!("serving {place}");
        // The one line that is for whoever started us by hand, or for a script that asked for port 0. The journal has it already.
        if std::env::var_os("JOURNAL_STREAM").is_none() {
            say(&place);
        }
    }
    if let Some(made) = service.made_password() {
        // A journal is read by more people than a terminal.
        let text =
            if std::env::var_os("JOURNAL_STREAM").is_some() { "kept".into() } else { String::from_utf8_lossy(made.password.as_bytes()) };
        say(&format!("password: {text} (in {})", made.path.display()));
    }
    warn_of_plain_text(listeners, config);
}

fn say(line: &str) {
    let _ = std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{line}\n"));
}

/// Fine behind a proxy that ends TLS, and only there.
fn warn_of_plain_text(listeners: &[Bound], config: &Config) {
    let plain = listeners.iter().filter(|bound| bound.kind == Kind::Http).filter_map(|bound| bound.listener.tcp_address());
    for address in plain.filter(|address| config.login.required && !address.ip().is_loopback()) {
        tracing::warn!("{address} takes passwords unencrypted: use https:// and [tls], unless a proxy in front of it speaks TLS");
    }
}

fn fail(code: u8, error: &dyn std::error::Error) -> ExitCode {
    eprintln!("hoody-code: {error}");
    ExitCode::from(code)
}
