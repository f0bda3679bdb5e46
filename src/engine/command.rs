//! Arguments, environment and seed files of one start of VS Code's server. Pure, but for [`env`], which looks at this
//! process's own account, and [`seed_extensions`].
//!
//! Used by both launchers, by the broker (which derives a unit from it) and by [`warm`](super::warm), so that the compile
//! cache is filled by the same command that later uses it.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

use super::installed::Engine;

/// Flags for the node of an engine that is added now; [`Record`](super::installed::Record) keeps them. A server mostly waits: a small
/// young generation and V8's preference of size to speed halve it, 85 MB to 38, and an opening takes the processor for as long as
/// before (benches/README.md). They are the engine's, not a class's: the compile cache is filled with them. The preload takes them off again for what the server forks: users' code runs there.
pub const NODE_FLAGS: &[&str] = &["--max-semi-space-size=1", "--optimize-for-size"];
/// Set to `1`, makes the preload fill the compile cache. See [`warm`](super::warm).
pub const WARM_VARIABLE: &str = "HOODY_CODE_WARM";
/// What a user finds in `PATH` when the system says nothing else.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where one instance keeps its things. All absolute.
#[derive(Debug, Clone, Copy)]
pub struct ServerDirs<'a> {
    /// The unix socket to listen on, at most 107 bytes. Its directory has to be closed to others: there is no token.
    pub socket: &'a Path,
    /// `--user-data-dir`: settings, state, logs.
    pub user_data: &'a Path,
    /// `--extensions-dir`.
    pub extensions: &'a Path,
    /// `--server-data-dir`.
    pub server_data: &'a Path,
}

/// How one instance is set up.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Whether the editor's menu offers to sign out (`--auth password`) or not (`--auth none`). Checks nothing by itself.
    pub auth: bool,
    /// Name in window titles.
    pub app_name: String,
    /// How long terminals and extension hosts outlive a lost connection; whole seconds count.
    pub reconnection_grace: Duration,
    /// Whether opened folders are trusted without a question.
    pub disable_workspace_trust: bool,
    /// Whatever else, put at the end as it is.
    pub extra: Vec<OsString>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            auth: true,
            app_name: "hoody-code".into(),
            // VS Code's own default.
            reconnection_grace: Duration::from_secs(3 * 60 * 60),
            disable_workspace_trust: false,
            extra: Vec::new(),
        }
    }
}

/// Who an instance runs as, as far as its environment says so.
#[derive(Debug, Clone, Copy)]
pub struct ServerUser<'a> {
    /// `HOME`.
    pub home: &'a Path,
    /// `USER` and `LOGNAME`.
    pub name: &'a OsStr,
    /// `SHELL`, which is also what terminals run.
    pub shell: &'a Path,
    /// `PATH`; [`DEFAULT_PATH`] when `None`.
    pub path: Option<&'a OsStr>,
    /// `LANG`; `C.UTF-8` when `None`.
    pub lang: Option<&'a OsStr>,
    /// `TZ`, when the system's is not the user's.
    pub timezone: Option<&'a OsStr>,
    /// `XDG_RUNTIME_DIR`, when there is one.
    pub runtime_dir: Option<&'a Path>,
}

/// The whole command line, program first.
pub fn argv(engine: &Engine, dirs: &ServerDirs<'_>, options: &ServerOptions) -> Vec<OsString> {
    let mut argv = node_argv(engine);
    argv.push(engine.root().join("out/server-main.js").into());
    let mut add = |flag: &str, value: &OsStr| argv.extend([flag.into(), value.into()]);
    add("--socket-path", dirs.socket.as_os_str());
    add("--server-data-dir", dirs.server_data.as_os_str());
    add("--user-data-dir", dirs.user_data.as_os_str());
    add("--extensions-dir", dirs.extensions.as_os_str());
    add("--telemetry-level", OsStr::new("off"));
    // Anything but `none` brings the menu entry that leads to `/logout`.
    add("--auth", OsStr::new(if options.auth { "password" } else { "none" }));
    add("--app-name", OsStr::new(&options.app_name));
    add("--reconnection-grace-time", OsStr::new(&options.reconnection_grace.as_secs().to_string()));
    let flags = [
        // Who may connect is decided by the socket's directory and, in front of it, by the daemon.
        "--without-connection-token",
        "--accept-server-license-terms",
        "--disable-telemetry",
        "--disable-update-check",
        "--disable-getting-started-override",
    ];
    argv.extend(flags.map(OsString::from));
    if options.disable_workspace_trust {
        argv.push("--disable-workspace-trust".into());
    }
    argv.extend(options.extra.iter().cloned());
    argv
}

/// Node, its flags and the preload: what comes before the script.
pub(crate) fn node_argv(engine: &Engine) -> Vec<OsString> {
    let mut argv = vec![engine.node().into()];
    argv.extend(engine.record().node_flags.iter().map(OsString::from));
    if let Some(preload) = engine.preload() {
        argv.extend(["--require".into(), preload.into()]);
    }
    argv
}

/// The environment for an instance that runs as this process's own account: home, name, shell, path, language and time zone
/// are taken over, nothing else. See [`env_for`].
pub fn env(engine: &Engine) -> Vec<(OsString, OsString)> {
    let own = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let name = own("USER").or_else(|| own("LOGNAME")).unwrap_or_else(|| {
        // Containers set neither.
        if rustix::process::getuid().is_root() { "root".into() } else { "user".into() }
    });
    let home = own("HOME").unwrap_or_else(|| "/".into());
    let shell = own("SHELL").unwrap_or_else(|| if Path::new("/bin/bash").exists() { "/bin/bash".into() } else { "/bin/sh".into() });
    let (path, lang, timezone, runtime_dir) = (own("PATH"), own("LC_ALL").or_else(|| own("LANG")), own("TZ"), own("XDG_RUNTIME_DIR"));
    let user = ServerUser {
        home: Path::new(&home),
        name: &name,
        shell: Path::new(&shell),
        path: path.as_deref(),
        lang: lang.as_deref(),
        timezone: timezone.as_deref(),
        runtime_dir: runtime_dir.as_deref().map(Path::new),
    };
    env_for(engine, &user)
}

/// The whole environment, built from nothing: what the daemon has in its own reaches no user.
///
/// `CODE_SERVER_PARENT_PID` is never part of it: with it the server exits silently. `MALLOC_ARENA_MAX` saves memory in the
/// server but would slow down users' threaded programs, so it is set only together with a preload, which removes it again: glibc
/// has read it by then, and children do not inherit it.
pub fn env_for(engine: &Engine, user: &ServerUser<'_>) -> Vec<(OsString, OsString)> {
    let mut env: Vec<(OsString, OsString)> = Vec::new();
    let mut set = |name: &str, value: &OsStr| env.push((name.into(), value.into()));
    set("HOME", user.home.as_os_str());
    set("USER", user.name);
    set("LOGNAME", user.name);
    set("SHELL", user.shell.as_os_str());
    set("PATH", user.path.unwrap_or(OsStr::new(DEFAULT_PATH)));
    set("LANG", user.lang.unwrap_or(OsStr::new("C.UTF-8")));
    if let Some(timezone) = user.timezone {
        set("TZ", timezone);
    }
    if let Some(dir) = user.runtime_dir {
        set("XDG_RUNTIME_DIR", dir.as_os_str());
    }
    // The terminal's `code-server` command and `$BROWSER` run the node named here.
    set("NODE_EXEC_PATH", engine.node().as_os_str());
    if engine.preload().is_some() {
        set("MALLOC_ARENA_MAX", OsStr::new("1"));
    }
    env
}

/// Makes an empty list of extensions in a new extensions directory. The engine would do it when a page asks, and its command line
/// at the same moment: both write the file in place, and what comes out is neither's.
///
/// # Errors
/// When the directory refuses.
pub fn seed_extensions(dir: &Path) -> std::io::Result<()> {
    let list = dir.join("extensions.json");
    // A directory that has something in it is the engine's to sort out.
    if list.exists() || std::fs::read_dir(dir)?.next().is_some() {
        return Ok(());
    }
    crate::sys::write_atomic(&list, b"[]")
}

/// Files to be there before the first start, below the user data directory, written only when missing.
///
/// A missing `argv.json` counts as "English", so the language a browser asks for is honoured only when the file exists. How many lines
/// a terminal brings along to another device is the server's own setting; it would be 100, a tenth of what the terminal itself keeps.
pub fn seed_files() -> &'static [(&'static str, &'static str)] {
    &[("User/argv.json", "{}\n"), ("Machine/settings.json", "{\n  \"terminal.integrated.persistentSessionScrollback\": 1000\n}\n")]
}
