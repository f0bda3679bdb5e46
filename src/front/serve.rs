//! The daemon's run: from listeners and a reason to stop, to the last connection drained.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sd_notify::NotifyState;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::TaskTracker;

use super::abandoned;
use super::app::App;
use super::connection;
use super::disks;
use super::doors::{doors, next};
use super::error::ServeError;
use super::listener::{Bound, Kind};
use super::removal;
use super::secrets::Secrets;
use crate::assets::Assets;
use crate::auth::MadePassword;
use crate::config::{Class, Config, ConfigError, Launcher, at_next_start};
use crate::engine::{self, Engine, ServerOptions};
use crate::instances::{IdleClocks, Instances, Settings, StateStore, Unused, Uses};
use crate::launch::{self, ProcessLauncher, ProcessOptions, SystemdLauncher};
use crate::sys::{self, DirLock};

/// How long answers that are under way may take once the drain has run out.
const LAST_CALL: Duration = Duration::from_secs(2);

/// How long what runs may take to be taken over: well within the unit's `TimeoutStartSec`.
const ADOPT_DEADLINE: Duration = Duration::from_secs(20);

/// The file in `state` that keeps the idle clocks.
const CLOCKS: &str = "idle.json";

/// Where the names of instances that the operator has stopped are kept, below `state`.
const HELD: &str = "held.json";

/// The file in `state` that says that the host is being emptied.
const DRAIN: &str = "drain.json";

/// How often what runs is looked at: for the clocks, and for the line that `systemctl status` shows.
const LOOK_AROUND: Duration = Duration::from_secs(5);

/// The daemon's parts, ready to serve.
pub struct Service {
    app: Arc<App>,
    made: Option<MadePassword>,
    _owner: DirLock,
}

impl Service {
    /// Opens the data directory, the engine and the launcher that `config` asks for.
    ///
    /// # Errors
    /// When one of them cannot be had; nothing is left behind.
    pub async fn new(config: Config) -> Result<Self, ServeError> {
        let data_dir = config.server.data_dir.clone();
        let unusable = |source| ServeError::DataDir { path: data_dir.clone(), source };
        let engine = engine::locate(config.engine.as_deref())?;
        let assets = Assets::open(&engine)?;
        sys::create_private_dir(&data_dir).map_err(unusable)?;
        let owner = DirLock::try_take(&data_dir).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => ServeError::Owned(data_dir.clone()),
            _ => unusable(source),
        })?;
        let (secrets, made) = Secrets::open(&config)?;
        let state = data_dir.join("state");
        let store = StateStore::open(state.clone())?;
        let launcher = launcher(&config, &engine).await?;
        let instances = Instances::new(launcher, settings(&config));
        instances.keep_drain_at(state.join(DRAIN));
        let clocks = IdleClocks::new(state.join(CLOCKS));
        // Without the broker there is nothing to take over and nothing to start: better a service that says so than none.
        let adopted = tokio::time::timeout(ADOPT_DEADLINE, instances.adopt(clocks.read(SystemTime::now()))).await;
        let late = |_| format!("no answer within {} seconds", ADOPT_DEADLINE.as_secs());
        match adopted.map_err(late).and_then(|adopted| adopted.map_err(|e| e.to_string())) {
            Ok(0) => {}
            Ok(running) => tracing::info!("{running} instances taken over"),
            // What runs goes on, and is taken over by the first request for it, or when the launcher answers.
            Err(e) => {
                tracing::error!("cannot take over what runs: {e}");
                instances.adopt_when_possible();
            }
        }
        instances.keep_held_at(state.join(HELD));
        Ok(Self { app: Arc::new(App::new(engine, assets, instances, store, secrets, config)), made, _owner: owner })
    }

    /// The password that was made for this first start, if it was one.
    pub fn made_password(&self) -> Option<&MadePassword> {
        self.made.as_ref()
    }

    /// The engine that is served.
    pub fn engine(&self) -> &Engine {
        &self.app.engine
    }
}

async fn launcher(config: &Config, engine: &Engine) -> Result<Arc<dyn launch::Launcher>, ServeError> {
    Ok(match config.server.launcher {
        Launcher::Systemd => Arc::new(SystemdLauncher::default()),
        Launcher::Process => {
            let options = ProcessOptions {
                engine: engine.clone(),
                instances_dir: config.server.data_dir.join("instances"),
                server: server_options(config),
                gallery: config.extensions.gallery.clone(),
            };
            Arc::new(ProcessLauncher::new(options).await?)
        }
    })
}

fn settings(config: &Config) -> Settings {
    let everybodys = config.instances.idle.stop_after;
    let unused = |class: &Class| Unused { stop_after: class.stop_after.unwrap_or(everybodys), freeze: class.freeze };
    Settings {
        max_running: config.instances.max_running,
        max_starting: config.instances.max_starting,
        start_timeout: config.instances.start_timeout,
        unused: unused(&config.hosting.ordinary()),
        unused_own: config.hosting.named().map(|id| (id.clone(), unused(&config.hosting.class_of(id)))).collect(),
        memory_pressure: config.instances.idle.memory_pressure,
    }
}

fn server_options(config: &Config) -> ServerOptions {
    ServerOptions {
        // With it, the workbench has a Sign out.
        auth: config.login.required,
        app_name: config.page.name.clone(),
        reconnection_grace: config.instances.keep_terminals,
        ..ServerOptions::default()
    }
}

/// Serves `listeners` until `stop` resolves, then drains. Each message on `reloads` makes `read` be called for a new configuration.
///
/// # Errors
/// When a listener breaks for good.
pub async fn serve(
    service: Service,
    listeners: Vec<Bound>,
    mut reloads: mpsc::Receiver<()>,
    read: impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let app = Arc::clone(&service.app);
    if let Some(address) = listeners.iter().filter(|bound| bound.kind == Kind::Https).find_map(|bound| bound.listener.tcp_address()) {
        app.set_https_port(address.port());
    }
    let scheme = |kind| match kind {
        Kind::Https => Some("https"),
        Kind::Http => Some("http"),
        Kind::Redirect | Kind::Control | Kind::Metrics | Kind::Dashboard | Kind::DashboardTls => None,
    };
    let url = |bound: &Bound| {
        let mut address = bound.listener.tcp_address()?;
        if address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        scheme(bound.kind).map(|scheme| format!("{scheme}://{address}"))
    };
    if let Some(url) = listeners.iter().find_map(url) {
        app.set_address(url);
    }
    let doors = doors(listeners, app.live().config.limits.connections);
    let connections = TaskTracker::new();
    let (broken, mut breakage) = mpsc::channel(1);
    let mut heartbeat = watchdog();
    notify(&[NotifyState::Ready, NotifyState::Status(&census(&app))]);
    let mut watching = tokio::spawn(watch(Arc::clone(&app)));
    let mut counting = tokio::spawn(disks::run(Arc::clone(&app)));
    let mut removing = tokio::spawn(removal::run(Arc::clone(&app)));
    let mut ending = tokio::spawn(abandoned::run(Arc::clone(&app)));
    let instances = app.instances.clone();
    let mut tending = tokio::spawn(async move { instances.tend().await });
    tokio::pin!(stop);
    let read = Arc::new(read);
    let mut reloading = None;
    let result = loop {
        let live = app.live();
        let accepted = tokio::select! {
            () = &mut stop => break Ok(()),
            Some(error) = breakage.recv() => break Err(error),
            Some(()) = reloads.recv(), if reloading.is_none() => {
                notify(&[NotifyState::Reloading]);
                let (app, read) = (Arc::clone(&app), Arc::clone(&read));
                // Aside: each password that is not hashed is hashed again, and with hundreds of them that takes longer than a watchdog waits.
                reloading = Some(tokio::task::spawn_blocking(move || read_again(&app, &*read)));
                continue;
            }
            Some(read) = async { Some(reloading.as_mut()?.await) } => {
                reloading = None;
                reload(&app, read.unwrap_or_else(|e| Err(ServeError::System { what: "read the configuration", source: io::Error::other(e) })));
                continue;
            }
            _ = &mut tending => break Err(ServeError::System { what: "tend the instances", source: io::ErrorKind::BrokenPipe.into() }),
            _ = &mut watching => break Err(ServeError::System { what: "watch the instances", source: io::ErrorKind::BrokenPipe.into() }),
            _ = &mut counting => break Err(ServeError::System { what: "count the instances' files", source: io::ErrorKind::BrokenPipe.into() }),
            _ = &mut removing => break Err(ServeError::System { what: "remove unused instances", source: io::ErrorKind::BrokenPipe.into() }),
            _ = &mut ending => break Err(ServeError::System { what: "end what pages have left", source: io::ErrorKind::BrokenPipe.into() }),
            // The watchdog is fed by the very loop that accepts: when it hangs, so do we.
            _ = heartbeat.tick() => {
                notify(&[NotifyState::Watchdog]);
                continue;
            }
            accepted = next(&doors, &live.config.server.trusted_proxies) => accepted,
        };
        match accepted {
            Ok(arrival) => {
                connections.spawn(connection::serve(Arc::clone(&app), arrival, live.config.limits.clone()));
            }
            Err(e) if passes(&e) => {
                tracing::warn!("cannot accept a connection: {e}");
                // Out of descriptors, most likely: give those that are in use the time to end.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(source) => {
                let _ = broken.try_send(ServeError::System { what: "accept connections", source });
            }
        }
    };
    drop(doors);
    watching.abort();
    counting.abort();
    removing.abort();
    ending.abort();
    tending.abort();
    finish(&app, &connections).await;
    result
}

/// Writes down what a successor needs, and tells systemd how many instances there are.
async fn watch(app: Arc<App>) {
    let mut clocks = IdleClocks::new(app.live().config.server.data_dir.join("state").join(CLOCKS));
    let mut uses = Uses::new(app.store.clone());
    let mut ticks = interval(LOOK_AROUND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said = String::new();
    loop {
        ticks.tick().await;
        app.instances.go_on_draining(SystemTime::now());
        let now = app.instances.idle_clocks();
        // At once: what was found running is in this life of it, and is not written when that is over.
        let used = now.iter().map(|(id, since)| (id.clone(), (*since, app.store.life(id)))).collect();
        let writing = tokio::task::spawn_blocking(move || {
            uses.write(&used, SystemTime::now());
            let written = clocks.write(now);
            (clocks, uses, written)
        });
        match writing.await {
            Ok((kept, kept_uses, written)) => {
                (clocks, uses) = (kept, kept_uses);
                if let Err(e) = written {
                    tracing::warn!("idle clocks not written: {e}");
                }
            }
            // Only a panic ends it; the loop that spawned us ends the process then.
            Err(_) => return,
        }
        let status = census(&app);
        if status != said {
            notify(&[NotifyState::Status(&status)]);
            said = status;
        }
    }
}

/// The line of `systemctl status`.
fn census(app: &App) -> String {
    let census = app.instances.census();
    let count = |name| census.get(name).copied().unwrap_or_default();
    let idle = app.instances.idle_clocks().values().filter(|since| since.is_some()).count();
    let (running, starting, failed) = (count("running"), count("starting"), count("failed"));
    let noun = if running == 1 { "instance" } else { "instances" };
    let drained = if app.instances.drain().is_some() { "being drained: " } else { "" };
    format!("{drained}{running} {noun} running, {idle} of them idle, {starting} starting, {failed} failed")
}

/// Whether accept(2) may work again by itself.
fn passes(error: &io::Error) -> bool {
    !matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}

/// Ends in order: no new connections, answers under way finish, websockets get their time, then instances end.
async fn finish(app: &App, connections: &TaskTracker) {
    let limit = app.live().config.server.drain;
    app.stopping.cancel();
    app.tunnels.close();
    connections.close();
    let status = format!("draining {} connections and {} websockets", connections.len(), app.tunnels.len());
    notify(&[NotifyState::Stopping, NotifyState::Status(&status)]);
    tracing::info!(connections = connections.len(), tunnels = app.tunnels.len(), "{status}");
    if app.instances.outlive_daemon() {
        // The editors behind these websockets go on, and connect to our successor: the sooner we are gone, the sooner they can.
        app.cut.cancel();
    }
    let ended = tokio::time::timeout(limit, async {
        tokio::join!(connections.wait(), app.tunnels.wait());
    });
    if ended.await.is_err() {
        tracing::info!(connections = connections.len(), tunnels = app.tunnels.len(), "cutting what is still open");
    }
    app.cut.cancel();
    app.tunnels.wait().await;
    let _ = tokio::time::timeout(LAST_CALL, connections.wait()).await;
    app.instances.shut_down().await;
}

/// The configuration as it is now, with its passwords and certificates in force. Blocks.
fn read_again(app: &App, read: &impl Fn() -> Result<Config, ConfigError>) -> Result<Config, ServeError> {
    let config = read()?;
    app.secrets.reload(&config)?;
    Ok(config)
}

/// Takes what was read into force, and tells what it changes.
fn reload(app: &App, read: Result<Config, ServeError>) {
    match read {
        Ok(config) => {
            let old = app.live();
            for name in needs_restart(&old.config, &config) {
                tracing::warn!("{name} changed: takes effect at the next start");
            }
            // Names alone: a value may be a password's hash.
            let changes = old.config.written.changes(&config.written);
            let waiting = at_next_start(&changes);
            if !waiting.is_empty() {
                tracing::warn!("{}: instances that run take it up when they are started again", waiting.join(", "));
            }
            app.instances.configure(settings(&config));
            app.reload(config);
            let changes =
                if changes.is_empty() { "no key has another value".to_owned() } else { format!("changed: {}", changes.join(", ")) };
            tracing::info!("configuration reloaded, {changes}");
            let instances = app.instances.clone();
            // Aside: with hundreds of instances it takes longer than a watchdog waits.
            tokio::spawn(async move {
                if let Err(e) = instances.reload().await {
                    tracing::error!("limits of running instances are as they were: {e}");
                }
            });
        }
        Err(e) => tracing::error!("configuration not reloaded, the old one stays: {e}"),
    }
    notify(&[NotifyState::Ready]);
}

fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let mut names = Vec::new();
    let mut compare = |name, changed: bool| {
        if changed {
            names.push(name);
        }
    };
    compare("[server] listen", old.server.listen != new.server.listen);
    compare("[server] launcher", old.server.launcher != new.server.launcher);
    compare("[server] data_dir", old.server.data_dir != new.server.data_dir);
    compare("[server] auth", old.login.required != new.login.required);
    compare("[tls]", old.tls.is_some() != new.tls.is_some());
    compare("[engine] path", old.engine != new.engine);
    compare("[instances] max_starting", old.instances.max_starting != new.instances.max_starting);
    compare("[instances] keep_terminals", old.instances.keep_terminals != new.instances.keep_terminals);
    compare("[extensions] gallery", old.extensions.gallery != new.extensions.gallery);
    compare("[limits] connections", old.limits.connections != new.limits.connections);
    compare("[metrics] listen", old.metrics.listen != new.metrics.listen);
    compare("[dashboard] listen", old.dashboard.listen != new.dashboard.listen);
    compare("[dashboard]", old.dashboard.login.is_some() != new.dashboard.login.is_some());
    compare("[log] level and format", (&old.log.level, old.log.format) != (&new.log.level, new.log.format));
    names
}

/// Ticks twice per watchdog period, or practically never when systemd asks for none.
fn watchdog() -> tokio::time::Interval {
    let period = sd_notify::watchdog_enabled().map_or(Duration::from_secs(3600), |period| period / 2);
    let mut ticks = interval(period.max(Duration::from_millis(10)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn notify(states: &[NotifyState<'_>]) {
    // Without systemd there is nobody to tell; with it, a lost message shows as a start that times out.
    if let Err(e) = sd_notify::notify(states) {
        tracing::warn!("cannot tell systemd: {e}");
    }
}
