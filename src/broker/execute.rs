//! What each verb does. One request of an instance at a time; different instances do not wait for each other.

mod command;
mod disk;
mod look;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use self::command::{compile_cache, server_dirs, server_options, tenant};
use super::accounts::{self, Account, Accounts};
use super::cgroup;
use super::error::BrokerError;
use super::policy::{self, Asker, Service};
use super::properties::{self, Spec};
use super::records::{RUNTIME, Records, Run};
use super::systemd::{Systemd, UnitState};
use super::volumes::{self, Volumes};
use crate::config::{self, BrokerConfig, NetworkMode, Services};
use crate::engine;
use crate::model::InstanceId;
use crate::proto::{BrokerAnswer, BrokerRequest};
use crate::sys;

/// Carries out requests.
pub(super) struct Executor {
    systemd: Systemd,
    accounts: Accounts,
    volumes: Volumes,
    records: Records,
    program: PathBuf,
    busy: Mutex<HashMap<InstanceId, Arc<tokio::sync::Mutex<()>>>>,
    /// What the configuration said of services when it could last be read.
    services: Mutex<Option<Services>>,
}

/// An answer, and what goes with it.
pub(super) type Executed = Result<(BrokerAnswer, Option<OwnedFd>), BrokerError>;

impl Executor {
    /// An executor over the installed host.
    pub(super) async fn new() -> Result<Self, BrokerError> {
        let program = std::env::current_exe().map_err(BrokerError::file("find", Path::new("hoody-code-broker")))?;
        Ok(Self {
            systemd: Systemd::connect().await?,
            accounts: Accounts::new(accounts::REGISTRY, accounts::USERDB),
            volumes: Volumes::new(volumes::ROOT),
            records: Records::new(RUNTIME),
            program,
            busy: Mutex::default(),
            services: Mutex::default(),
        })
    }

    /// Comes back when the bus has hung up: whoever started us starts us again, with a new connection.
    pub(super) async fn gone(&self) {
        self.systemd.gone().await;
    }

    /// Who the user `peer` is. Read from the disk each time, as everything is: a service that was just added may ask.
    pub(super) fn asker(&self, peer: u32) -> Result<Asker, BrokerError> {
        // Where nothing is known of others there is the main service alone.
        let further =
            || self.services().map_or_else(|_| Vec::new(), |services| services.names().map(|name| Some(name.to_owned())).collect());
        // The others are looked for only when it is not the main one.
        let services = std::iter::once(None).chain(std::iter::once_with(further).flatten()).map(Service);
        policy::asker(peer, services.map(|service| (service.clone(), sys::user_id(&service.user()).ok().flatten())))
    }

    /// Which instances are whose: as the configuration says, or as it last did, so that a mistake in it changes nobody's rights. The error
    /// is for a broker that could not read it since it was started.
    fn services(&self) -> Result<Services, BrokerError> {
        let mut known = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        match (Self::config(), &*known) {
            (Ok(config), _) => Ok(known.insert(config.services).clone()),
            (Err(_), Some(services)) => Ok(services.clone()),
            (Err(e), None) => Err(e),
        }
    }

    /// The service whose instance `id` is; where the configuration does not say, the one that has started it last.
    fn owner(&self, id: &InstanceId) -> Service {
        self.owner_by(self.services().ok().as_ref(), id)
    }

    /// The same by `services`, which were read already.
    fn owner_by(&self, services: Option<&Services>, id: &InstanceId) -> Service {
        Service(services.map_or_else(|| self.records.run(id).service, |services| services.owner(id).map(str::to_owned)))
    }

    /// Does what `request` says, if it is for `asker` to ask that.
    pub(super) async fn execute(&self, asker: &Asker, request: &BrokerRequest) -> Executed {
        if let (Asker::Front(front), Some(id)) = (asker, request.id()) {
            let services = match self.services() {
                Ok(services) => Some(services),
                // A guess of whose it is must not be enough.
                Err(e) if policy::takes_away(request) => return Err(e),
                Err(_) => None,
            };
            let owner = self.owner_by(services.as_ref(), id);
            if !asker.may(&owner) {
                return Err(BrokerError::NotYours { id: id.clone(), owner, asker: front.clone() });
            }
        }
        let _turn = match request.id() {
            // A look, and a way in, are safe while a job is under way, and must not wait for a slow one. And nobody waits for the kernel
            // to push memory out, or for a job on files: least of all who has come for what stands still.
            Some(_)
                if matches!(
                    request,
                    BrokerRequest::Show { .. } | BrokerRequest::Connect { .. } | BrokerRequest::Reclaim { .. } | BrokerRequest::Thaw { .. }
                ) =>
            {
                None
            }
            // Whoever asks for these has those wait who come for the instance meanwhile.
            Some(id) if matches!(request, BrokerRequest::Lower { .. } | BrokerRequest::Freeze { .. }) => {
                Some(self.turn(id).try_lock_owned().map_err(|_| BrokerError::Busy(id.clone()))?)
            }
            Some(id) => Some(self.turn(id).lock_owned().await),
            None => None,
        };
        let done = |()| (BrokerAnswer::Done, None);
        match request {
            BrokerRequest::Start { id } => self.start(id).await.map(done),
            BrokerRequest::Stop { id } => self.stop_for_front(id).await.map(done),
            BrokerRequest::Lower { id } => self.weigh(id, true).await.map(done),
            BrokerRequest::Raise { id } => self.weigh(id, false).await.map(done),
            BrokerRequest::Freeze { id } => self.systemd.freeze(&self.known(id)?).await.map(done),
            BrokerRequest::Thaw { id } => self.systemd.thaw(&self.known(id)?).await.map(done),
            BrokerRequest::Connect { id } => self.connect(id).map(|fd| (BrokerAnswer::Done, Some(fd))),
            BrokerRequest::Reclaim { id, bytes } => {
                self.known(id)?;
                let (reclaimed, bytes) = (id.clone(), *bytes);
                // The kernel takes its time.
                let written = tokio::task::spawn_blocking(move || cgroup::reclaim(&reclaimed, bytes)).await;
                let written = written.map_err(std::io::Error::other).and_then(|written| written);
                written.map_err(BrokerError::file("reclaim from", &cgroup::dir(id))).map(done)
            }
            BrokerRequest::Show { id } => Ok((BrokerAnswer::Unit(self.show(id).await?), None)),
            BrokerRequest::List { after } => Ok((BrokerAnswer::Units(self.list(asker, after.as_ref()).await?), None)),
            BrokerRequest::Remove { id } => {
                self.known(id)?;
                self.stop(id).await?;
                self.records.forget_run(id);
                Ok((BrokerAnswer::Done, None))
            }
            BrokerRequest::Purge { id } => Ok((self.purge(id).await?, None)),
            BrokerRequest::Disk { id, what } => Ok((BrokerAnswer::Disk(self.disk(id, what).await?), None)),
            BrokerRequest::Reload { .. } => self.reload(asker).await.map(done),
        }
    }

    /// Held while something is done to an instance. Protects its unit, files and records: each verb finds them as another has left them.
    fn turn(&self, id: &InstanceId) -> Arc<tokio::sync::Mutex<()>> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(busy.entry(id.clone()).or_default())
    }

    /// The unit of an instance that has an account; whoever has none never ran.
    fn known(&self, id: &InstanceId) -> Result<String, BrokerError> {
        self.accounts.find(id)?.map(|_| cgroup::unit(id)).ok_or_else(|| BrokerError::NotFound(id.clone()))
    }

    fn config() -> Result<BrokerConfig, BrokerError> {
        Ok(config::load_for_broker(Path::new(super::CONFIG))?)
    }

    /// What counts for one instance: of another service than the main one, that one's configuration.
    fn config_of(id: &InstanceId) -> Result<BrokerConfig, BrokerError> {
        Ok(config::load_for_instance(Path::new(super::CONFIG), id)?)
    }

    async fn start(&self, id: &InstanceId) -> Result<(), BrokerError> {
        let (unit, network) = (cgroup::unit(id), format!("hoody-code-network@{id}.service"));
        for (job, reason) in [(wipe_unit(id), "its files are being deleted"), (disk::unit(id), "a job on its files is not done yet")] {
            if !is_at_rest(self.systemd.state(&job).await?.as_ref()) {
                return Err(BrokerError::Unit { action: "cannot start", unit, reason: reason.to_owned() });
            }
        }
        match self.systemd.state(&unit).await? {
            Some(state) if state.active == "active" && !self.records.run(id).stopped => {
                // Who asks for a start knows nothing of this run, or of how it was left.
                if state.freezer.starts_with("fr") {
                    self.systemd.thaw(&unit).await?;
                }
                return if self.records.run(id).lowered { self.weigh(id, false).await } else { Ok(()) };
            }
            state if is_at_rest(state.as_ref()) => {}
            // Half up, half down, or begun by a broker that was ended before it was done.
            _ => {
                self.stop(id).await?;
                // It may still be at work on what was there, and would be taken for the new one's.
                self.systemd.stop(&network).await?;
            }
        }
        let config = Self::config_of(id)?;
        let class = config.hosting.class_of(id);
        let engine = engine::locate(config.engine.as_deref())?;
        let account = self.account(id, &config)?;
        let fresh = self.make_home(id, account, &class.name).await?;
        let home = self.volumes.obtain(id, account)?;
        let files = self.records.files(id, account, &config)?;
        self.records.private_dir("agents")?;
        let path = self.records.agent(id);
        let socket = sys::listen_packets(&path).map_err(BrokerError::file("listen at", &path))?;
        let spec = Spec {
            id,
            uid: account.uid,
            class: &class,
            home: &home,
            engine: (engine.id(), engine.dir()),
            argv: engine::argv(&engine, &server_dirs(), &server_options(&config)),
            env: engine::env_for(&engine, &tenant()).into_iter().chain(config.gallery.env()).collect(),
            program: &self.program,
            files,
            cgroup: &cgroup::dir(id),
            cache: compile_cache(&engine, account),
            socket,
        };
        let properties = properties::of_instance(spec);
        if fresh || self.limited(id, class.disk) {
            self.limit_disk(id).await?;
        }
        // "Stopped" until all of it is there: what is left by an interrupted start is not taken for a whole one.
        let run = Run {
            engine: Some(engine.id().to_owned()),
            class: class.name.clone(),
            disk: class.disk,
            stopped: true,
            lowered: false,
            service: self.owner(id).0,
        };
        self.records.remember_run(id, &run)?;
        // One that failed still has the name (systemd keeps it so that somebody can look at it).
        self.systemd.reset_failed(&unit).await;
        self.systemd.start_transient(&unit, &properties).await?;
        if class.network == NetworkMode::Private
            && let Err(e) = self.systemd.start(&network).await
        {
            // Half an instance is none: it would look as if the outside were down.
            self.systemd.stop(&unit).await?;
            return Err(e);
        }
        self.records.remember_run(id, &Run { stopped: false, ..run })
    }

    /// The account of an instance; a new one when it has none.
    fn account(&self, id: &InstanceId, config: &BrokerConfig) -> Result<Account, BrokerError> {
        // A home may be there before its account is: copied from another host, or from a backup.
        let home = self.volumes.owned(id)?;
        let others = self.volumes.others(id)?;
        let taken = |uid| accounts::is_taken(uid) || others.contains(&uid);
        self.accounts.obtain(id, &config.hosting.uids, config.hosting.network.capacity(), home, taken)
    }

    /// Remembered first: a broker that is ended in between leaves one that is stopped again, not one that the operator is blamed for.
    async fn stop_for_front(&self, id: &InstanceId) -> Result<(), BrokerError> {
        self.known(id)?;
        let run = self.records.run(id);
        self.records.remember_run(id, &Run { stopped: true, ..run.clone() })?;
        let stopped = self.stop(id).await;
        if stopped.is_err() {
            self.records.remember_run(id, &run)?;
        }
        stopped
    }

    /// Gives it its own share of processors and disks, or less.
    async fn weigh(&self, id: &InstanceId, lowered: bool) -> Result<(), BrokerError> {
        let unit = self.known(id)?;
        let class = Self::config_of(id)?.hosting.class_of(id);
        // Remembered first: a reload in between must not give it back for good.
        self.records.remember_run(id, &Run { lowered, ..self.records.run(id) })?;
        self.systemd.set_properties(&unit, &properties::of_weights(&class.limits, lowered)).await
    }

    /// Whether there is a limit on its disk to be set, or an earlier one to be taken off.
    fn limited(&self, id: &InstanceId, limit: Option<u64>) -> bool {
        limit.is_some() || self.records.run(id).disk.is_some()
    }

    async fn limit_disk(&self, id: &InstanceId) -> Result<(), BrokerError> {
        self.systemd.start(&format!("hoody-code-quota@{id}.service")).await
    }

    async fn stop(&self, id: &InstanceId) -> Result<(), BrokerError> {
        let unit = self.known(id)?;
        if let Some(state) = self.systemd.state(&unit).await?
            && state.freezer.starts_with("fr")
        {
            // What is frozen cannot act on a signal.
            self.systemd.thaw(&unit).await?;
        }
        self.systemd.stop(&unit).await
    }

    fn connect(&self, id: &InstanceId) -> Result<OwnedFd, BrokerError> {
        self.known(id)?;
        let path = self.records.agent(id);
        sys::connect_packets(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => BrokerError::NotFound(id.clone()),
            _ => BrokerError::file("connect to", &path)(e),
        })
    }

    async fn purge(&self, id: &InstanceId) -> Result<BrokerAnswer, BrokerError> {
        let account = self.accounts.find(id)?.ok_or_else(|| BrokerError::NotFound(id.clone()))?;
        self.stop(id).await?;
        let home = self.volumes.path(id);
        if let Err(e) = self.purge_volumes(id, account).await {
            return Ok(BrokerAnswer::Left(e.to_string()));
        }
        if home.symlink_metadata().is_ok() {
            self.volumes.obtain(id, account)?;
            self.accounts.obtain(id, &(account.uid..=account.uid), 1, None, |_| false)?;
            let unit = wipe_unit(id);
            self.systemd.reset_failed(&unit).await;
            let wiped = self.systemd.start_transient(&unit, &properties::of_wipe(id, account.uid, &home, &self.program)).await;
            if let Err(e) = wiped.and_then(|()| self.volumes.remove(id).map_err(BrokerError::file("remove", &home))) {
                // The id stays taken: files of it exist.
                return Ok(BrokerAnswer::Left(e.to_string()));
            }
        }
        self.records.forget_run(id);
        self.systemd.reset_failed(&cgroup::unit(id)).await;
        self.accounts.forget(id)?;
        Ok(BrokerAnswer::Done)
    }

    async fn reload(&self, asker: &Asker) -> Result<(), BrokerError> {
        Self::config()?;
        // The rules are the host's, whoever asks: those who run are held by the new ones at once.
        if let Err(e) = self.systemd.reload("hoody-code-network.service").await {
            tracing::warn!("{e}");
        }
        for unit in self.systemd.list("hoody-code-instance@*.service").await? {
            let Some(id) = cgroup::instance_of(&unit) else { continue };
            if !asker.may(&self.owner(&id)) {
                continue;
            }
            let class = Self::config_of(&id)?.hosting.class_of(&id);
            // The others still get theirs when one has just ended.
            let lowered = self.records.run(&id).lowered;
            let mut limits = properties::of_limits(&class.limits);
            limits.extend(properties::of_weights(&class.limits, lowered));
            if let Err(e) = self.systemd.set_properties(&unit, &limits).await {
                tracing::warn!(instance = %id, "{e}");
            }
            let limited = if self.limited(&id, class.disk) { self.limit_disk(&id).await } else { Ok(()) };
            // Read after the wait: it may have been stopped meanwhile.
            if let Err(e) = limited.and_then(|()| self.records.remember_run(&id, &Run { disk: class.disk, ..self.records.run(&id) })) {
                tracing::warn!(instance = %id, "{e}");
            }
        }
        Ok(())
    }
}

/// Whether nothing of a unit runs.
fn is_at_rest(state: Option<&UnitState>) -> bool {
    state.is_none_or(|state| matches!(state.active.as_str(), "" | "inactive" | "failed"))
}

/// The unit that empties a home.
fn wipe_unit(id: &InstanceId) -> String {
    format!("hoody-code-wipe@{id}.service")
}
