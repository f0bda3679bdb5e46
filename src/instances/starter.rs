//! One start and the run that follows, in a task of its own: a closed tab cancels nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use super::instance::Instance;
use super::machine::{Action, Event};
use super::registry::Shared;
use super::room::{AGAIN, AGAIN_AT_MOST, Entry, Place};
use crate::launch::{Connector, Exit, Launched};
use crate::model::{EndCause, FailureCause, InstanceState, Stage};
use crate::telemetry::metrics;

/// The time between two tries to connect to an engine that is starting.
const POLL: Duration = Duration::from_millis(5);

/// How long a start waits for memory before it is tried all the same: the shortage may be of others' making.
const SHORTAGE: Duration = Duration::from_secs(30);

/// How often is looked whether there is some.
const SHORTAGE_POLL: Duration = Duration::from_millis(250);

/// Starts `instance`, stays with it until it has ended, and again if somebody asked for it while it was being stopped.
pub(super) async fn run(shared: Arc<Shared>, instance: Arc<Instance>, mut generation: u64, mut entry: Entry) {
    loop {
        let mut follow = instance.follow();
        let place = tokio::select! {
            place = shared.find_place(entry, &instance) => place,
            // Whoever wanted it has thought better of it. It must not stand in the line until that is noticed at its head.
            _ = follow.wait_for(|status| !matches!(status.state, InstanceState::Starting { .. })) => None,
        };
        let again = match place {
            Some(place) => run_once(&shared, &instance, generation, place).await,
            None => {
                if matches!(instance.status().state, InstanceState::Starting { .. }) {
                    tracing::warn!(instance = %instance.id, "as many instances run as may, and none of them can go");
                }
                instance.tell(Event::StartFailed(FailureCause::NoRoom))
            }
        };
        match again {
            Some(Action::Start { generation: next }) => {
                generation = next;
                entry = shared.enter_anyway();
            }
            Some(Action::Stop) | None => break,
        }
    }
}

/// Gives its place among the running ones back, then tells: whoever hears of the end finds the place free.
fn end(place: Place, instance: &Instance, event: Event, log: Vec<String>) -> Option<Action> {
    drop(place);
    instance.tell_with(event, None, log)
}

async fn run_once(shared: &Arc<Shared>, instance: &Arc<Instance>, generation: u64, place: Place) -> Option<Action> {
    let began = Instant::now();
    let launched = match start(shared, instance).await {
        Ok(launched) => launched,
        Err((cause, log)) => {
            tracing::warn!(instance = %instance.id, generation, "instance {cause}");
            let kind = cause.kind();
            let next = end(place, instance, Event::StartFailed(cause), log);
            metrics().start_failed(&kind);
            return next;
        }
    };
    instance.tell_with(Event::Ready, Some(Arc::clone(&launched.connector)), Vec::new());
    let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(instance = %instance.id, generation, elapsed_ms, "instance running");
    metrics().started(began.elapsed());
    run_out(instance, launched, generation, place).await
}

/// Stays with an instance that an earlier daemon has started, and goes on as with any other.
pub(super) async fn take_over(shared: Arc<Shared>, instance: Arc<Instance>, launched: Launched, place: Place) {
    tracing::info!(instance = %instance.id, "instance taken over");
    let adopted = instance.status().generation;
    if let Some(Action::Start { generation }) = run_out(&instance, launched, adopted, place).await {
        let entry = shared.enter_anyway();
        run(shared, instance, generation, entry).await;
    }
}

async fn run_out(instance: &Instance, mut launched: Launched, generation: u64, place: Place) -> Option<Action> {
    let Exit { cause, log } = (&mut launched.exit).await;
    let kind = if instance.status().state == InstanceState::Stopping {
        tracing::info!(instance = %instance.id, generation, "instance stopped");
        "stopped".to_owned()
    } else {
        let cause = FailureCause::from(cause.clone());
        tracing::info!(instance = %instance.id, generation, "instance {cause}");
        cause.kind()
    };
    let next = end(place, instance, Event::Exited(cause), log);
    // Whoever reads that it has ended finds it ended.
    metrics().ended(&kind);
    next
}

/// Waits, for a while, until the host has memory for one more.
async fn wait_for_memory(shared: &Shared, instance: &Instance) {
    let deadline = Instant::now() + SHORTAGE;
    while shared.is_short_of_memory() && Instant::now() < deadline && instance.status().state != InstanceState::Stopping {
        tokio::time::sleep(SHORTAGE_POLL).await;
    }
}

/// From queued to answering. On failure nothing of the instance runs.
async fn start(shared: &Arc<Shared>, instance: &Arc<Instance>) -> Result<Launched, (FailureCause, Vec<String>)> {
    let launch_failed = |message: String| (FailureCause::Launch { message }, Vec::new());
    let mut ticket = shared.starting.enter();
    let mut follow = instance.follow();
    tokio::select! {
        () = ticket.turn(|position| instance.stand_at(Some(position))) => instance.stand_at(None),
        // Nobody waits behind one that will not start.
        _ = follow.wait_for(|status| !matches!(status.state, InstanceState::Starting { .. })) => {}
    }
    wait_for_memory(shared, instance).await;
    if instance.status().state == InstanceState::Stopping {
        // Whoever wanted it has thought better of it while it waited for its turn.
        return Err(launch_failed("was stopped before it began".to_owned()));
    }
    instance.tell(Event::Reached(Stage::Launching));
    let mut launched = shared.launcher.launch(&instance.id).await.map_err(|e| launch_failed(e.to_string()))?;
    instance.tell(Event::Reached(Stage::Connecting));
    // A stop that was wanted before there was anything to stop.
    if !shared.stop_if_stopping(instance).await {
        shared.keep_stopping(Arc::clone(instance));
    }
    let limit = shared.settings().start_timeout;
    let answer = tokio::time::timeout(limit, answers(&launched.connector, &mut launched.exit)).await;
    drop(ticket);
    match answer {
        Ok(Ok(())) => Ok(launched),
        Ok(Err(Exit { cause: EndCause::Crashed { status }, log })) => Err((FailureCause::DiedEarly { status }, log)),
        Ok(Err(exit)) => Err((exit.cause.into(), exit.log)),
        Err(_) => {
            let exit = tokio::select! {
                exit = launched.exit => exit,
                never = end_it(shared, instance) => never,
            };
            Err((FailureCause::Timeout { seconds: limit.as_secs() }, exit.log))
        }
    }
}

/// Has a start that took too long ended, tried until that has worked: its end is for its launcher to tell.
async fn end_it(shared: &Shared, instance: &Instance) -> Exit {
    let mut pause = AGAIN;
    while let Err(e) = shared.launcher.stop(&instance.id).await {
        tracing::error!(instance = %instance.id, "{e}");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(AGAIN_AT_MOST);
    }
    std::future::pending().await
}

/// Waits until the engine takes connections, or has ended.
async fn answers(connector: &Arc<dyn Connector>, exit: &mut BoxFuture<'static, Exit>) -> Result<(), Exit> {
    let connecting = async {
        while connector.engine().await.is_err() {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::select! {
        () = connecting => Ok(()),
        exit = exit => Err(exit),
    }
}
